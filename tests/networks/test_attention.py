from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_unet.config import NetworkConfig
from napari_unet.errors import ConfigError
from napari_unet.networks import attention_maps, build_network
from napari_unet.networks.attention import AttentionGate
from napari_unet.networks.blocks import Level

SHALLOW = Level(1, (3, 3), (1, 1))
DEEP = Level(1, (3, 3), (2, 2))


def gate_of_ones() -> AttentionGate:
    gate = AttentionGate(SHALLOW, DEEP)
    for parameter in gate.parameters():
        nn.init.zeros_(parameter) if parameter.ndim == 1 else nn.init.ones_(parameter)
    return gate


def test_a_gate_follows_its_equations() -> None:
    # Skip of ones, summed over 2×2: 4. Signal 2. relu(6) = 6, sigmoid(6).
    coefficients = gate_of_ones()(torch.ones(1, 1, 4, 4), torch.full((1, 1, 2, 2), 2.0))
    assert coefficients.shape == (1, 1, 4, 4)
    expected = 16 * torch.sigmoid(torch.tensor(6.0))
    torch.testing.assert_close(coefficients.sum(), expected)


def test_a_rectified_gate_is_undecided() -> None:
    coefficients = gate_of_ones()(
        torch.ones(1, 1, 4, 4), torch.full((1, 1, 2, 2), -9.0)
    )
    assert torch.equal(coefficients, torch.full((1, 1, 4, 4), 0.5))


def test_closed_gates_leave_the_skips_out() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(depth=1, width=4, name="unet-attention"))
    gate = network.gate[0]  # type: ignore[index,union-attr]
    nn.init.constant_(gate.coefficients[1].bias, -1000)  # type: ignore[union-attr,index,arg-type]
    heard: list[torch.Tensor] = []
    network.decoder[0].register_forward_hook(  # type: ignore[index,union-attr]
        lambda block, given, out: heard.append(given[0])
    )
    network.eval()(torch.randn(1, 1, 8, 8))
    assert heard[0][:, :4].abs().sum() == 0
    assert heard[0][:, 4:].abs().sum() > 0


def test_maps_are_as_large_as_the_image_and_from_0_to_1() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(2, depth=3, width=4, name="unet-attention")
    network = build_network(config).eval()
    maps = attention_maps(network, torch.randn(2, 2, 16, 24))
    assert [each.shape for each in maps] == [(2, 16, 24)] * 3
    assert all(each.min() > 0 and each.max() < 1 for each in maps)
    assert all(each.std() > 0 for each in maps)
    assert not any(gate._forward_hooks for gate in network.gate)  # type: ignore[union-attr]


def test_a_network_without_gates_has_no_maps() -> None:
    network = build_network(NetworkConfig(depth=1, width=2))
    with pytest.raises(ConfigError, match=r"no attention gates.*unet-attention"):
        attention_maps(network, torch.zeros(1, 1, 8, 8))
