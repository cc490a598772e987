"""The attention U-Net, and where it looks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_unet.errors import ConfigError
from napari_unet.networks.blocks import (
    LINEAR,
    Level,
    convolution,
    plan_levels,
    pointwise,
)
from napari_unet.networks.unet import UNet

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig


class AttentionUNet(UNet):
    """Skips are weighed pixel by pixel before they are joined.

    Oktay et al. (2018), Attention U-Net: Learning Where to Look for the Pancreas,
    https://arxiv.org/abs/1804.03999. `attention_maps` gives the weights.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        upwards = list(pairwise(plan_levels(config)))[::-1]
        self.gate = nn.ModuleList(
            AttentionGate(shallow, deep) for shallow, deep in upwards
        )

    def join(
        self, place: int, skip: torch.Tensor, features: torch.Tensor
    ) -> torch.Tensor:
        """Weigh the skip by what the coarser features say."""
        skip = skip * self.gate[place](skip, features)
        return super().join(place, skip, features)


class AttentionGate(nn.Module):
    """Additive attention (Oktay et al. 2018, equations 1 and 2).

    The skip, brought to the grid of the coarser features, and these features are each
    mapped linearly, added and rectified; a linear map of the sum and a sigmoid give
    one coefficient from 0 to 1 per pixel, which is then interpolated.
    """

    def __init__(self, shallow: Level, deep: Level) -> None:
        super().__init__()
        dims, between = len(deep.pool), shallow.features
        self.skip = convolution(
            between, between, deep.pool, stride=deep.pool, padded=False, bias=False
        )
        self.signal = pointwise(deep.features, between, dims)
        self.coefficients = nn.Sequential(
            nn.ReLU(inplace=True), pointwise(between, 1, dims), nn.Sigmoid()
        )
        self.enlarge = nn.Upsample(scale_factor=deep.pool, mode=LINEAR[dims])

    def forward(self, skip: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the coefficients ``(N, 1, Y, X)`` of the skip ``(N, C, Y, X)``."""
        coefficients = self.coefficients(self.skip(skip) + self.signal(features))
        enlarged: torch.Tensor = self.enlarge(coefficients)
        return enlarged


def count_gates(network: nn.Module) -> int:
    """Return how many attention gates a network has."""
    return sum(isinstance(each, AttentionGate) for each in network.modules())


def attention_maps(network: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """Return where an `AttentionUNet` looks.

    Parameters
    ----------
    network : torch.nn.Module
    image : Tensor, shape (N, inputs, Y, X)
        Normalised, with sides that the network takes.

    Returns
    -------
    list of Tensor, shape (N, Y, X)
        For each gate, deepest first, its coefficients from 0 to 1, enlarged to the
        image.

    Raises
    ------
    ConfigError
        If the network has no gates.
    """
    gates = [each for each in network.modules() if isinstance(each, AttentionGate)]
    if not gates:
        raise ConfigError(
            f"{type(network).__name__} has no attention gates to look at: train the "
            "network unet-attention."
        )
    found: list[torch.Tensor] = []
    hooks = [
        gate.register_forward_hook(lambda gate, given, out: found.append(out))
        for gate in gates
    ]
    try:
        with torch.inference_mode():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    size, mode = image.shape[2:], LINEAR[image.ndim - 2]
    return [functional.interpolate(each, size=size, mode=mode)[:, 0] for each in found]
