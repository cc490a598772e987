from __future__ import annotations

import math

import pytest
import torch

from napari_unet.data import IGNORE
from napari_unet.training.losses import cross_entropy


def test_loss_by_hand() -> None:
    # Three pixels: p(right) = 3/4, 1/4 and 1/2, with the weights 1, 2 and 5.
    odds = torch.tensor([[0.0, 0.0, 0.0], [math.log(3), math.log(3), 0.0]])
    logits = odds.reshape(1, 2, 1, 3)
    labels = torch.tensor([[[1, 0, 0]]])
    weights = torch.tensor([[[1.0, 2.0, 5.0]]])
    loss = cross_entropy(logits, labels, weights)
    expected = -(math.log(3 / 4) + 2 * math.log(1 / 4) + 5 * math.log(1 / 2)) / 8
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_ignored_pixels_do_not_count() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5)
    labels = torch.randint(3, (2, 4, 5))
    weights = torch.rand(2, 4, 5) + 0.1
    half = cross_entropy(logits[..., :3], labels[..., :3], weights[..., :3])
    ignored = labels.clone()
    ignored[..., 3:] = IGNORE
    logits.requires_grad_()
    whole = cross_entropy(logits, ignored, weights)
    whole.backward()
    assert whole.item() == pytest.approx(half.item(), rel=1e-6)
    assert logits.grad is not None
    assert not logits.grad[..., 3:].any()
    assert logits.grad[..., :3].any()


def test_nothing_annotated_is_no_loss() -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    labels = torch.full((1, 3, 3), IGNORE)
    loss = cross_entropy(logits, labels, torch.ones(1, 3, 3))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_scale_of_the_weights_does_not_matter() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 2, 3, 3), torch.randint(2, (1, 3, 3))
    weights = torch.rand(1, 3, 3)
    one = cross_entropy(logits, labels, weights)
    other = cross_entropy(logits, labels, 100 * weights)
    torch.testing.assert_close(one, other)
