"""How long a training goes on: by time, steps or epochs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_unet.config import TrainingConfig, seconds

if TYPE_CHECKING:
    from napari_unet.training.dataset import Dataset


class Budget:
    """How much of a training is done.

    Parameters
    ----------
    config : TrainingConfig
    data : Dataset
        Says how many steps an epoch has.

    Attributes
    ----------
    steps : int or None
        Steps in all; None where time is the budget.
    """

    def __init__(self, config: TrainingConfig, data: Dataset) -> None:
        self.steps = config.steps
        if config.epochs is not None:
            epoch = config.steps_per_epoch or data.steps_to_cover
            self.steps = config.epochs * epoch
        self._seconds = seconds(config.budget)
        self.start(0.0)

    def start(self, spent: float) -> None:
        """Let the clock run on from so many seconds."""
        self._began = time.monotonic() - spent

    def elapsed(self) -> float:
        """Return the seconds of training so far."""
        return time.monotonic() - self._began

    def share(self, step: int) -> float:
        """Return which share of the budget is used after that step."""
        if self.steps is not None:
            return step / self.steps
        return self.elapsed() / self._seconds

    @property
    def ends_by(self) -> str:
        """What is used up when a training ends: ``"steps"`` or ``"budget"``."""
        return "budget" if self.steps is None else "steps"
