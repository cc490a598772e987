"""What a tile must respect: the grid of a network and how far it sees."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_unet.networks.blocks import (
    MEAN_POOL,
    Convolution,
    MaxPool,
    Transposed,
    pooling_plan,
)
from napari_unet.networks.encoders import EncoderUNet
from napari_unet.networks.family import build_network
from napari_unet.networks.reach import measure_reach

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig

POINTWISE = (
    nn.ReLU,
    nn.Sigmoid,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.dropout._DropoutNd,
)
"""Layers through which no pixel sees another, when the network does not train."""

GLOBAL = (
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)
"""Layers through which each pixel sees all of the tile; they make tiling inexact."""


@dataclass(frozen=True)
class Geometry:
    """Grid and reach of a network, in pixels.

    Attributes
    ----------
    strides : tuple of int
        A tile must start on multiples of these, along each axis.
    radii : tuple of int
        No input pixel further away than this, along any axis, from a block of one
        stride along each axis on the grid has any influence on the output in that
        block. (A single pixel may see up to a stride less 1 further.)
    crop : int
        How many pixels less than the input the output has at each border: 0 where
        convolutions are padded.
    remainder : int
        A tile has a multiple of `stride` rows and columns, and this many more.
    exact : bool
        Whether that is all it sees. Instance or group norm, and pooling over all of
        the image, look at the whole tile, so that tiles do not quite equal the whole.
        `radius` is then how far neighbouring tiles overlap.
    """

    strides: tuple[int, ...]
    radii: tuple[int, ...]
    crop: int = 0
    remainder: int = 0
    exact: bool = True

    @property
    def stride(self) -> int:
        """The stride along rows and columns."""
        return self.strides[-1]

    @property
    def radius(self) -> int:
        """The radius along rows and columns."""
        return self.radii[-1]

    @property
    def smallest(self) -> int:
        """Rows and columns of the smallest tile that gives any output."""
        size = self.remainder
        while size <= 2 * self.crop:
            size += self.stride
        return size

    def takes(self, size: int) -> bool:
        """Whether the network can be given tiles of that many rows and columns."""
        return size >= self.smallest and size % self.stride == self.remainder

    def nearest(self, size: int) -> int:
        """Return the size it takes that is nearest to `size`."""
        steps = round((size - self.smallest) / self.stride)
        return self.smallest + max(0, steps) * self.stride


def measure_geometry(config: NetworkConfig) -> Geometry:
    """Measure how far the network that `config` describes can see.

    A one-feature copy of the network with equal positive weights is linear, or at
    least rises with each pixel it sees; so an input pixel has a gradient exactly where
    the real network can see it. Pooling by mean stands in for pooling by maximum,
    since both look at the same pixels. A network with an encoder, whose layers may be
    of any kind, goes through `measure_reach`.
    """
    thin = dataclasses.replace(
        config, channels=1, classes=1, context=0, width=1, dropout=0.0
    )
    return _measure(thin)


@lru_cache(maxsize=32)
def _measure(thin: NetworkConfig) -> Geometry:
    with torch.random.fork_rng(devices=[]):
        network = build_network(thin)
    strides = tuple(map(math.prod, zip(*pooling_plan(thin), strict=True)))
    if isinstance(network, EncoderUNet):
        radius = measure_reach(network.double().eval(), strides[0])
        radii = (radius or 4 * strides[0],) * 2
        return Geometry(strides, radii, exact=radius is not None)
    exact = not any(isinstance(layer, GLOBAL) for layer in network.modules())
    network = _linear(network)
    crop, remainder = _measure_crop(network, strides)
    start = Geometry(strides, (0,) * thin.dims, crop, remainder, exact)
    upright = [_measure_radius(network, start, axis) for axis in range(thin.dims - 1)]
    return dataclasses.replace(start, radii=(*upright, upright[-1]))


def _measure_radius(network: nn.Module, geometry: Geometry, axis: int) -> int:
    """Find the pixels along an axis that a block sees, in a bar that is long enough."""
    stride, crop = geometry.strides[axis], geometry.crop
    bar = [geometry.smallest, geometry.smallest]
    if len(geometry.strides) == 3:
        bar = list(geometry.strides)
    reach = stride * -(-max(stride, crop) // stride)
    while True:
        size = 2 * reach + stride + geometry.remainder
        bar[axis] = size
        image = torch.ones(1, 1, *bar, dtype=torch.float64, requires_grad=True)
        network(image).narrow(axis + 2, reach - crop, stride).sum().backward()
        assert image.grad is not None
        seen = image.grad[0, 0].movedim(axis, 0).flatten(1).sum(dim=1).nonzero()
        first, last = int(seen[0]), int(seen[-1])
        if first > 0 and last < size - 1:
            return max(reach - first, last - (reach + stride - 1))
        reach *= 2


def _linear(network: nn.Module) -> nn.Module:
    """Make every layer linear with positive weights, in place."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, MaxPool):
                setattr(parent, name, _mean_pool(layer))
            elif isinstance(layer, POINTWISE + GLOBAL):
                setattr(parent, name, nn.Identity())
            elif isinstance(layer, Convolution | Transposed):
                nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    return network.double().eval()


def _mean_pool(layer: MaxPool) -> nn.Module:
    dims = 2 if isinstance(layer, nn.MaxPool2d) else 3
    pool: nn.Module = MEAN_POOL[dims](
        layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode
    )
    return pool


def _measure_crop(network: nn.Module, strides: tuple[int, ...]) -> tuple[int, int]:
    """Return crop and remainder: those of the size that loses the fewest pixels."""
    stride = strides[-1]

    def lost(size: int, device: str) -> int:
        image = torch.empty(1, 1, size, size, dtype=torch.float64, device=device)
        with torch.no_grad():
            return size - int(network(image).shape[-1])

    base = 16 * stride  # more than any of the family crops
    if len(strides) == 3 or lost(base, "cpu") == 0:  # all for volumes are padded
        return 0, 0
    # Shapes without numbers, for their many sizes; torch takes a second to load them.
    network = copy.deepcopy(network).to("meta")
    size = min(range(base, base + stride), key=lambda size: lost(size, "meta"))
    return lost(size, "meta") // 2, size % stride
