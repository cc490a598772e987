"""Image after image through one network, which hardly ever waits.

While one image is computed the next one is read in a thread, and the one before is
encoded, measured and scored in another.
"""

from __future__ import annotations

import contextlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.batch.inputs import output_stem
from napari_unet.batch.manifest import Fingerprint, glance, read
from napari_unet.batch.results import file_names, measure, score
from napari_unet.data import open_stack
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.data.region import find_region
from napari_unet.errors import StackFormatError, UNetError
from napari_unet.events import (
    Event,
    ItemBegun,
    ItemDone,
    ItemFailed,
    PredictionFinished,
    PredictionStarted,
    TilesDone,
)
from napari_unet.prediction.rescaling import rescaling
from napari_unet.prediction.sinks import ResultSink
from napari_unet.prediction.to_files import Job, open_results
from napari_unet.prediction.windows import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from napari_unet.batch.inputs import Item
    from napari_unet.config import OutputConfig, PredictionConfig
    from napari_unet.data import Stack
    from napari_unet.data.normalisation import Normalisation
    from napari_unet.model import Model
    from napari_unet.prediction.predictor import Predictor
    from napari_unet.prediction.to_files import Results

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
class _Opened:
    item: Item
    stack: Stack
    normalise: Normalisation
    image: Fingerprint


class _StoppedError(Exception):
    """The image at work is left as it is."""


def predict_items(
    task: Task,
    items: Sequence[Item],
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict images one after the other, whatever becomes of any of them.

    Yields
    ------
    ItemBegun, TilesDone, ItemDone, ItemFailed
        `ItemDone` comes when the files are complete, while the next image is computed.
    """
    run = _Run(task, should_stop)
    try:
        for item, opened in read_ahead(run.open, items, depth=1):
            if should_stop():
                break
            yield from run.predict(item, opened)
        yield from run.last()
    except _StoppedError:
        yield from run.last()
    finally:
        run.close()


class _Run:
    """The network and the thread behind it, for as long as there are images."""

    def __init__(self, task: Task, should_stop: Callable[[], bool]) -> None:
        self._task = task
        self._should_stop = should_stop
        self._predictor: Predictor | None = None
        self._pool = ThreadPoolExecutor(1, "finish")
        self._finishing: tuple[Item, Future[Event]] | None = None

    def open(self, item: Item) -> _Opened:
        """Read what must be known of an image before its prediction."""
        stack = open_stack(item.image, axes=self._task.axes)
        before = read(item.image)
        size = stack.dtype.itemsize * np.prod(stack.shape, dtype=float)
        if size <= SMALL:
            stack = replace(stack, pixels=np.asarray(stack))
        seen = stack
        if self._task.config.rescale:
            region = find_region(stack, item.region)
            grid = rescaling(self._task.model, stack, region)
            seen = grid.stack if grid else stack
        return _Opened(item, stack, measure_normalisation(seen), before)

    def predict(self, item: Item, opened: Future[_Opened]) -> Iterator[Event]:
        """Compute an image, and hand it over to be finished."""
        try:
            yield from self._compute(opened.result())
        except _StoppedError:
            raise
        except Exception as error:  # noqa: BLE001  one image must not end the others
            yield _failure(item, error)

    def last(self) -> Iterator[Event]:
        """Wait for the image that is being finished."""
        if self._finishing is not None:
            item, future = self._finishing
            self._finishing = None
            try:
                yield future.result()
            except Exception as error:  # noqa: BLE001  as above
                yield _failure(item, error)

    def close(self) -> None:
        """Let the thread end."""
        self._pool.shutdown()

    def _compute(self, opened: _Opened) -> Iterator[Event]:
        task, item, began = self._task, opened.item, time.monotonic()
        job = Job(
            task.model,
            opened.stack,
            task.config,
            task.results,
            item.region,
            self._predictor,
            opened.normalise,
        )
        with contextlib.ExitStack() as files:
            folder = task.out / item.folder
            results = files.enter_context(
                open_results(job, folder, task.files, overwrite=True)
            )
            work = results.work
            self._predictor = work.predictor
            sink = ResultSink(work, task.config, task.results, results.store)
            files.callback(sink.close)
            yield from self._fill(item, results, sink)
            yield from self.last()
            rest = files.pop_all()
        spent = time.monotonic() - began
        future = self._pool.submit(self._finish, opened, results, sink, rest, spent)
        self._finishing = item, future

    def _fill(self, item: Item, results: Results, sink: ResultSink) -> Iterator[Event]:
        work = results.work
        for event in work.events(
            sink.put,
            probabilities=sink.needs_probabilities,
            skip=sink.skip,
            should_stop=self._should_stop,
        ):
            if isinstance(event, TilesDone):
                yield event
            elif isinstance(event, PredictionFinished):
                return
            elif isinstance(event, PredictionStarted):
                yield ItemBegun(
                    item.name,
                    work.region.size,
                    event.device,
                    event.precision,
                    event.remarks,
                )
        raise _StoppedError

    def _finish(
        self,
        opened: _Opened,
        results: Results,
        sink: ResultSink,
        files: contextlib.ExitStack,
        seconds: float,
    ) -> Event:
        """Complete the files of an image; measure and score what they hold."""
        task, item = self._task, opened.item
        try:
            sink.join()
        except BaseException:
            files.__exit__(*sys.exc_info())
            raise
        files.close()
        if not opened.image.same_as(glance(item.image) or Fingerprint(0, 0)):
            raise StackFormatError(
                f"{item.image} changed while it was read. Run the batch again when it "
                "is complete."
            )
        region = results.work.region
        found = dict(results.paths)
        facts: dict[str, Any] = {"pixels": region.size, "seconds": round(seconds, 3)}
        if "objects" in found:
            path = task.out / item.folder / f"{output_stem(item)}.objects.{task.table}"
            dims = task.config.object_dims
            facts["objects"] = measure(
                path, found["objects"], opened.stack, region, dims
            )
            found["table"] = path
        if item.truth is not None:
            facts["scores"] = score(found, item.truth, region)
        names = file_names(found, task.out)
        return ItemDone(item.name, asdict(opened.image), names, facts)


def _failure(item: Item, error: Exception) -> ItemFailed:
    reason = str(error)
    if not isinstance(error, UNetError):
        reason = f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        return ItemFailed(item.name, reason, asdict(read(item.image)))
    return ItemFailed(item.name, reason)
