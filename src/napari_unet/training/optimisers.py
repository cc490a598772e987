"""What moves the weights: the optimiser, its rate over time, the running average."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel

from napari_unet.presets import RATES

if TYPE_CHECKING:
    from torch import nn

    from napari_unet.config import TrainingConfig

WARM_UP = 0.05
"""Share of the budget over which the learning rate rises."""

PLATEAU = 2
"""Validations without progress after which the schedule plateau halves the rate."""

_LEAST = 1e-3  # of the learning rate: more would be standing still


@dataclass(frozen=True)
class Optimiser:
    """An optimiser and what it takes where nothing is said."""

    build: Any
    learning_rate: float
    weight_decay: float


OPTIMISERS = {
    "adamw": Optimiser(torch.optim.AdamW, **RATES["adamw"]),
    "adam": Optimiser(torch.optim.Adam, **RATES["adam"]),
    "rmsprop": Optimiser(
        lambda weights, fused, **how: torch.optim.RMSprop(  # with Keras's constants
            weights, alpha=0.9, eps=1e-7, **how
        ),
        **RATES["rmsprop"],
    ),
    "sgd": Optimiser(
        lambda weights, **how: torch.optim.SGD(weights, momentum=0.99, **how),
        **RATES["sgd"],
    ),
}


def make_optimizer(config: TrainingConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser that `config` names, for the weights of `network`."""
    weights = list(network.parameters())
    optimizer: torch.optim.Optimizer = OPTIMISERS[config.optimizer].build(
        weights,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=weights[0].device.type != "mps",
    )
    return optimizer


def rate_factor(schedule: str, share: float, cuts: int) -> float:
    """Return what the learning rate is multiplied by.

    It rises linearly over the first `WARM_UP` of the budget, whatever follows.

    Parameters
    ----------
    schedule : str
        ``"cosine"``, ``"plateau"`` or ``"constant"``.
    share : float
        Share of the budget that is used.
    cuts : int
        How often progress has ended; each halves the rate of ``"plateau"``.
    """
    if share < WARM_UP:
        return 0.05 + 0.95 * share / WARM_UP
    factor = 1.0
    if schedule == "cosine":
        factor = 0.5 + 0.5 * math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))
    elif schedule == "plateau":
        factor = 0.5**cuts
    return max(factor, _LEAST)


def running_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return the running average of a network's weights, to be updated each step.

    The first steps, which matter least, are averaged over fewer.
    """

    def move(
        averages: list[torch.Tensor], values: list[torch.Tensor], count: Any
    ) -> None:
        number = float(count)
        kept = min(decay, (1 + number) / (10 + number))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - kept)
        else:
            torch._foreach_copy_(averages, values)

    return AveragedModel(
        network,
        multi_avg_fn=move,  # type: ignore[arg-type]
        use_buffers=True,
    )
