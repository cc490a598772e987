"""One image of a batch: opened, filled by whatever computes it, and finished."""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.batch.inputs import output_stem
from napari_unet.batch.manifest import Fingerprint, is_unchanged, read
from napari_unet.batch.results import file_names, measure, open_truth, score
from napari_unet.data import open_stack
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.data.region import find_region
from napari_unet.errors import StackFormatError, UNetError
from napari_unet.events import Event, ItemBegun, ItemDone, ItemFailed
from napari_unet.prediction.rescaling import rescaling
from napari_unet.prediction.sinks import ResultSink
from napari_unet.prediction.to_files import Job, Results, open_results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from napari_unet.batch.inputs import Item
    from napari_unet.config import OutputConfig, PredictionConfig
    from napari_unet.data import Stack
    from napari_unet.data.normalisation import Normalisation
    from napari_unet.model import Model
    from napari_unet.prediction.predictor import Predictor

_FULL = errno.ENOSPC, errno.EDQUOT

SMALL = 2**27
"""Bytes of pixels up to which an image is decoded once and kept while it is at work."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is done with each image of a batch.

    Attributes
    ----------
    model : Model
    config : PredictionConfig
    files : OutputConfig
    results : list of str
        As `napari_unet.prediction.results.list_results` names them.
    out : Path
        The output folder.
    table : str
        Ending of the tables of objects, such as ``"csv"``.
    axes : str or None
        Those of all images, where their files do not say.
    """

    model: Model
    config: PredictionConfig
    files: OutputConfig
    results: list[str]
    out: Path
    table: str = "csv"
    axes: str | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """An image, and what must be known of all of it before any of it is predicted."""

    item: Item
    stack: Stack
    normalise: Normalisation
    image: Fingerprint


def open_item(task: Task, item: Item) -> Opened:
    """Read what must be known of an image; a small one is kept in memory."""
    stack = open_stack(item.image, axes=task.axes)
    before = read(item.image)  # before its pixels, lest a change goes unnoticed
    stack = keep_small(stack)
    seen = stack
    if task.config.rescale:
        grid = rescaling(task.model, stack, find_region(stack, item.region))
        seen = grid.stack if grid else stack
    return Opened(item, stack, measure_normalisation(seen), before)


def keep_small(stack: Stack) -> Stack:
    """Decode a small image once, instead of whenever a part of it is needed."""
    size = stack.dtype.itemsize * np.prod(stack.shape, dtype=float)
    return replace(stack, pixels=np.asarray(stack)) if size <= SMALL else stack


@dataclass(eq=False)
class Filling:
    """An image whose result files are open: its blocks go into `sink`.

    Attributes
    ----------
    task : Task
    opened : Opened
    results : Results
    sink : ResultSink
    files : ExitStack
        Completes the files when it is closed, and drops them when it exits by an error.
    began : float
        When its computation did.
    """

    task: Task
    opened: Opened
    results: Results
    sink: ResultSink
    files: contextlib.ExitStack
    began: float = 0.0

    @classmethod
    def begin(
        cls, task: Task, opened: Opened, predictor: Predictor | None = None
    ) -> Filling:
        """Open the files, and make the prediction ready that fills them."""
        item = opened.item
        if item.truth is not None:  # its faults cost no computing
            open_truth(item.truth, opened.stack, find_region(opened.stack, item.region))
        job = Job(
            task.model,
            opened.stack,
            task.config,
            task.results,
            item.region,
            predictor,
            opened.normalise,
        )
        with contextlib.ExitStack() as files:
            folder = task.out / item.folder
            results = files.enter_context(
                open_results(job, folder, task.files, overwrite=True)
            )
            sink = ResultSink(results.work, task.config, task.results, results.store)
            files.callback(sink.close)
            return cls(task, opened, results, sink, files.pop_all())

    def begun(self) -> ItemBegun:
        """Return the event that says what is computed, and how, from now on."""
        self.began = time.monotonic()
        work = self.results.work
        how = work.started()
        return ItemBegun(
            self.opened.item.name,
            work.region.size,
            how.device,
            how.precision,
            how.remarks,
        )

    def drop(self) -> None:
        """Leave no file behind; a store can be gone on with."""
        with contextlib.suppress(_DroppedError):
            self.files.__exit__(_DroppedError, _DroppedError(), None)

    def finish(self) -> ItemDone:
        """Complete the files; measure and score what they hold."""
        opened, seconds = self.opened, time.monotonic() - self.began
        try:
            self.sink.join()
            if not is_unchanged(opened.item.image, opened.image):
                raise StackFormatError(
                    f"{opened.item.image} changed while it was read. Run the batch "
                    "again when it is complete."
                )
        except BaseException:
            self.files.__exit__(*sys.exc_info())
            raise
        self.files.close()
        found, facts = dict(self.results.paths), self._facts(seconds)
        if "objects" in found:
            found["table"] = self._table()
            facts["objects"] = self._measure(found)
        if opened.item.truth is not None:
            facts["scores"] = score(found, self._truth(opened.item.truth))
        names = file_names(found, self.task.out)
        return ItemDone(opened.item.name, asdict(opened.image), names, facts)

    def _truth(self, path: Path) -> Stack:
        return open_truth(path, self.opened.stack, self.results.work.region)

    def _facts(self, seconds: float) -> dict[str, Any]:
        pixels = self.results.work.region.size
        return {"pixels": pixels, "seconds": round(seconds, 3)}

    def _table(self) -> Path:
        item, task = self.opened.item, self.task
        return task.out / item.folder / f"{output_stem(item)}.objects.{task.table}"

    def _measure(self, found: dict[str, Path]) -> int:
        region, dims = self.results.work.region, self.task.config.object_dims
        stack = self.opened.stack
        return measure(found["table"], found["objects"], stack, region, dims)


class _DroppedError(Exception):
    """A prediction is left as it is."""


class Finisher:
    """Finishes images in a thread, one behind the one that is computed."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "finish")
        self._waiting: tuple[Item, Future[ItemDone]] | None = None

    def take(self, filling: Filling) -> Iterator[Event]:
        """Finish an image; gives the event of the one before."""
        yield from self.last()
        self._waiting = filling.opened.item, self._pool.submit(filling.finish)

    def last(self) -> Iterator[Event]:
        """Wait for the image that is being finished."""
        if self._waiting is not None:
            item, future = self._waiting
            self._waiting = None
            try:
                yield future.result()
            except Exception as error:  # noqa: BLE001  one image must not end the others
                yield failure(item, error)

    def close(self) -> None:
        """Let the thread end."""
        self._pool.shutdown()


def failure(item: Item, error: BaseException) -> ItemFailed:
    """Say why an image failed.

    Raises
    ------
    UNetError
        If there is no room left on the disk: all others would fail, too.
    """
    reason = reason_of(error)
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno in _FULL:
        raise UNetError(
            f"{reason} What is done is kept: the same command goes on, once there is "
            "room."
        ) from error
    with contextlib.suppress(OSError):
        return ItemFailed(item.name, reason, asdict(read(item.image)))
    return ItemFailed(item.name, reason)


def reason_of(error: BaseException) -> str:
    """Return what an error says, with its kind where that is not our own."""
    words = str(error)
    return words if isinstance(error, UNetError) else f"{type(error).__name__}: {words}"
