"""The U-Net: a contracting path, an expanding path, and skips between them.

Ronneberger, Fischer, Brox (2015), U-Net: Convolutional Networks for Biomedical Image
Segmentation, MICCAI, https://doi.org/10.1007/978-3-319-24574-4_28. This one pads its
convolutions, so that the output is as large as the input, and normalises batches.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_unet.networks.blocks import (
    DROPOUT,
    Level,
    double_convolution,
    max_pool,
    plan_levels,
    pointwise,
    up_convolution,
)

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig


class UNet(nn.Module):
    """A same-padded U-Net with batch normalisation, and the frame of its variants.

    Input ``(N, config.inputs, Y, X)`` with Y and X multiples of ``2**depth``; output
    logits ``(N, classes, Y, X)``. A variant replaces the methods it differs in.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        levels = plan_levels(config)
        inputs = [config.inputs, *(level.features for level in levels[:-1])]
        upwards = list(pairwise(levels))[::-1]
        self.encoder = nn.ModuleList(map(self.encode, inputs, levels))
        self.pool = nn.ModuleList(self.shrink(level) for level in levels[1:])
        self.dropout = nn.ModuleList(
            self.drop(config, config.depth - index) for index in range(len(levels))
        )
        self.up = nn.ModuleList(
            self.enlarge(shallow, deep) for shallow, deep in upwards
        )
        self.decoder = nn.ModuleList(
            self.decode(shallow, deep) for shallow, deep in upwards
        )
        self.head = self.decide(levels[0], config.classes)

    def encode(self, inputs: int, level: Level) -> nn.Module:
        """Make the block of a level on the way down."""
        return double_convolution(inputs, level)

    def shrink(self, level: Level) -> nn.Module:
        """Make what leads down to `level`."""
        return max_pool(level.pool)

    def drop(self, config: NetworkConfig, height: int) -> nn.Module:
        """Make the dropout of the level at that height above the deepest."""
        layer: nn.Module = DROPOUT[config.dims](0.0 if height else config.dropout)
        return layer

    def enlarge(self, shallow: Level, deep: Level) -> nn.Module:
        """Make what leads up from `deep` to `shallow`."""
        return up_convolution(deep, shallow)

    def decode(self, shallow: Level, deep: Level) -> nn.Module:
        """Make the block of a level on the way up."""
        return double_convolution(2 * shallow.features, shallow)

    def decide(self, level: Level, classes: int) -> nn.Module:
        """Make what turns the last features into logits."""
        return pointwise(level.features, classes, len(level.kernel))

    def join(
        self, place: int, skip: torch.Tensor, features: torch.Tensor
    ) -> torch.Tensor:
        """Enlarge `features` and put them beside the skip; deepest `place` is 0."""
        return torch.cat([skip, self.up[place](features)], dim=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits of `image`."""
        skips = []
        features = self.dropout[0](self.encoder[0](image))
        below = zip(self.pool, self.encoder[1:], self.dropout[1:], strict=True)
        for pool, block, dropout in below:
            skips.append(features)
            features = dropout(block(pool(features)))
        for place, block in enumerate(self.decoder):
            features = block(self.join(place, skips.pop(), features))
        logits: torch.Tensor = self.head(features)
        return logits
