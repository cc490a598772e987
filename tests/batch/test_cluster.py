from __future__ import annotations

import logging
import os
import signal
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.batch import cluster
from napari_unet.batch import share as share_module
from napari_unet.batch.cluster import (
    connect,
    describe,
    memory_of_worker,
    predict_on_cluster,
)
from napari_unet.batch.inputs import list_items
from napari_unet.batch.item import Task
from napari_unet.batch.run import Order, run_batch
from napari_unet.batch.share import cut, key_of, pack, unpack
from napari_unet.config import (
    ClusterConfig,
    NetworkConfig,
    OutputConfig,
    PredictionConfig,
)
from napari_unet.data import as_stack, write_stack
from napari_unet.errors import ConfigError, UNetError
from napari_unet.events import BatchFinished, BatchStarted, ItemDone, ItemFailed
from napari_unet.prediction.block import Block
from napari_unet.prediction.engine import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A worker that is lost warns of it in many ways.
pytestmark = pytest.mark.filterwarnings("ignore")

FP32 = PredictionConfig(precision="fp32", memory="2GB", tile=512)


@pytest.fixture
def images(images: Path) -> Path:
    """The images of a batch, and one of which each section is cut into tiles."""
    shape = (3, 560, 610)
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    path = images / "large.tif"
    write_stack(path, pixels, shape=shape, axes="ZYX", dtype=pixels.dtype)
    return images


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    """A cluster of two processes that talk over TCP."""
    with connect(ClusterConfig(workers=2)) as client:
        yield client


def _bytes(folder: Path) -> dict[str, bytes]:
    found = [*folder.rglob("*.tif"), *folder.rglob("*.prediction.zarr/**/c/**/*")]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.is_file()
    }


def _at(client: Any) -> ClusterConfig:
    return ClusterConfig(scheduler=client.scheduler.address)


def _run(order: Order) -> BatchFinished:
    *_, last = run_batch(order)
    assert isinstance(last, BatchFinished)
    return last


@pytest.mark.parametrize("kind", ["tiff", "ome-zarr"])
def test_a_cluster_writes_the_same_bytes_as_one_machine(
    model: Path,
    images: Path,
    tmp_path: Path,
    scheduler: Any,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(share_module, "SHARE", 1)  # as many shares as can be
    files = OutputConfig(format=kind)
    how: dict[str, Any] = {"probabilities": True, "objects": True}
    there = Order(
        model, [images], tmp_path / "there", FP32, files, **how, cluster=_at(scheduler)
    )
    assert (_run(there).done, _run(there).failed) == (5, 1)
    here = Order(model, [images], tmp_path / "here", FP32, files, **how)
    assert _run(here).done == 5
    expected = _bytes(tmp_path / "here")
    assert len(expected) >= 12
    assert _bytes(tmp_path / "there") == expected


def test_the_dashboard_is_named(
    model: Path, images: Path, tmp_path: Path, scheduler: Any
) -> None:
    order = Order(
        model, [images / "one.tif"], tmp_path / "out", FP32, cluster=_at(scheduler)
    )
    started = next(iter(run_batch(order)))
    assert isinstance(started, BatchStarted)
    assert "http" in started.remarks[0]


def test_a_worker_that_dies_costs_its_shares_only(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_module, "SHARE", 1)
    with connect(ClusterConfig(workers=2)) as client:
        order = Order(
            model,
            [images],
            tmp_path / "out",
            FP32,
            cluster=_at(client),
        )
        killed = False
        for event in run_batch(order):
            if isinstance(event, ItemDone) and not killed:
                pids = client.run(os.getpid)
                os.kill(next(iter(pids.values())), signal.SIGKILL)
                killed = True
    assert isinstance(event, BatchFinished)
    assert (event.done, event.failed) == (5, 1)
    assert _run(Order(model, [images], tmp_path / "whole", FP32)).done == 5
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "whole")


def test_a_cluster_without_workers_is_said_to_wait() -> None:
    info: dict[str, Any] = {"address": "tcp://a:1", "services": {}}
    threads: dict[str, int] = {}
    client = SimpleNamespace(
        scheduler_info=lambda: info,
        nthreads=lambda: threads,
        dashboard_link="http://a:2",
    )
    assert describe(client) == (
        "Dask tcp://a:1 (no worker is there yet; it waits for one)"
    )
    info["services"], threads["one"] = {"dashboard": 2}, 4
    assert describe(client) == "Dask dashboard: http://a:2 (1 worker now)"


def test_threads_of_a_worker_share_its_memory() -> None:
    workers = {"a": {"memory_limit": 90, "nthreads": 1}}
    workers["b"] = {"memory_limit": 100, "nthreads": 4}
    client = SimpleNamespace(scheduler_info=lambda: {"workers": workers})
    assert memory_of_worker(client) == 25


def test_what_dask_says_of_itself_is_not_shown(scheduler: Any) -> None:
    loggers = [logging.getLogger(f"distributed.{each}") for each in ("core", "client")]
    assert [each.isEnabledFor(logging.ERROR) for each in loggers] == [False, False]
    before = logging.getLogger("distributed").level
    with connect(_at(scheduler)):
        pass
    assert logging.getLogger("distributed").level == before


