"""Networks of residual units: one with skips, one of separable convolutions."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_unet.networks.blocks import (
    DROPOUT,
    MAX_POOL,
    NORM,
    TRANSPOSED,
    Level,
    Size,
    convolution,
    keras_padding,
    plan_levels,
    pointwise,
    projection,
)
from napari_unet.networks.unet import UNet

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig


class ResidualUNet(UNet):
    """Residual units whose norm and rectifier come before each convolution.

    Zhang, Liu, Wang (2018), Road Extraction by Deep Residual U-Net, IEEE GRSL,
    https://doi.org/10.1109/LGRS.2018.2802944. A unit shrinks by the stride of its first
    convolution, without pooling; pixels are repeated on the way up.
    """

    def encode(self, inputs: int, level: Level) -> nn.Module:
        """Make a unit that also shrinks; the very first has no norm in front."""
        return ResidualUnit(inputs, level, level.pool, first=max(level.pool) == 1)

    def shrink(self, level: Level) -> nn.Module:
        """Leave shrinking to the unit."""
        return nn.Identity()

    def enlarge(self, shallow: Level, deep: Level) -> nn.Module:
        """Repeat pixels."""
        return nn.Upsample(scale_factor=deep.pool)

    def decode(self, shallow: Level, deep: Level) -> nn.Module:
        """Make a unit that takes all features of the level below."""
        here = (1,) * len(deep.pool)
        return ResidualUnit(deep.features + shallow.features, shallow, here)


class Residual(nn.Module):
    """Layers, `body`, beside a linear `shortcut`."""

    body: nn.Module
    shortcut: nn.Module

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return body and shortcut added."""
        added: torch.Tensor = self.body(features) + self.shortcut(features)
        return added


class ResidualUnit(Residual):
    """Twice norm, rectifier and convolution, beside a linear shortcut."""

    def __init__(
        self, inputs: int, level: Level, stride: Size, *, first: bool = False
    ) -> None:
        super().__init__()
        dims, features = len(level.kernel), level.features
        before = [] if first else [NORM[dims](inputs), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(
            *before,
            convolution(inputs, features, level.kernel, stride=stride, bias=False),
            NORM[dims](features),
            nn.ReLU(inplace=True),
            convolution(features, features, level.kernel),
        )
        self.shortcut = projection(inputs, features, stride, bias=False)


class Xception(nn.Module):
    """Separable convolutions with residual projections, and no skips.

    The network of the Keras example on segmenting pets, made of the units of Chollet
    (2017), Xception, https://arxiv.org/abs/1610.02357. The first convolution halves the
    image at once. Input ``(N, config.inputs, Y, X)`` with Y and X multiples of
    ``2**depth``; output logits ``(N, classes, Y, X)``.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        *levels, deepest = plan_levels(config)
        strides = [level.pool for level in (*levels[1:], deepest)]
        dims, first = config.dims, levels[0]
        self.entry = nn.Sequential(
            keras_padding(first.kernel, strides[0]),
            convolution(
                config.inputs,
                first.features,
                first.kernel,
                stride=strides[0],
                padded=False,
            ),
            NORM[dims](first.features),
            nn.ReLU(),
        )
        down = zip(pairwise(levels), strides[1:], strict=True)
        self.down = nn.Sequential(
            *(SeparableDown(above.features, level, by) for (above, level), by in down)
        )
        self.dropout = DROPOUT[dims](config.dropout)
        upwards = levels[::-1]
        up = zip((upwards[0], *upwards[:-1]), upwards, strides[::-1], strict=True)
        self.up = nn.Sequential(
            *(ResidualUp(below.features, level, by) for below, level, by in up)
        )
        self.head = convolution(first.features, config.classes, first.kernel)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits of `image`."""
        features = self.dropout(self.down(self.entry(image)))
        logits: torch.Tensor = self.head(self.up(features))
        return logits


class SeparableDown(Residual):
    """Two separable convolutions and a pool, beside a strided projection."""

    def __init__(self, inputs: int, level: Level, stride: Size) -> None:
        super().__init__()
        dims = len(stride)
        layers: list[nn.Module] = []
        for features in (inputs, level.features):
            layers += [
                nn.ReLU(),
                convolution(
                    features, features, level.kernel, bias=False, groups=features
                ),
                pointwise(features, level.features, dims),
                NORM[dims](level.features),
            ]
        # Spare pixels fall to the end, as in `keras_padding`: hence ceil_mode.
        spare = tuple(
            (size - step) // 2 for size, step in zip(level.kernel, stride, strict=True)
        )
        pool = MAX_POOL[dims](level.kernel, stride, spare, ceil_mode=True)
        self.body = nn.Sequential(*layers, pool)
        self.shortcut = projection(inputs, level.features, stride)


class ResidualUp(Residual):
    """Two transposed convolutions, beside a projection; both enlarged."""

    def __init__(self, inputs: int, level: Level, stride: Size) -> None:
        super().__init__()
        dims = len(stride)
        layers: list[nn.Module] = []
        for features in (inputs, level.features):
            layers += [
                nn.ReLU(),
                TRANSPOSED[dims](
                    features,
                    level.features,
                    level.kernel,
                    padding=tuple(size // 2 for size in level.kernel),
                ),
                NORM[dims](level.features),
            ]
        self.body = nn.Sequential(*layers)
        self.shortcut = pointwise(inputs, level.features, dims)
        self.enlarge = nn.Upsample(scale_factor=stride)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return body and projection added, and enlarged."""
        enlarged: torch.Tensor = self.enlarge(super().forward(features))
        return enlarged
