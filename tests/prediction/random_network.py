"""Networks that tell tiles from the whole: no layer of them does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from napari_unet.networks import build_network

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig


def random_network(config: NetworkConfig, seed: int = 0) -> torch.nn.Module:
    """Build a network with random weights and random statistics of its norms."""
    torch.manual_seed(seed)
    built = build_network(config)
    for layer in built.modules():
        if isinstance(layer, _BatchNorm):
            torch.nn.init.normal_(layer.running_mean, 0, 0.3)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    return built.eval()
