"""Labels that follow thresholds: what is seen of them at once, then the rest."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal
from superqt.utils import create_worker

from napari_unet.plugin.parts.choices import RESULT_KEY
from napari_unet.plugin.predict.where import OutsideError, view_box
from napari_unet.prediction.threshold import relabel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

_KEY = "napari-unet thresholds"  # in the metadata of labels: `Thresholds`
_BLOCK = 2**20  # pixels that are labelled at once

_ONE_AT_A_TIME = threading.Lock()  # another widget's thread may be at the same labels

Block = tuple[slice, ...]


@dataclass
class Thresholds:
    """Those wanted of labels, and those of each block that has others already.

    Attributes
    ----------
    wanted : tuple of float
        One for each class.
    applied : dict
        By the first pixel of a block; at first all have `decide`'s usual 0.5.
    """

    wanted: tuple[float, ...]
    applied: dict[tuple[int, ...], tuple[float, ...]] = field(default_factory=dict)

    def of(self, block: Block) -> tuple[float, ...]:
        """Return those that the labels of a block have now."""
        return self.applied.get(_start(block), (0.5,) * len(self.wanted))

    def are_behind(self, block: Block) -> bool:
        """Tell whether a block has others than are wanted."""
        return self.of(block) != self.wanted


def find_shares(viewer: ViewerModel, labels: Layer) -> list[Layer] | None:
    """Return the layers of the probabilities that labels were predicted with.

    None if one of them is missing, or the labels are no prediction.
    """
    known = labels.metadata.get(RESULT_KEY, {})
    values = known.get("values")
    if known.get("what") != "labels" or not values:
        return None
    found = {}
    for layer in viewer.layers:
        theirs = layer.metadata.get(RESULT_KEY, {})
        same = theirs.get("prediction") == known["prediction"]
        if same and theirs["what"] == "probabilities":
            found[theirs["class"]] = layer
    shapes = {pixels_of(each).shape for each in (labels, *found.values())}
    complete = sorted(found) == list(range(len(values))) and len(shapes) == 1
    return [found[number] for number in sorted(found)] if complete else None


def thresholds_of(labels: Layer) -> Thresholds:
    """Return the thresholds of a prediction's labels, which are kept with them."""
    known = labels.metadata.get(_KEY)
    if not isinstance(known, Thresholds):
        count = len(labels.metadata[RESULT_KEY]["values"])
        known = labels.metadata[_KEY] = Thresholds((0.5,) * count)
    return known


class Relabelling(QObject):
    """Labels a prediction anew in a thread, what is in view first.

    Layers are looked up each time: they may be renamed or removed meanwhile.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QObject
    """

    shown = Signal()
    """What is in view follows the thresholds."""
    finished = Signal()
    """All labels do."""
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._behind: list[str] = []  # `unique_id` of layers, the last moved first
        self._working = False
        self.held = False
        """Whether the user still moves the slider: what is not seen can wait."""

    def start(self, labels: Labels) -> None:
        """Have labels follow their thresholds; call it again when these change."""
        name = str(labels.unique_id)
        self._behind = [name, *(each for each in self._behind if each != name)]
        self.go_on()

    def go_on(self) -> None:
        """Label what is in view, or if that is done and the slider is let go, all."""
        labels, shares = self._next()
        if self._working or labels is None or shares is None:
            return
        pixels, state = pixels_of(labels), thresholds_of(labels)
        values = labels.metadata[RESULT_KEY]["values"]
        work = _Work(pixels, [pixels_of(each) for each in shares], values, state)
        in_view = blocks(pixels.shape, _seen(self._viewer, labels))
        seen = [each for each in in_view if state.are_behind(each)]
        if seen:
            self._in_thread(lambda: work.do(seen), self._on_seen)
        elif not self.held:
            every = blocks(pixels.shape)
            self._in_thread(lambda: work.do(every, give_way=True), self._on_all)

    def _next(self) -> tuple[Labels | None, list[Layer] | None]:
        """Return the labels to change first and their probabilities; forget the gone.

        Labels without probabilities stay as they are.
        """
        here = {str(each.unique_id): each for each in self._viewer.layers}
        while self._behind:
            labels = here.get(self._behind[0])
            shares = None if labels is None else find_shares(self._viewer, labels)
            if shares is not None:
                return labels, shares
            self._behind.pop(0)
        return None, None

    def _in_thread(self, work: Callable[[], bool], then: Callable[..., None]) -> None:
        self._working = True
        self._then = partial(then, self._behind[0])
        # A method, so that nothing is called when we are gone.
        done, failed = self._on_done, self._on_failed
        create_worker(work, _connect={"returned": done, "errored": failed})

    def _on_done(self, complete: bool) -> None:
        self._working = False
        self._then(complete)

    def _on_seen(self, name: str, _: bool) -> None:
        self._draw(name)
        self.shown.emit()
        self.go_on()

    def _on_all(self, name: str, complete: bool) -> None:
        if complete:
            self._behind = [each for each in self._behind if each != name]
            self._draw(name)
            self.finished.emit()
        self.go_on()

    def _on_failed(self, error: Exception) -> None:
        self._working = False
        self._behind.clear()
        self.failed.emit(f"The labels could not be changed ({error}).")

    def _draw(self, name: str) -> None:
        for layer in self._viewer.layers:
            if str(layer.unique_id) == name:
                layer.refresh(extent=False, highlight=False)


