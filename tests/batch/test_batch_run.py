from __future__ import annotations

import csv
import os
import signal
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.batch.manifest import NAME
from napari_unet.batch.outlook import Total, look_ahead
from napari_unet.batch.run import Order, run_batch
from napari_unet.config import OutputConfig, PredictionConfig
from napari_unet.data import open_stack, write_stack
from napari_unet.errors import OutputExistsError, UNetError
from napari_unet.events import (
    BatchFinished,
    BatchStarted,
    Event,
    ItemBegun,
    ItemDone,
    ItemFailed,
)
from napari_unet.prediction import predict_to_files

if TYPE_CHECKING:
    from pathlib import Path

FP32 = PredictionConfig(precision="fp32")


def _run(order: Order) -> tuple[list[Event], BatchFinished]:
    events = list(run_batch(order))
    last = events[-1]
    assert isinstance(last, BatchFinished)
    return events, last


def _bytes(folder: Path, pattern: str = "*.tif") -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob(pattern))
    }


def test_all_are_predicted_but_the_broken_one(
    model: Path, images: Path, tmp_path: Path
) -> None:
    order = Order(model, [images], tmp_path / "out", FP32)
    events, last = _run(order)
    assert (last.total, last.done, last.failed, last.left) == (5, 4, 1, 0)
    (failed,) = [each for each in events if isinstance(each, ItemFailed)]
    assert failed.name == "day 2/broken.tif"
    assert "broken.tif" in failed.reason
    found = _bytes(tmp_path / "out")
    assert set(found) == {
        "one.labels.tif",
        "day 1/one.labels.tif",
        "day 1/two.labels.tif",
        "day 2/deep/three.labels.tif",
    }
    from napari_unet import Model

    loaded = Model.load(model)
    for name in ("one.tif", "day 1/one.tif"):
        stack = open_stack(images / name)
        list(predict_to_files(loaded, stack, tmp_path / "alone", FP32))
        alone = (tmp_path / "alone" / "one.labels.tif").read_bytes()
        assert found[name.replace(".tif", ".labels.tif")] == alone
        (tmp_path / "alone" / "one.labels.tif").unlink()


def test_a_second_run_does_nothing_again(
    model: Path, images: Path, tmp_path: Path
) -> None:
    order = Order(model, [images], tmp_path / "out", FP32)
    _run(order)
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tif")
    }
    events, last = _run(order)
    started = events[0]
    assert isinstance(started, BatchStarted)
    assert (started.waiting, started.done, started.failed) == (0, 4, 1)
    assert "--retry-failed" in started.remarks[0]
    assert (last.done, last.failed) == (4, 1)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_what_changed_is_done_again(model: Path, images: Path, tmp_path: Path) -> None:
    order = Order(model, [images], tmp_path / "out", FP32)
    _run(order)
    pixels = np.full((40, 50), 7, np.uint8)
    write_stack(
        images / "one.tif",
        [pixels],
        shape=pixels.shape,
        axes="YX",
        dtype=pixels.dtype,
        overwrite=True,
    )
    (tmp_path / "out/day 1/two.labels.tif").unlink()
    events, _ = _run(order)
    again = [each.name for each in events if isinstance(each, ItemDone)]
    assert again == ["day 1/two.tif", "one.tif"]
    other = PredictionConfig(precision="fp32", tta=4)
    events, _ = _run(Order(model, [images], tmp_path / "out", other))
    assert len([each for each in events if isinstance(each, ItemDone)]) == 4


def test_failed_images_are_tried_again_when_asked(
    model: Path, images: Path, tmp_path: Path
) -> None:
    order = Order(model, [images / "day 2"], tmp_path / "out", FP32)
    _run(order)
    again = Order(model, [images / "day 2"], tmp_path / "out", FP32, retry_failed=True)
    events, _ = _run(again)
    assert [each.name for each in events if isinstance(each, ItemFailed)] == [
        "broken.tif"
    ]


