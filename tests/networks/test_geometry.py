from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.config import NetworkConfig
from napari_unet.networks import build_network, measure_geometry
from napari_unet.networks.geometry import _linear, _measure


def reach_by_hand(depth: int) -> tuple[int, int]:
    """Follow the block ``0 … 2**depth - 1`` of outputs back to the inputs it sees."""

    def level(first: int, last: int, below: int) -> tuple[int, int]:
        if below:
            # The decoder's two 3×3 convolutions, then the coarser grid and back.
            coarse = level((first - 2) // 2, (last + 2) // 2, below - 1)
            first, last = 2 * coarse[0], 2 * coarse[1] + 1
        return first - 2, last + 2  # the encoder's two convolutions

    first, last = level(0, 2**depth - 1, depth)
    return -first, last - (2**depth - 1)


@pytest.mark.parametrize(("depth", "radius"), [(1, 8), (2, 22), (3, 46), (4, 94)])
def test_radius_is_that_derived_by_hand(depth: int, radius: int) -> None:
    geometry = measure_geometry(NetworkConfig(depth=depth, width=4))
    assert reach_by_hand(depth) == (radius, radius)
    assert (geometry.stride, geometry.radius) == (2**depth, radius)


def changed(network: torch.nn.Module, size: int, block: slice, column: int) -> bool:
    """Whether changing one input column changes the block of output columns."""
    random = torch.Generator().manual_seed(column)
    image = torch.randn(1, 1, 8, size, generator=random, dtype=torch.float64)
    other = image.clone()
    other[..., column] += 10 * torch.randn(8, generator=random, dtype=torch.float64)
    with torch.no_grad():
        difference = network(image) - network(other)
    return bool(difference[..., block].abs().max() > 0)


@pytest.mark.parametrize("depth", [1, 2])
def test_nothing_beyond_the_radius_has_influence(depth: int) -> None:
    torch.manual_seed(0)
    config = NetworkConfig(depth=depth, width=4)
    stride, radius = 2**depth, measure_geometry(config).radius
    start = stride * (-(-(radius + 4) // stride))
    block = slice(start, start + stride)
    size = 2 * start + stride
    network = build_network(config).double().eval()
    outside = [*range(start - radius), *range(start + stride + radius, size)]
    assert len(outside) >= 8
    assert not any(changed(network, size, block, column) for column in outside)
    linear = _linear(network)
    edges = [start - radius, start + stride + radius - 1]
    assert all(changed(linear, size, block, column) for column in edges)


def test_real_network_sees_nearly_as_far() -> None:
    # What is cut off by a pool or a rectifier may cost a pixel or two, not more.
    torch.manual_seed(1)
    config = NetworkConfig(depth=1, width=8)
    network = build_network(config).double().eval()
    seen = [c for c in range(34) if changed(network, 34, slice(16, 18), c)]
    assert 8 <= seen[0] <= 10
    assert 23 <= seen[-1] <= 25


def test_measuring_leaves_random_numbers_alone() -> None:
    _measure.cache_clear()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    measure_geometry(NetworkConfig(depth=2, width=3))
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002


def test_width_and_channels_do_not_matter() -> None:
    one = measure_geometry(NetworkConfig(depth=2, width=2))
    other = measure_geometry(NetworkConfig(3, 7, depth=2, width=32, dropout=0.5))
    assert one == other


@pytest.mark.parametrize(
    ("depth", "anisotropy", "strides", "radii"),
    [
        (2, 1, (4, 4, 4), (22, 22, 22)),
        (3, 1.9, (8, 8, 8), (46, 46, 46)),
        # Along Z, the last two levels are a U-Net of depth 1.
        (4, 10, (2, 16, 16), (8, 94, 94)),
        (2, 10, (1, 4, 4), (2, 22, 22)),
        (2, 0.2, (4, 1, 1), (22, 2, 2)),
    ],
)
def test_volumes_have_a_geometry_for_each_axis(
    depth: int, anisotropy: float, strides: tuple[int, ...], radii: tuple[int, ...]
) -> None:
    config = NetworkConfig(depth=depth, width=4, dims=3, anisotropy=anisotropy)
    geometry = measure_geometry(config)
    assert (geometry.strides, geometry.radii) == (strides, radii)
    assert (geometry.crop, geometry.exact) == (0, True)
