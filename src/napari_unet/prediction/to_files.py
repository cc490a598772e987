"""Predictions that are written to files while they are computed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_unet.config import OutputConfig, PredictionConfig
from napari_unet.data.read.tiff import name_in_store
from napari_unet.data.write.ledger import read_notes
from napari_unet.data.write.zarr_store import GROUPS, ZarrWriter, part_of
from napari_unet.events import Event, PredictionFinished
from napari_unet.networks.compute import dtype_name
from napari_unet.prediction.engine import prepare
from napari_unet.prediction.results import (
    as_ngff,
    check_free,
    check_values,
    describe_purpose,
    find_store,
    find_tiffs,
    lay_out,
    list_results,
)
from napari_unet.prediction.sinks import ResultSink
from napari_unet.prediction.stores import open_tiffs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from napari_unet.data.normalisation import Normalisation
    from napari_unet.data.region import Region
    from napari_unet.data.stack import Stack
    from napari_unet.data.write.layout import Layout
    from napari_unet.model import Model
    from napari_unet.prediction.engine import Prediction
    from napari_unet.prediction.predictor import Predictor
    from napari_unet.prediction.stores import Store

    Part = str | Sequence[Sequence[int] | slice] | Region | None


class _StoppedError(Exception):
    """The prediction was stopped; what is written so far is to vanish."""


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be predicted, before anything is read of it."""

    model: Model
    stack: Stack
    config: PredictionConfig
    names: list[str]
    region: Part
    predictor: Predictor | None = None
    normalise: Normalisation | None = None

    def prepare(self, **same: Any) -> Prediction:
        """Make all ready; `same` says how an earlier process did it."""
        precision = same.get("precision", self.config.precision)
        config = replace(self.config, precision=precision)
        work = prepare(
            self.model,
            self.stack,
            config,
            self.region,
            window=same.get("window"),
            blended=same.get("blended", False),
            normalise=self.normalise,
            predictor=self.predictor,
        )
        batch = same.get("batch", work.plan.batch)
        return replace(work, plan=replace(work.plan, batch=batch))

    def layouts(self, work: Prediction) -> dict[str, Layout]:
        """Return what the results look like, by name."""
        return {
            name: lay_out(name, self.model, self.stack, work.region)
            for name in self.names
        }


