from __future__ import annotations

import pytest
import torch

from napari_unet.config import NetworkConfig
from napari_unet.networks import build_network
from napari_unet.networks.blocks import kernel_plan, pooling_plan

ALL, FLAT, DEEP = (2, 2, 2), (1, 2, 2), (2, 1, 1)


@pytest.mark.parametrize(
    ("anisotropy", "pools", "kernels"),
    [
        (1, [ALL] * 4, [(3, 3, 3)] * 5),
        (1.99, [ALL] * 4, [(3, 3, 3)] * 5),
        (2, [FLAT, ALL, ALL, ALL], [(1, 3, 3)] + [(3, 3, 3)] * 4),
        # 10, 5, 2.5 and then 1.25
        (10, [FLAT, FLAT, FLAT, ALL], [(1, 3, 3)] * 3 + [(3, 3, 3)] * 2),
        (100, [FLAT] * 4, [(1, 3, 3)] * 4 + [(3, 3, 3)]),
        (0.25, [DEEP, DEEP, ALL, ALL], [(3, 1, 1)] * 2 + [(3, 3, 3)] * 3),
    ],
)
def test_only_axes_with_fine_enough_voxels_are_halved(
    anisotropy: float,
    pools: list[tuple[int, ...]],
    kernels: list[tuple[int, ...]],
) -> None:
    config = NetworkConfig(depth=4, dims=3, anisotropy=anisotropy)
    assert pooling_plan(config) == pools
    assert kernel_plan(config) == kernels


def test_sections_heed_no_depth() -> None:
    config = NetworkConfig(depth=2, anisotropy=10)
    assert pooling_plan(config) == [(2, 2)] * 2
    assert kernel_plan(config) == [(3, 3)] * 3


@pytest.mark.parametrize("anisotropy", [1, 3, 10, 0.3])
def test_network_follows_the_plan(anisotropy: float) -> None:
    config = NetworkConfig(depth=2, width=2, dims=3, anisotropy=anisotropy)
    network = build_network(config)
    image = torch.randn(1, 1, 4, 8, 12, requires_grad=True)
    logits = network(image)
    assert logits.shape == (1, 2, 4, 8, 12)
    logits.sum().backward()
    kernels = [tuple(block[0].kernel_size) for block in network.encoder]
    assert kernels == kernel_plan(config)
