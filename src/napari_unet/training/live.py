"""What is looked at, predicted by the network as it learns."""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_unet.config import PredictionConfig
from napari_unet.data.region import find_region
from napari_unet.errors import UNetError
from napari_unet.events import Event, LiveFailed, LivePredicted
from napari_unet.files import replacing
from napari_unet.networks.compute import dtype_name
from napari_unet.prediction.engine import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.control import Control, View
    from napari_unet.model import Model
    from napari_unet.prediction.block import Block
    from napari_unet.prediction.engine import Prediction
    from napari_unet.training.dataset import Dataset
    from napari_unet.training.learner import Learner
    from napari_unet.training.pairs import Pair

LARGEST = {2: 1024, 3: 256}
"""Rows and columns of a prediction at most, by the network's dimensions: of a larger
view its middle is shown. For one section of a volume many around it are computed."""

SHARE = 20
"""The next prediction waits this many times as long as the last one took."""

FIRST = 2
"""The step after which there is something to see."""


class LivePreview:
    """Predicts the view of a `Control` now and then, with the averaged weights.

    Nothing of the training is changed by it: not the weights, not a random number.

    Parameters
    ----------
    learner : Learner
    data : Dataset
    pairs : sequence of (Stack, Stack)
    control : Control
    """

    def __init__(
        self, learner: Learner, data: Dataset, pairs: list[Pair], control: Control
    ) -> None:
        self._learner = learner
        self._data = data
        self._pairs = pairs
        self._control = control
        self._seen: View | None = None
        self._next = 0.0  # when the same view is due again
        self._numbers = itertools.count()

    def events(
        self, step: int, make: Callable[[torch.nn.Module], Model]
    ) -> Iterator[Event]:
        """Predict what is looked at, if it is due.

        Parameters
        ----------
        step : int
            Steps done.
        make : callable
            Makes a model of a network of this training.

        Yields
        ------
        LivePredicted, LiveFailed
        """
        view = self._control.view
        if view is None or not self._due(view, step):
            return
        began = time.monotonic()
        self._seen = view
        try:
            with torch.random.fork_rng():
                found = self._predict(view, make(self._learner.average), step)
        except (UNetError, OSError, MemoryError, torch.OutOfMemoryError) as error:
            self._next = math.inf  # until something else is looked at
            yield LiveFailed(step, f"There is no live preview here: {error}")
            return
        ended = time.monotonic()
        self._next = ended + SHARE * (ended - began)
        if found is not None:
            yield found

    def _due(self, view: View, step: int) -> bool:
        if step < FIRST:
            return False
        return view != self._seen or time.monotonic() >= self._next

    def _predict(self, view: View, model: Model, step: int) -> LivePredicted | None:
        """Predict a view into a file; None if another one was asked for meanwhile."""
        stack = self._pairs[view.pair][0]
        region = find_region(stack, within(view.bounds, LARGEST[model.config.dims]))
        config = PredictionConfig(
            device=self._learner.config.device,
            precision="fp32" if model.regresses else dtype_name(self._learner.dtype),
        )
        normalise = self._data.normalisations[view.pair]
        work = prepare(model, stack, config, region, normalise=normalise)
        shares = view.show == "probability" and not model.regresses
        result = np.empty(region.shape, "float32" if shares else model.target.dtype)
        for block in work.blocks(probabilities=shares):
            if self._control() or self._control.view != view:
                return None
            if not isinstance(block, int):
                result[block.place] = self._shown(work, block)
        path = Path(view.folder) / f"live-{next(self._numbers)}.npy"
        with replacing(path) as part, part.open("wb") as file:
            np.save(file, result)
        bounds = [list(each) for each in region.bounds]
        kind = "values" if model.regresses else view.show
        return LivePredicted(step, bounds, str(path), kind, view.pair)

    def _shown(self, work: Prediction, block: Block) -> NDArray[Any]:
        """Return labels, or how probable another class than the commonest is.

        That one would hide most of the image, whichever value it has in the mask.
        """
        if block.probabilities is None:
            return work.model.target.decode(block.labels)
        counts = [self._data.counts.get(value, 0) for value in work.model.target.values]
        rest: NDArray[np.float32] = 1 - block.probabilities[int(np.argmax(counts))]
        return rest


def within(
    bounds: tuple[tuple[int, int], ...], side: int
) -> tuple[tuple[int, int], ...]:
    """Return the middle of a box: at most `side` long, and no more pixels than that².

    What cannot be had of several sections is given of the one in the middle.
    """
    shorter = tuple(_middle(*each, side) for each in bounds)
    if math.prod(last - first for first, last in shorter) <= side**2:
        return shorter
    return (*(_middle(*each, 1) for each in shorter[:-2]), *shorter[-2:])


def _middle(first: int, last: int, length: int) -> tuple[int, int]:
    start = first + max(0, last - first - length) // 2
    return start, min(last, start + length)