def predict_to_files(
    model: Model,
    stack: Stack,
    out: Path,
    config: PredictionConfig | None = None,
    *,
    files: OutputConfig | None = None,
    labels: bool = True,
    probabilities: bool = False,
    objects: bool = False,
    region: Part = None,
    overwrite: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict a stack into TIFF files or an OME-Zarr store.

    The files are ``<stem>.labels.tif`` and, as wanted, ``<stem>.prob.tif``,
    ``<stem>.objects.tif`` and ``<stem>.uncertainty.tif`` in the folder `out`. A model
    of regression writes ``<stem>.prediction.tif`` instead of labels, its values as
    float32. They appear, all of them, when they are complete, with the image's axes,
    pixel size and unit.

    The store is ``<stem>.prediction.zarr`` in the folder, or `out` itself where that
    ends in ``.zarr``. While it is incomplete it has ``.part`` after its name, and the
    same call goes on with what is missing of it, to the same bytes.

    Memory does not grow with the number of sections nor with their size, except for
    objects: of sections they take one section, of volumes one volume.

    Yields
    ------
    PredictionStarted, TilesDone, PredictionFinished
        The last one names the files; without it nothing was written, or an incomplete
        store.

    Raises
    ------
    OutputExistsError
        Before anything is computed, if a file is there and `overwrite` is false.
    ModelError
        If the stack does not have the channels that the model expects.
    ConfigError
        If it is unclear which class is an object, they cannot be of volumes, or
        probabilities are wanted of a model that has none.
    UNetError
        If the disk is full.
    """
    config = config or PredictionConfig()
    wanted = (labels, probabilities, objects)
    names = list_results(model, config, wanted)
    yield from write_files(
        Job(model, stack, config, names, region),
        out,
        files or OutputConfig(),
        overwrite=overwrite,
        should_stop=should_stop,
    )


def write_files(
    job: Job,
    out: Path,
    files: OutputConfig,
    *,
    overwrite: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Do what `predict_to_files` does."""
    try:
        with open_results(job, out, files, overwrite=overwrite) as results:
            if not (yield from run(job, results.work, results.store, should_stop)):
                raise _StoppedError
    except _StoppedError:
        return
    yield results.finished()


@dataclass(frozen=True, eq=False)
class Results:
    """Files that are open for a prediction: see `open_results`.

    Attributes
    ----------
    work : Prediction
        What fills them.
    store : Store
    paths : dict of str to Path
        Where each result is, once it is complete.
    """

    work: Prediction
    store: Store
    paths: dict[str, Path]

    def finished(self) -> PredictionFinished:
        """Return the event that names the files."""
        return PredictionFinished(**{name: str(at) for name, at in self.paths.items()})


@contextlib.contextmanager
def open_results(
    job: Job, out: Path, files: OutputConfig, *, overwrite: bool
) -> Iterator[Results]:
    """Open the files of a prediction, which are complete when the body ends well.

    When it raises, TIFF files vanish, and a store can be gone on with.

    Raises
    ------
    OutputExistsError, ModelError, ConfigError, UNetError
        As `predict_to_files` does.
    """
    source = job.stack.source
    name = name_in_store(source) if source else job.stack.name
    store = find_store(name, out, files)
    if store is None:
        paths = find_tiffs(name, out, job.names)
        check_free(paths.values(), job.stack, overwrite=overwrite)
        check_values(job.model)
        work = job.prepare()
        with open_tiffs(paths, job.layouts(work)) as tiffs:
            yield Results(work, tiffs, paths)
        return
    check_free([store], job.stack, overwrite=overwrite)
    with _open_store(job, store, files.ome_zarr, overwrite) as (work, writer):
        yield Results(work, writer, {each: store / GROUPS[each] for each in job.names})
        writer.finish()


def run(
    job: Job,
    work: Prediction,
    store: Store,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[Event, None, bool]:
    """Put all results into a store; return whether they are complete."""
    sink = ResultSink(work, job.config, job.names, store)
    try:
        for event in work.events(
            sink.put,
            probabilities=sink.needs_probabilities,
            skip=sink.skip,
            should_stop=should_stop,
        ):
            if isinstance(event, PredictionFinished):
                sink.join()
                return True
            yield event
    finally:
        sink.close()
    return False


@contextlib.contextmanager
def _open_store(
    job: Job, path: Path, version: str, overwrite: bool
) -> Iterator[tuple[Prediction, ZarrWriter]]:
    """Open a store, new or to go on with, and the prediction that fills it.

    What was begun goes on with the same tiles and precision, whatever is free now.
    """
    same = read_notes(part_of(path))
    if len(same.get("window", ())) != job.model.config.dims:
        same = {}  # of a network that sees something else
    work = job.prepare(**same)
    layouts = {
        name: as_ngff(name, layout, job.model)
        for name, layout in job.layouts(work).items()
    }
    writer = ZarrWriter(
        path,
        layouts,
        describe_purpose(work, job.config, job.names),
        version=version,
        classes=job.model.classes,
        overwrite=overwrite,
    )
    try:
        if "window" not in writer.notes:
            if same:  # those were of something else, which is overwritten
                work = job.prepare()
            writer.note("precision", dtype_name(work.predictor.dtype))
            writer.note("window", list(work.plan.window))
            writer.note("blended", work.plan.blended)
            writer.note("batch", work.plan.batch)
        if writer.share:
            going_on = f"{path.name} is {writer.share:.0%} there already, and goes on."
            work = replace(work, remarks=(*work.remarks, going_on))
        yield work, writer
    finally:
        writer.abandon()
