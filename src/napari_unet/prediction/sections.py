"""Predicting whole sections, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.region import find_region
from napari_unet.prediction.blocks import predict_blocks
from napari_unet.prediction.engine import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.config import PredictionConfig
    from napari_unet.data.stack import Stack
    from napari_unet.events import Event
    from napari_unet.model import Model
    from napari_unet.prediction.block import Block, Place
    from napari_unet.prediction.plan import Plan
    from napari_unet.prediction.predictor import Predictor


def predict_sections(
    predictor: Predictor,
    stack: Stack,
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
    plan: Plan,
    *,
    probabilities: bool = False,
) -> Iterator[SectionPrediction | int]:
    """Predict section after section; memory does not grow with their number.

    A 3-D network needs memory for the results of one volume.

    Yields
    ------
    int
        After each batch, the number of tiles in it.
    SectionPrediction
        In the order of the sections, each as soon as its last tile is done.
    """
    sections = SectionAssembler(find_region(stack).shape)
    for result in predict_blocks(
        predictor, stack, normalise, plan, probabilities=probabilities
    ):
        if isinstance(result, int):
            yield result
        else:
            yield from sections.add(result)


def predict_events(
    model: Model,
    stack: Stack,
    config: PredictionConfig,
    on_section: Callable[[int, np.ndarray, np.ndarray | None], None],
    *,
    probabilities: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict a stack and hand over each section as it is done.

    Parameters
    ----------
    model : Model
    stack : Stack
    config : PredictionConfig
    on_section : callable
        Called with the section's index, its labels ``(Y, X)`` in mask values, or for
        regression the values as float32, and its probabilities ``(classes, Y, X)`` as
        float32, or None.
    probabilities : bool
        Whether probabilities are wanted.
    should_stop : callable
        Asked after every batch of tiles; when true, the prediction ends there without
        a `PredictionFinished`.

    Yields
    ------
    PredictionStarted, TilesDone, PredictionFinished

    Raises
    ------
    ModelError
        If the stack does not have the channels that the model expects.
    StackFormatError
        If the model sees volumes, and the stack has no Z axis.
    """
    work = prepare(model, stack, config)
    sections = SectionAssembler(work.region.shape)

    def put(block: Block) -> None:
        for section in sections.add(block):
            labels = model.target.decode(section.labels)
            on_section(section.index, labels, section.probabilities)

    yield from work.events(put, probabilities=probabilities, should_stop=should_stop)


@dataclass(frozen=True)
class SectionPrediction:
    """The result for one section.

    Attributes
    ----------
    index : int
        Its place in the stack.
    labels : ndarray of uint8, shape (Y, X)
        The most probable class of each pixel, as class index; or of float32, for
        regression, the standardised value.
    probabilities : ndarray of float32, shape (classes, Y, X), or None
        In class order; they sum to 1.
    """

    index: int
    labels: np.ndarray
    probabilities: np.ndarray | None


class SectionAssembler:
    """Puts blocks together to sections, and gives these in order.

    Parameters
    ----------
    shape : tuple of int
        That of the labels of the region that is predicted.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._plane = shape[-2:]
        looped = shape[:-2]
        self._numbers = np.arange(np.prod(looped, dtype=int)).reshape(looped)
        self._open: dict[int, tuple[SectionPrediction, int]] = {}
        self._following = 0

    def add(self, block: Block) -> Iterator[SectionPrediction]:
        """Take a block; give the sections whose turn has come."""
        indices = self._numbers[block.place[:-2]]
        shares = block.probabilities
        if indices.ndim == 0:
            self._put(int(indices), block.place[-2:], block.labels, shares)
        else:
            for z, index in enumerate(indices):
                share = None if shares is None else shares[:, z]
                self._put(int(index), block.place[-2:], block.labels[z], share)
        # Volumes of an image whose sections come before its times are interleaved.
        while not self._open.get(self._following, (None, 1))[1]:
            yield self._open.pop(self._following)[0]
            self._following += 1

    def _put(
        self,
        index: int,
        place: Place,
        labels: np.ndarray,
        shares: np.ndarray | None,
    ) -> None:
        plane = self._plane
        if labels.shape == plane:
            self._open[index] = SectionPrediction(index, labels, shares), 0
            return
        if index not in self._open:
            whole = None
            if shares is not None:
                whole = np.empty((len(shares), *plane), np.float32)
            made = SectionPrediction(index, np.empty(plane, labels.dtype), whole)
            self._open[index] = made, plane[0] * plane[1]
        section, missing = self._open[index]
        section.labels[place] = labels
        if section.probabilities is not None:
            section.probabilities[:, *place] = shares
        self._open[index] = section, missing - labels.size
