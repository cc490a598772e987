"""What is painted while a training runs goes to it, section by section."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import create_worker

from napari_unet.errors import UNetError
from napari_unet.events import Event, LabelsRefused, TrainingStarted
from napari_unet.plugin.layers import find_again, mask_from_layer
from napari_unet.plugin.train.pixel_watch import PixelWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.data import Stack
    from napari_unet.plugin.pixel_job import PixelJob

_PAUSE = 1000  # milliseconds without a stroke


@dataclass
class _Watched:
    """A labels layer that is trained on, and what the training knows of it.

    Attributes
    ----------
    layer : callable
        Finds it, or None once it is gone.
    pair : int
    axes : str
    shape : tuple of int
    known : dict of int to bytes
        The hash of each section.
    """

    layer: Callable[[], Any]
    pair: int
    axes: str
    shape: tuple[int, ...]
    known: dict[int, bytes] = field(default_factory=dict)


class NewStrokes(QObject):
    """Watches the labels of a training, and hands over the sections that change.

    Parameters
    ----------
    parent : QObject
    """

    failed = Signal(str)
    """What was painted could not be handed over: the sentence for the user."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._job: PixelJob | None = None
        self._watched: list[_Watched] = []
        self._watches: list[PixelWatch] = []
        self._begun = self._busy = False
        self._numbers = itertools.count()
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._look)

    def follow(self, job: PixelJob, layers: list[Any], masks: list[Stack]) -> None:
        """Watch layers from now on, until a training has ended.

        Parameters
        ----------
        job : PixelJob
        layers : list of layer
            The labels of each pair; None where they are no layer.
        masks : list of Stack
            What it was given of each.
        """
        self._job, self._begun = job, False
        self._watched = []
        for pair, (layer, mask) in enumerate(zip(layers, masks, strict=True)):
            if layer is None:
                continue
            watched = _Watched(find_again(layer), pair, mask.axes, mask.shape)
            self._watched.append(watched)
            self._watches.append(PixelWatch(layer, self._on_painted))
        job.reported.connect(self._on_event)
        job.ended.connect(self._on_ended)
        self._compare(send=False)

    def _on_painted(self) -> None:
        if self._job is not None:
            self._timer.start()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._begun = True
            self._look()  # what was painted while the data was prepared
        elif isinstance(event, LabelsRefused):  # they are sent again when mended
            for watched in self._watched:
                if watched.pair == event.pair:
                    watched.known.update(dict.fromkeys(event.sections, b""))

    def _on_ended(self) -> None:
        self._job = None
        self._timer.stop()
        for watch in self._watches:
            watch.end()
        self._watched, self._watches = [], []

    def _look(self) -> None:
        if self._job is None or not self._begun:
            return
        if self._busy:
            self._timer.start()
        else:
            self._compare(send=True)

    def _compare(self, *, send: bool) -> None:
        """Find the sections that changed, in a thread: hashing leaves Python free."""
        work = [
            (watched, stack)
            for watched in self._watched
            if (stack := self._stack(watched)) is not None
        ]
        if work and self._job is not None:
            self._busy = True
            folder = self._job.folder if send else None
            create_worker(
                _changed,
                work,
                folder,
                self._numbers,
                _connect={
                    "returned": self._on_compared,
                    "errored": self._on_error,
                },
            )

    def _stack(self, watched: _Watched) -> Stack | None:
        """Return what a layer holds; None where it is gone, or another one by now."""
        layer = watched.layer()
        if layer is None:
            return None
        try:
            stack = mask_from_layer(layer, axes=watched.axes)
        except UNetError:
            return None
        return stack if stack.shape == watched.shape else None

    def _on_compared(self, orders: list[dict[str, Any]]) -> None:
        self._busy = False
        for order in orders:
            if self._job is not None:
                self._job.tell(order)

    def _on_error(self, error: Exception) -> None:
        self._busy = False
        self.failed.emit(f"What was painted could not be handed over ({error}).")


def _changed(
    work: list[tuple[_Watched, Stack]], folder: Path | None, numbers: Any
) -> list[dict[str, Any]]:
    """Note the hashes of all sections, and write those that changed into files."""
    orders = []
    for watched, stack in work:
        found = {}
        for index in range(stack.n_sections):
            section = np.ascontiguousarray(stack.section(index)[0])
            code = hashlib.blake2b(section.data, digest_size=16).digest()
            if watched.known.get(index) != code:
                watched.known[index] = code
                found[index] = section.copy()
        if found and folder is not None:
            path = folder / f"strokes-{next(numbers)}.npy"
            np.save(path, np.stack(list(found.values())))
            order = {"sections": list(found), "path": str(path), "pair": watched.pair}
            orders.append({"do": "labels", **order})
    return orders
