"""What a tile must respect: the grid of a network and how far it sees."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_unet.networks.family import build_network

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig


@dataclass(frozen=True)
class Geometry:
    """Grid and reach of a network, in pixels.

    Attributes
    ----------
    stride : int
        A tile's rows and columns must start and end on multiples of this.
    radius : int
        No input pixel further away than this, along either axis, from a block of
        ``stride`` by ``stride`` pixels on the grid has any influence on the output in
        that block. (A single pixel may see up to ``stride - 1`` pixels further.)
    """

    stride: int
    radius: int


@lru_cache(maxsize=32)
def measure_geometry(config: NetworkConfig) -> Geometry:
    """Measure how far the network that `config` describes can see.

    A one-feature copy of the network with equal positive weights is linear, so an
    input pixel has a gradient exactly where the real network can see it. Pooling by
    mean stands in for pooling by maximum, since both look at the same pixels.
    """
    stride = 2**config.depth
    thin = dataclasses.replace(config, channels=1, context=0, width=1, dropout=0.0)
    with torch.random.fork_rng(devices=[]):
        network = _linear(build_network(thin))
    reach = stride
    while True:
        size = 2 * reach + stride
        image = torch.ones(1, 1, size, stride, dtype=torch.float64, requires_grad=True)
        network(image)[..., reach : reach + stride, :].sum().backward()
        assert image.grad is not None
        seen = image.grad[0, 0].sum(dim=1).nonzero().flatten()
        first, last = int(seen[0]), int(seen[-1])
        if first > 0 and last < size - 1:
            return Geometry(stride, max(reach - first, last - (reach + stride - 1)))
        reach *= 2


def _linear(network: nn.Module) -> nn.Module:
    """Make every layer linear with positive weights, in place."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(layer.kernel_size))
            elif isinstance(layer, nn.ReLU | nn.BatchNorm2d | nn.Dropout2d):
                setattr(parent, name, nn.Identity())
            elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    return network.double()
