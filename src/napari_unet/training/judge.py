"""The judge of a training: what is held out tells which model is kept."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from napari_unet.data.masks.scale import Scale
from napari_unet.errors import ConfigError
from napari_unet.model import Model
from napari_unet.training.optimisers import PLATEAU
from napari_unet.training.record import judged
from napari_unet.training.run import versions
from napari_unet.training.validation import HeldOutScores, score_held_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from napari_unet.events import Validated
    from napari_unet.training.dataset import Dataset
    from napari_unet.training.learner import Learner
    from napari_unet.training.pairs import Pair
    from napari_unet.training.run import Progress, RunFolder

VALIDATIONS = 20
"""How often a training is judged, evenly over its budget."""

_SMOOTHING = 0.5  # weight of the newest score in the running average


def check_judged(data: Dataset) -> None:
    """Raise `ConfigError` if progress is to be heeded, but nothing tells of it."""
    config = data.config
    if config.heeds_progress and not data.held_out:
        raise ConfigError(
            f"The schedule is {config.schedule} and patience {config.patience}, but "
            "nothing is held out to tell progress by: hold out more (the option "
            "validation), or take cosine and no patience."
        )


class Judge:
    """Judges the averaged weights on whole sections, and keeps the best model.

    Parameters
    ----------
    learner : Learner
    data : Dataset
    pairs : sequence of (Stack, Stack)
    run : RunFolder, optional
        Where the best model is saved.

    Attributes
    ----------
    best : Model or None
    transfer : dict or None
        What was taken from another model, for the history of this one.
    """

    def __init__(
        self,
        learner: Learner,
        data: Dataset,
        pairs: Sequence[Pair],
        run: RunFolder | None,
    ) -> None:
        self._learner = learner
        self._data = data
        self._pairs = pairs
        self._run = run
        self._threshold: float | None = None  # of two classes, that which suits best
        self.best: Model | None = None
        self.transfer: dict[str, Any] | None = None

    def due(self, progress: Progress, share: float) -> bool:
        """Whether it is time to judge, with such a share of the budget used."""
        due = math.floor(share * VALIDATIONS)
        if due <= progress.validations or share >= 1:
            return False
        progress.validations = due
        return True

    def validate(self, progress: Progress) -> Iterator[Validated]:
        """Judge the weights of now, and keep them if they are the best.

        Where nothing is held out the newest weights count as the best.
        """
        progress.validated = progress.step
        if not self._data.held_out:
            self._keep_best(progress)
            return
        loss, scores = score_held_out(
            self._learner.average, self._data.network, self._data.config, self._data
        )
        before = scores.score if progress.smoothed is None else progress.smoothed
        progress.smoothed = before + _SMOOTHING * (scores.score - before)
        best = progress.best is None or progress.smoothed >= progress.best
        progress.stale = 0 if best else progress.stale + 1
        progress.cuts += not best and progress.stale % PLATEAU == 0
        if isinstance(scores, HeldOutScores):
            self._threshold = scores.best_threshold
        if best:
            progress.best = progress.smoothed
            self._keep_best(progress)
        yield judged(progress, loss, scores, best=best)

    def score_best_again(self, progress: Progress) -> None:
        """Compare what comes by one measure, now that other pixels are held out."""
        if self.best is None or progress.best is None or not self._data.held_out:
            return
        _, scores = score_held_out(
            self.best.network, self._data.network, self._data.config, self._data
        )
        progress.best = progress.smoothed = scores.score

    def _keep_best(self, progress: Progress) -> None:
        progress.best_step = progress.step
        network = copy.deepcopy(self._learner.average).cpu().eval()
        self.best = self.model(network, progress)
        if self._run:
            self._run.check_there()
            self.best.save(self._run.model)

    def model(self, network: torch.nn.Module, progress: Progress) -> Model:
        """Describe a network of this training as a model."""
        target, (image, _) = self._data.target, self._pairs[0]
        return Model(
            network,
            self._data.network,
            None if isinstance(target, Scale) else target,
            pixel_size=self._pixel_size(),
            unit=image.unit,
            name=self._run.path.name if self._run else image.name,
            history={
                "options": self._data.config.to_dict(),
                "data": self._data.digest,
                "images": len(self._pairs),
                "step": progress.step,
                "score": progress.best,
                "best_threshold": self._threshold,
                "init": self.transfer,
                "versions": versions(),
            },
            scale=target if isinstance(target, Scale) else None,
        )

    def _pixel_size(self) -> dict[str, float]:
        """Return the pixel size that all images have."""
        image, _ = self._pairs[0]
        alike = all(
            (each.pixel_size, each.unit) == (image.pixel_size, image.unit)
            for each, _ in self._pairs
        )
        return dict(image.pixel_size) if alike else {}
