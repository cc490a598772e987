"""The U-Nets that papers and tutorials teach, each by what it does differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_unet.networks.blocks import (
    NORM,
    Level,
    convolution,
    crop_centre,
    double_convolution,
    keras_padding,
    pointwise,
    up_convolution,
)
from napari_unet.networks.unet import UNet

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig


class UNet2015(UNet):
    """The paper's own network (Ronneberger et al. 2015, figure 1).

    Convolutions are not padded: 572² pixels in give 388² logits, those of the centre.
    Skips are cropped; dropout ends the two deepest levels of the contracting path.
    """

    def encode(self, inputs: int, level: Level) -> nn.Module:
        """Convolve without padding and without norm."""
        return double_convolution(inputs, level, padded=False, norm=False, bias=True)

    def decode(self, shallow: Level, deep: Level) -> nn.Module:
        """Convolve likewise on the way up."""
        return self.encode(2 * shallow.features, shallow)

    def drop(self, config: NetworkConfig, height: int) -> nn.Module:
        """Drop single values at the two deepest levels."""
        return nn.Dropout(config.dropout if height < 2 else 0.0)

    def join(
        self, place: int, skip: torch.Tensor, features: torch.Tensor
    ) -> torch.Tensor:
        """Crop the skip to what is left of the features."""
        features = self.up[place](features)
        return torch.cat([crop_centre(skip, features.shape[2:]), features], dim=1)


class KerasUNet(UNet):
    """The same-padded version that circulates for Keras.

    Pixels are repeated and then convolved by 2×2, and a 3×3 convolution to two
    features (or one per class, where there are more) stands before the 1×1 head.
    """

    def encode(self, inputs: int, level: Level) -> nn.Module:
        """Convolve without norm."""
        return double_convolution(inputs, level, norm=False, bias=True)

    def decode(self, shallow: Level, deep: Level) -> nn.Module:
        """Convolve likewise on the way up."""
        return self.encode(2 * shallow.features, shallow)

    def drop(self, config: NetworkConfig, height: int) -> nn.Module:
        """Drop single values at the two deepest levels."""
        return nn.Dropout(config.dropout if height < 2 else 0.0)

    def enlarge(self, shallow: Level, deep: Level) -> nn.Module:
        """Repeat pixels, then convolve."""
        return nn.Sequential(
            nn.Upsample(scale_factor=deep.pool),
            keras_padding(deep.pool),
            convolution(deep.features, shallow.features, deep.pool, padded=False),
            nn.ReLU(inplace=True),
        )

    def decide(self, level: Level, classes: int) -> nn.Module:
        """Narrow the features first."""
        few = max(2, classes)
        return nn.Sequential(
            convolution(level.features, few, level.kernel),
            nn.ReLU(inplace=True),
            pointwise(few, classes, len(level.kernel)),
        )


class SmallUNet(UNet):
    """A narrow one: batch norm after transposed convolutions too, and a 3×3 head."""

    def encode(self, inputs: int, level: Level) -> nn.Module:
        """Convolve with a bias before the norm."""
        return double_convolution(inputs, level, bias=True)

    def decode(self, shallow: Level, deep: Level) -> nn.Module:
        """Convolve likewise on the way up."""
        return self.encode(2 * shallow.features, shallow)

    def enlarge(self, shallow: Level, deep: Level) -> nn.Module:
        """Normalise and rectify the enlarged features."""
        return nn.Sequential(
            up_convolution(deep, shallow),
            NORM[len(deep.pool)](shallow.features),
            nn.ReLU(inplace=True),
        )

    def decide(self, level: Level, classes: int) -> nn.Module:
        """Look at the neighbours too."""
        return convolution(level.features, classes, level.kernel)