def test_a_stop_leaves_the_rest_for_the_next_run(
    model: Path, images: Path, tmp_path: Path
) -> None:
    pixels = np.zeros((1500, 1500), np.uint8)
    path = images / "slow.tif"  # at work when the stop arrives
    write_stack(path, [pixels], shape=pixels.shape, axes="YX", dtype=pixels.dtype)
    tiny = PredictionConfig(precision="fp32", tile=32)
    order = Order(model, [images], tmp_path / "out", tiny)
    stopped = []
    for event in run_batch(order, should_stop=lambda: bool(stopped)):
        if isinstance(event, ItemDone):
            stopped.append(event.name)
    assert isinstance(event, BatchFinished)
    assert event.left > 0
    _, last = _run(order)
    assert (last.done, last.left) == (5, 0)


def test_a_worker_that_is_killed_costs_nothing(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.batch import process

    workers: list[process.Worker] = []

    class Watched(process.Worker):
        def __init__(self, lock: int | None = None) -> None:
            super().__init__(lock)
            workers.append(self)

    monkeypatch.setattr(process, "Worker", Watched)
    order = Order(model, [images], tmp_path / "out", FP32)
    killed = False
    for event in run_batch(order):
        if isinstance(event, ItemBegun) and not killed:
            os.kill(workers[-1].pid, signal.SIGKILL)
            killed = True
    assert isinstance(event, BatchFinished)
    assert (event.done, event.failed) == (4, 1)
    whole = Order(model, [images], tmp_path / "whole", FP32)
    _run(whole)
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "whole")