def test_workers_leave_the_environment_as_it_was() -> None:
    """Else the processes that are started later compute with fewer threads."""
    before = dict(os.environ)
    with connect(ClusterConfig(workers=1)):
        pass
    assert dict(os.environ) == before


def test_a_lost_scheduler_is_said_and_the_batch_goes_on(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_ANSWER", 5)
    with connect(ClusterConfig(workers=1)) as client:
        order = Order(
            model,
            [images],
            tmp_path / "out",
            FP32,
            cluster=_at(client),
        )
        events = run_batch(order)
        for event in events:
            if isinstance(event, ItemDone):
                break
        client.cluster.close()
        with pytest.raises(UNetError, match="scheduler is lost"):
            list(events)
    last = _run(Order(model, [images], tmp_path / "out", FP32))
    assert (last.done, last.failed) == (5, 1)


def test_what_fails_on_a_worker_fails_alone(
    model: Path, images: Path, tmp_path: Path, scheduler: Any
) -> None:
    order = Order(
        model,
        [images / "day 2"],
        tmp_path / "out",
        FP32,
        cluster=_at(scheduler),
    )
    failed = [each for each in run_batch(order) if isinstance(each, ItemFailed)]
    assert [each.name for each in failed] == ["broken.tif"]
    assert "broken.tif" in failed[0].reason


class KilledWorker(Exception):
    """What Dask raises for a task whose workers died."""


class Deadly:
    """A cluster whose workers die of one image, always, and once of another."""

    status = "running"

    def __init__(self, *deadly: str) -> None:
        self._deadly = list(deadly)

    def nthreads(self) -> dict[str, int]:
        return {"a": 1}

    def submit(self, function: Any, *given: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        known = [each.result() if isinstance(each, Future) else each for each in given]
        image = getattr(known[1], "image", "") if len(known) > 1 else ""
        found = next((each for each in self._deadly if image.endswith(each)), None)
        try:
            if found is not None:
                self._deadly.remove(found)
                raise KilledWorker
            future.set_result(function(*known))
        except Exception as error:  # noqa: BLE001  whoever asks is told
            future.set_exception(error)
        return future

    def cancel(self, futures: list[Any]) -> None:
        """There is nothing to cancel."""


def test_an_image_is_not_blamed_for_workers_that_another_killed(
    model: Path, images: Path, tmp_path: Path
) -> None:
    from napari_unet import Model

    loaded = Model.load(model)
    out = tmp_path / "out"
    task = Task(loaded, FP32, OutputConfig(), ["labels"], out)
    items = list_items([images / "day *" / "*.tif"], out)
    client = Deadly("one.tif", "two.tif", "two.tif")
    events = list(predict_on_cluster(task, model, items, client))
    done = [each.name for each in events if isinstance(each, ItemDone)]
    failed = {each.name: each.reason for each in events if isinstance(each, ItemFailed)}
    assert sorted(done) == ["day 1/one.tif"]
    assert set(failed) == {"day 1/two.tif", "day 2/broken.tif"}
    assert "--memory" in failed["day 1/two.tif"]


def test_no_answer_is_an_error() -> None:
    with (
        pytest.raises(ConfigError, match="no scheduler file"),
        connect(ClusterConfig(scheduler="nowhere/scheduler.json")),
    ):
        pass


def _shares(shape: tuple[int, ...], **options: Any) -> tuple[Any, list[Any]]:
    import torch

    from napari_unet import Model
    from napari_unet.data import Classes
    from napari_unet.networks import build_network

    torch.manual_seed(0)
    network = NetworkConfig(depth=1, width=4)
    model = Model(build_network(network), network, Classes((0, 255)))
    stack = as_stack(np.random.default_rng(0).random(shape, np.float32))
    work = prepare(model, stack, PredictionConfig(precision="fp32", **options))
    return work, list(cut(work, lambda place: False))


def test_shares_cover_each_block_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_module, "SHARE", 2**18)
    work, shares = _shares((3, 560, 610), tile=512)
    places: list[Any] = []
    for share in shares:
        assert share.places is not None
        places += share.places
    expected = [key_of(b.place) for b in work.blocks() if not isinstance(b, int)]
    assert sorted(places) == sorted(expected)
    assert len(work.plan.tiles) == 4
    assert len(shares) == 6


def test_small_sections_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_module, "SHARE", 4 * 32 * 32)
    _, shares = _shares((10, 20, 20), tile=32)
    # Batches hold 256 windows, and sections are not cut out of one.
    assert [share.frames for share in shares] == [(0, 10)]


def test_blocks_survive_their_way() -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    shares = np.random.default_rng(0).random((2, 2, 3), np.float32)
    block = Block((1, slice(0, 2), slice(3, 6)), labels, shares, {"entropy": shares[0]})
    back = unpack(pack(block))
    assert back.place == block.place
    assert np.array_equal(back.labels, labels)
    assert back.probabilities is not None
    assert np.array_equal(back.probabilities, shares)
    assert np.array_equal(back.maps["entropy"], shares[0])
