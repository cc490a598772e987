"""The nested U-Net, or U-Net++."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_unet.networks.blocks import (
    DROPOUT,
    double_convolution,
    max_pool,
    plan_levels,
    pointwise,
    up_convolution,
)

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig


class NestedUNet(nn.Module):
    """Skips that are themselves decoders, each end of the finest row supervised.

    Zhou et al. (2018), UNet++: A Nested U-Net Architecture for Medical Image
    Segmentation, https://arxiv.org/abs/1807.10165. Node (level, step) joins all nodes
    before it on its level with the enlarged node (level + 1, step - 1) (equation 1).

    Input ``(N, config.inputs, Y, X)`` with Y and X multiples of ``2**depth``. In
    evaluation the output is the mean of all heads' logits ``(N, classes, Y, X)``; in
    training it is a list of them, whose losses are averaged.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        levels = plan_levels(config)
        inputs = [config.inputs, *(level.features for level in levels[:-1])]
        self.encoder = nn.ModuleList(map(double_convolution, inputs, levels))
        self.pool = nn.ModuleList(max_pool(level.pool) for level in levels[1:])
        self.dropout = DROPOUT[config.dims](config.dropout)
        self.up, self.node = nn.ModuleDict(), nn.ModuleDict()
        for step in range(1, config.depth + 1):
            for index, level in enumerate(levels[:-step]):
                place = f"{index}-{step}"
                self.up[place] = up_convolution(levels[index + 1], level)
                self.node[place] = double_convolution(
                    (step + 1) * level.features, level
                )
        self.head = nn.ModuleList(
            pointwise(config.width, config.classes, config.dims)
            for _ in range(config.depth)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Return the logits of `image`; in training those of each head."""
        features = self.encoder[0](image)
        rows = [[features]]  # of the nodes of each level
        for pool, block in zip(self.pool, self.encoder[1:], strict=True):
            features = block(pool(features))
            rows.append([features])
        rows[-1] = [self.dropout(features)]
        depth = len(self.pool)
        for step in range(1, depth + 1):
            for index in range(depth + 1 - step):
                place = f"{index}-{step}"
                up = self.up[place](rows[index + 1][step - 1])
                joined = torch.cat([*rows[index], up], dim=1)
                rows[index].append(self.node[place](joined))
        logits = [head(node) for head, node in zip(self.head, rows[0][1:], strict=True)]
        return logits if self.training else torch.stack(logits).mean(dim=0)
