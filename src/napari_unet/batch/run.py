"""A whole batch, from its inputs to the report, which goes on after any kill."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from napari_unet.batch.inputs import list_items
from napari_unet.batch.manifest import (
    Fingerprint,
    Manifest,
    Record,
    read,
)
from napari_unet.batch.order import Order, check_output, find_purposes, sweep
from napari_unet.batch.process import Survivor
from napari_unet.batch.report import write_reports
from napari_unet.config import PredictionConfig
from napari_unet.events import (
    BatchFinished,
    BatchStarted,
    Event,
    ItemBegun,
    ItemDone,
    ItemFailed,
)
from napari_unet.model import find_model
from napari_unet.prediction.memory import SHARE, free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_unet.batch.inputs import Item

__all__ = ["Order", "list_waiting", "run_batch"]


def run_batch(
    order: Order, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Predict many images, and go on with a batch that was stopped or killed.

    What is done is not done again, unless the image, the model or an option changed.
    An image that fails is noted with the reason, and the others go on.

    Parameters
    ----------
    order : Order
    should_stop : callable
        Asked between tiles; when true, the image at work is left as it is.

    Yields
    ------
    BatchStarted, ItemBegun, TilesDone, ItemDone, ItemFailed, BatchFinished

    Raises
    ------
    StackFormatError, ConfigError
        Before anything is predicted, if an input does not exist or two would be
        written to the same files.
    OutputExistsError
        If the output folder is no batch's, and holds files that would be replaced.
    UNetError
        If another process works on the folder.
    """
    items = list_items(order.inputs, order.out, order.truth)
    order.results()
    check_output(order, items)
    manifest = Manifest(order.out)
    try:
        sweep(order, items)
        purposes = find_purposes(order, items)
        todo = list_waiting(order, items, purposes, manifest)
        with _cluster(order if todo else None) as client:
            yield _started(items, todo, manifest, client)
            for event in _predict(order, todo, manifest, client, should_stop):
                _note(manifest, event, purposes)
                yield event
        sweep(order, items)  # what processes that died have left
        yield _finished(order, items, purposes, manifest)
    finally:
        manifest.close()


def list_waiting(
    order: Order,
    items: Sequence[Item],
    purposes: dict[str, str],
    manifest: Manifest,
) -> list[Item]:
    """List the images that are to be predicted now."""
    return [
        item
        for item in items
        if not manifest.is_done(item, purposes[item.name])
        and (order.retry_failed or not manifest.has_failed(item, purposes[item.name]))
    ]


@contextlib.contextmanager
def _cluster(order: Order | None) -> Iterator[Any]:
    """Connect to the Dask cluster that is to do the work; None where there is none."""
    if order is None or not order.cluster:
        yield None
        return
    from napari_unet.batch.cluster import connect

    with connect(order.cluster) as client:
        yield client


def _predict(
    order: Order,
    items: list[Item],
    manifest: Manifest,
    client: Any,
    should_stop: Callable[[], bool],
) -> Iterator[Event]:
    """Predict with the same precision and tiles as earlier runs of the batch did."""
    if not items:
        return
    options = order.config.to_dict()
    known = read(find_model(order.model)).digest
    memory, precision = f"memory of {known}", f"precision of {known}"
    if options["memory"] is None:
        if memory not in manifest.settled:
            manifest.settle(**{memory: str(_memory(client))})
        options["memory"] = manifest.settled[memory]
    open_question = options["precision"] == "auto"
    if open_question:
        options["precision"] = manifest.settled.get(precision, "auto")
    for event in _at_work(order, options, items, manifest, client, should_stop):
        if open_question and isinstance(event, ItemBegun):
            open_question = False
            options["precision"] = event.precision
            manifest.settle(**{precision: event.precision})
        yield event


def _at_work(
    order: Order,
    options: dict[str, Any],
    items: list[Item],
    manifest: Manifest,
    client: Any,
    should_stop: Callable[[], bool],
) -> Iterator[Event]:
    """Predict on a cluster, or in a process of its own."""
    if client is None:
        request = {
            "do": "batch",
            "model": str(order.model),
            "out": str(order.out),
            "options": options,
            "files": order.files.to_dict(),
            "results": order.results(),
            "table": order.table,
            "axes": order.axes,
        }
        yield from Survivor(request, should_stop, manifest.lock).predict(items)
        return
    from napari_unet.batch.cluster import predict_on_cluster
    from napari_unet.batch.item import Task
    from napari_unet.model import Model

    task = Task(
        Model.load(order.model),
        PredictionConfig.from_dict(options),
        order.files,
        order.results(),
        order.out,
        order.table,
        order.axes,
    )
    yield from predict_on_cluster(task, order.model, items, client, should_stop)


def _memory(client: Any) -> int:
    """Return the bytes that tiles may take where they are computed."""
    if client is None:
        return int(SHARE * free_memory())
    from napari_unet.batch.cluster import memory_of_worker

    return int(SHARE * memory_of_worker(client))


def _note(manifest: Manifest, event: Event, purposes: dict[str, str]) -> None:
    if not isinstance(event, ItemDone | ItemFailed):
        return
    image = Fingerprint(**event.image) if event.image else None
    purpose = purposes[event.name]
    if isinstance(event, ItemDone):
        record = Record(event.name, "done", purpose, image, event.files, event.facts)
    else:
        record = Record(event.name, "failed", purpose, image, reason=event.reason)
    manifest.add(record)


def _started(
    items: Sequence[Item], todo: Sequence[Item], manifest: Manifest, client: Any
) -> BatchStarted:
    names = [item.name for item in todo]
    waiting = set(names)
    settled = [item for item in items if item.name not in waiting]
    failed = sum(manifest.records[item.name].state == "failed" for item in settled)
    remarks = []
    if client:
        from napari_unet.batch.cluster import describe

        remarks.append(describe(client))
    if failed:
        remarks.append(
            f"{failed} failed in an earlier run and did not change since: "
            "--retry-failed tries them again."
        )
    done = len(settled) - failed
    return BatchStarted(len(items), len(todo), done, failed, remarks, names)


def _finished(
    order: Order,
    items: Sequence[Item],
    purposes: dict[str, str],
    manifest: Manifest,
) -> BatchFinished:
    records = [
        record
        for item in items
        if (record := manifest.records.get(item.name))
        and record.purpose == purposes[item.name]
    ]
    done = sum(record.state == "done" for record in records)
    failed = sum(record.state == "failed" for record in records)
    left = len(items) - done - failed
    reports = write_reports(order.out, order.model, items, manifest.records)
    return BatchFinished(
        len(items), done, failed, left, [str(each) for each in reports]
    )
