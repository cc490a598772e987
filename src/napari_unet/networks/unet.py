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

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig


class UNet(nn.Module):
    """A same-padded U-Net with batch normalisation.

    Input ``(N, config.inputs, Y, X)`` with Y and X multiples of ``2**depth``; output
    logits ``(N, classes, Y, X)``.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = [config.width * 2**level for level in range(config.depth + 1)]
        inputs = [config.inputs, *widths[:-1]]
        self.encoder = nn.ModuleList(map(double_convolution, inputs, widths))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(config.dropout)
        upwards = list(pairwise(widths))[::-1]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, 2, stride=2) for shallow, deep in upwards
        )
        self.decoder = nn.ModuleList(
            double_convolution(2 * shallow, shallow) for shallow, _ in upwards
        )
        self.head = nn.Conv2d(config.width, config.classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits of `image`."""
        skips = []
        features = self.encoder[0](image)
        for block in self.encoder[1:]:
            skips.append(features)
            features = block(self.pool(features))
        features = self.dropout(features)
        for up, block in zip(self.up, self.decoder, strict=True):
            features = block(torch.cat([skips.pop(), up(features)], dim=1))
        logits: torch.Tensor = self.head(features)
        return logits


def double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3×3 convolutions, each normalised over the batch and rectified."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def initialise(module: nn.Module) -> None:
    """Draw convolution weights after He et al. (2015), as the U-Net paper does."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