def test_an_image_that_kills_its_worker_is_the_only_one_to_fail(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.batch import process

    class Doomed(process.Worker):
        """Dies whenever it turns to that image."""

        def ask(self, request, should_stop):  # type: ignore[no-untyped-def]
            for event in super().ask(request, should_stop):
                if isinstance(event, ItemBegun) and event.name == "day 1/two.tif":
                    os.kill(self.pid, signal.SIGKILL)
                    self._process.wait()
                    raise process.WorkerDiedError(self._how_it_died())
                yield event

    monkeypatch.setattr(process, "Worker", Doomed)
    events, last = _run(Order(model, [images], tmp_path / "out", FP32))
    assert (last.done, last.failed) == (3, 2)
    reasons = {
        each.name: each.reason for each in events if isinstance(each, ItemFailed)
    }
    assert "killed" in reasons["day 1/two.tif"]
    assert "--memory" in reasons["day 1/two.tif"]


def test_objects_are_measured_and_truth_is_scored(
    model: Path, images: Path, tmp_path: Path
) -> None:
    first = Order(model, [images / "one.tif"], tmp_path / "first", FP32)
    _run(first)
    truth = tmp_path / "truth"
    truth.mkdir()
    (tmp_path / "first/one.labels.tif").rename(truth / "one_mask.tif")
    order = Order(
        model,
        [images / "one.tif"],
        tmp_path / "out",
        PredictionConfig(precision="fp32", minimum_size=0),
        objects=True,
        probabilities=True,
        truth=truth,
    )
    events, _ = _run(order)
    (done,) = [each for each in events if isinstance(each, ItemDone)]
    assert set(done.files) == {"labels", "probabilities", "objects", "table"}
    with (tmp_path / "out/one.objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    objects = np.asarray(open_stack(tmp_path / "out/one.objects.tif"))
    assert len(rows) == objects.max() == done.facts["objects"]
    with (tmp_path / "out/batch.csv").open() as file:
        (row,) = list(csv.DictReader(file))
    assert (row["name"], row["state"]) == ("one.tif", "done")
    assert float(row["mean_iou"]) == 1.0  # scored by its own prediction
    assert "mean IoU" in (tmp_path / "out/batch.html").read_text()


def test_regions_of_a_table_are_predicted_and_scored(
    model: Path, images: Path, tmp_path: Path
) -> None:
    _run(Order(model, [images / "one.tif"], tmp_path / "whole", FP32))
    table = tmp_path / "in.csv"
    table.write_text(
        'path,truth,region\nimages/one.tif,whole/one.labels.tif,"5:25,10:40"\n'
    )
    events, _ = _run(Order(model, [table], tmp_path / "out", FP32))
    (done,) = [each for each in events if isinstance(each, ItemDone)]
    part = np.asarray(open_stack(tmp_path / "out/images/one.labels.tif"))
    whole = np.asarray(open_stack(tmp_path / "whole/one.labels.tif"))
    assert np.array_equal(part, whole[5:25, 10:40])
    assert done.facts["pixels"] == 20 * 30
    assert done.facts["scores"]["overlap"]["mean_iou"] == 1.0


@pytest.mark.parametrize("region", ["", '"5:25,10:40"'])
def test_a_truth_of_another_image_fails_before_anything_is_computed(
    model: Path, images: Path, tmp_path: Path, region: str
) -> None:
    table = tmp_path / "in.csv"  # one.tif has 40 × 50 pixels, its truth 64 × 64
    table.write_text(
        f"path,truth,region\nimages/one.tif,images/day 1/two.tif,{region}\n"
    )
    order = Order(model, [table], tmp_path / "out", FP32)
    (outlook,) = look_ahead(order)
    total = Total().plus(outlook)
    assert "64 × 64 pixels large" in outlook.problem
    assert "40 × 50: give the mask of this image" in outlook.problem
    assert (total.failing, total.failed) == (1, 0)
    events, last = _run(order)
    assert last.failed == 1
    assert not [each for each in events if isinstance(each, ItemBegun)]
    assert not (tmp_path / "out/images").exists()
    (again,) = look_ahead(order)
    assert (again.state, again.problem) == ("failed", outlook.problem)


def test_results_do_not_go_into_a_file(model: Path, images: Path) -> None:
    order = Order(model, [images / "day 1"], images / "one.tif")
    with pytest.raises(OutputExistsError, match="is a file, but"):
        list(run_batch(order))


def test_stores_are_written_and_done(model: Path, images: Path, tmp_path: Path) -> None:
    files = OutputConfig(format="ome-zarr")
    order = Order(model, [images / "day 1"], tmp_path / "out", FP32, files)
    _, last = _run(order)
    assert last.done == 2
    store = tmp_path / "out/one.prediction.zarr"
    assert open_stack(store).shape[-2:] == (33, 47)
    events, _ = _run(order)
    assert not [each for each in events if isinstance(each, ItemDone)]


def test_files_of_others_are_not_replaced(
    model: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out/one.labels.tif"
    mine.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"one\.labels\.tif"):
        _run(Order(model, [images / "one.tif"], tmp_path / "out", FP32))
    assert mine.read_bytes() == b"mine"
    assert not (tmp_path / "out" / NAME).exists()


def test_an_image_that_vanishes_fails_alone(
    model: Path, images: Path, tmp_path: Path
) -> None:
    order = Order(model, [images], tmp_path / "out", FP32)
    for event in run_batch(order):
        if isinstance(event, BatchStarted):
            assert len(event.names) == event.waiting == 5
            (images / "one.tif").unlink()
        if isinstance(event, ItemFailed) and event.name == "one.tif":
            assert "does not exist" in event.reason
    assert isinstance(event, BatchFinished)
    assert (event.done, event.failed) == (3, 2)


def test_two_runs_at_once_are_told_apart(
    model: Path, images: Path, tmp_path: Path
) -> None:
    order = Order(model, [images], tmp_path / "out", FP32)
    first = run_batch(order)
    next(first)
    with pytest.raises(UNetError, match="another process"):
        next(run_batch(order))
    assert isinstance(list(first)[-1], BatchFinished)


def test_tables_that_cannot_be_written_are_said_before_anything_is_predicted(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    order = Order(model, [images], tmp_path / "out", objects=True, table="parquet")
    with pytest.raises(UNetError, match="pip install pandas pyarrow"):
        next(run_batch(order))
    assert not (tmp_path / "out").exists()
