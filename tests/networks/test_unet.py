from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from napari_unet.config import NetworkConfig
from napari_unet.networks import build_network


def test_parameters_counted_by_hand() -> None:
    # depth 1, width 2, 3 channels, 2 classes; a norm has 2 parameters a feature.
    first = 3 * 2 * 9 + 2 * 2 + 2 * 2 * 9 + 2 * 2
    second = 2 * 4 * 9 + 2 * 4 + 4 * 4 * 9 + 2 * 4
    up = 4 * 2 * 4 + 2
    joined = 4 * 2 * 9 + 2 * 2 + 2 * 2 * 9 + 2 * 2
    head = 2 * 2 + 2
    network = build_network(NetworkConfig(channels=3, classes=2, depth=1, width=2))
    count = sum(each.numel() for each in network.parameters())
    assert count == first + second + up + joined + head == 486


@pytest.mark.parametrize(
    ("channels", "classes", "depth"), [(1, 2, 1), (3, 5, 2), (2, 2, 3)]
)
def test_output_is_as_large_as_the_input(
    channels: int, classes: int, depth: int
) -> None:
    network = build_network(NetworkConfig(channels, classes, depth, width=2))
    stride = 2**depth
    image = torch.randn(2, channels, 2 * stride, 3 * stride)
    assert network(image).shape == (2, classes, 2 * stride, 3 * stride)


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(depth=2, width=4, classes=3))
    logits = network(torch.randn(2, 1, 16, 16))
    (logits * torch.randn_like(logits)).sum().backward()
    idle = [
        name
        for name, each in network.named_parameters()
        if each.grad is None or not each.grad.abs().sum() > 0
    ]
    assert idle == []


def test_weights_are_drawn_after_he() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(depth=1, width=64))
    convolution = network.encoder[1][3]  # 128 to 128 features
    assert isinstance(convolution, nn.Conv2d)
    spread = convolution.weight.std().item()
    assert spread == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.02)
    assert convolution.weight.mean().abs().item() < 0.02 * spread
    assert network.head.bias.abs().sum().item() == 0


def test_same_seed_same_weights() -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return list(build_network(NetworkConfig(depth=2, width=2)).parameters())

    again = zip(weights(3), weights(3), strict=True)
    assert all(torch.equal(one, other) for one, other in again)
    assert not torch.equal(weights(3)[0], weights(4)[0])


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(depth=1, width=8, dropout=0.5))
    image = torch.randn(1, 1, 8, 8)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))