@dataclass(frozen=True)
class _Work:
    """What a thread needs to label blocks anew: pixels, and no layer."""

    labels: NDArray[Any]
    shares: list[NDArray[Any]]
    values: Sequence[int]
    state: Thresholds

    def do(self, todo: Iterable[Block], *, give_way: bool = False) -> bool:
        """Label blocks; tell whether all have what was wanted at first.

        With `give_way` it ends where others come to be wanted.
        """
        first = self.state.wanted
        for block in todo:
            wanted = self.state.wanted
            if give_way and wanted is not first:
                return False
            with _ONE_AT_A_TIME:
                self._label(block, wanted)
        return self.state.wanted is first

    def _label(self, block: Block, wanted: tuple[float, ...]) -> None:
        before = self.state.of(block)
        if before != wanted:
            shares = [each[block] for each in self.shares]
            relabel(self.labels[block], shares, self.values, before, wanted)
            self.state.applied[_start(block)] = wanted


def pixels_of(layer: Layer) -> NDArray[Any]:
    """Return the pixels of a layer; of several resolutions the full one."""
    data = layer.data[0] if layer.multiscale else layer.data
    return data


def blocks(
    shape: Sequence[int], box: NDArray[np.float64] | None = None
) -> Iterator[Block]:
    """Cut an array into blocks of whole rows, and give those that touch a box.

    Parameters
    ----------
    shape : sequence of int
    box : ndarray, shape (2, axes), optional
        Lowest and highest corner in pixels; everything by default.
    """
    *outer, rows, columns = shape
    high = max(1, _BLOCK // max(1, columns))
    sizes = [*(1 for _ in outer), high]
    lengths = [*outer, rows]
    low, top = (np.zeros(len(shape)), np.array(shape)) if box is None else box
    spans = []
    for axis, (length, size) in enumerate(zip(lengths, sizes, strict=True)):
        first = int(np.clip(np.floor(low[axis] + 0.5), 0, length)) // size
        last = int(np.clip(np.ceil(top[axis] + 0.5), 0, length))
        spans.append(range(first, math.ceil(last / size)))
    for index in np.ndindex(*(len(each) for each in spans)):
        starts = [
            span[i] * size for span, i, size in zip(spans, index, sizes, strict=True)
        ]
        yield tuple(
            slice(start, min(start + size, length))
            for start, size, length in zip(starts, sizes, lengths, strict=True)
        )


def _seen(viewer: ViewerModel, layer: Layer) -> NDArray[np.float64] | None:
    """Return what of a layer is in view; None, which is all, in 3-D."""
    try:
        return view_box(viewer, layer)
    except OutsideError:
        return None


def _start(block: Block) -> tuple[int, ...]:
    return tuple(each.start for each in block)
