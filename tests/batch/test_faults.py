"""A batch whose processes, disks and files fail it: nothing is lost or half-written."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.batch.inputs import list_items
from napari_unet.batch.item import Task
from napari_unet.batch.manifest import NAME
from napari_unet.batch.pipeline import predict_items
from napari_unet.batch.run import Order, run_batch
from napari_unet.cli import main
from napari_unet.config import OutputConfig, PredictionConfig
from napari_unet.data import write_stack
from napari_unet.errors import UNetError
from napari_unet.events import BatchFinished, ItemBegun, ItemDone, ItemFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

psutil = pytest.importorskip("psutil")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

WANTED = ["--probabilities", "--objects", "--precision", "fp32", "--memory", "1GB"]


def save_image(path: Path, *shape: int) -> None:
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, shape, np.uint8)
    axes = "ZYX"[-len(shape) :]
    sections = pixels.reshape(-1, *shape[-2:])
    write_stack(
        path, sections, shape=shape, axes=axes, dtype=pixels.dtype, overwrite=True
    )


@pytest.fixture
def many(images: Path) -> Path:
    """Ten images that are done after a while, and one that is broken."""
    for number in range(6):
        save_image(images / f"day 3/{number}.tif", 4, 100 + 40 * number, 150)
    return images


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""Sums in several threads are rounded otherwise."""


# -- real processes ------------------------------------------------------------------


def start(*words: object) -> subprocess.Popen[str]:
    """Start the command line."""
    command = [sys.executable, "-m", "napari_unet", "batch", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=ONE_THREAD, stdout=pipe, stderr=pipe, text=True
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> str:
    """Wait for its end; return what it said."""
    said, complaint = process.communicate(timeout=seconds)
    return said + complaint


def lines(out: Path) -> int:
    journal = out / NAME
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for(process: subprocess.Popen[str], out: Path, count: int) -> bool:
    """Wait until a manifest has so many lines; false if the process ends before."""
    end = time.monotonic() + 120
    while lines(out) < count:
        if process.poll() is not None:
            return False
        assert time.monotonic() < end
        time.sleep(0.002)
    return True


def kill(process: subprocess.Popen[str]) -> list[Any]:
    """Kill a process alone; return those that it had started."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    return children


def files(folder: Path) -> dict[str, bytes]:
    """Return all results; reports and the manifest hold times.

    What is being written is not looked into: it may be renamed meanwhile.
    """
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if not each.endswith(".part")]
        for name in names:
            if not name.endswith(".part") and not name.startswith("batch."):
                path = Path(place, name)
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def unbroken(model: Path, images: Path, out: Path, *words: str) -> dict[str, bytes]:
    process = start(model, images, "--out", out, *WANTED, *words)
    finish(process)
    assert process.returncode == 1  # one is broken
    return files(out)


def assert_same(out: Path, whole: dict[str, bytes]) -> None:
    """Compare names, then contents: the difference of bytes takes pytest hours."""
    found = files(out)
    assert found.keys() == whole.keys()
    assert [name for name in found if found[name] != whole[name]] == []


def check(out: Path, whole: dict[str, bytes]) -> dict[str, int]:
    """Check that what has its final name is final; return when it got it."""
    found = files(out)
    assert [name for name in found if found[name] != whole.get(name)] == []
    times = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (out / NAME).read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            for name in record.get("files", {}).values():
                path = out / name
                times[name] = path.stat().st_mtime_ns
    return times


def parts(out: Path) -> list[Path]:
    return [each for each in out.rglob("*.part") if each.name.startswith(".")]


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("tiff", 3), ("ome-zarr", 2)])
def test_kills_cost_no_more_than_what_was_at_work(
    model: Path, many: Path, tmp_path: Path, kind: str, kills: int
) -> None:
    whole = unbroken(model, many, tmp_path / "whole", "--format", kind)
    assert len(whole) >= 40
    out, rng = tmp_path / "out", random.Random(kind)
    words = (model, many, "--out", out, *WANTED, "--format", kind)
    for number in range(kills):
        process = start(*words)
        wait_for(process, out, 3 + number * 8 // kills)
        time.sleep(0.3 * rng.random())
        if number % 2:  # the process that works goes with it, at the same moment
            for child in psutil.Process(process.pid).children():
                child.kill()
        kill(process)
        done = check(out, whole)
    process = start(*words)
    assert "10 of 11 images are done, 1 failed" in finish(process)
    assert process.returncode == 1
    assert_same(out, whole)
    assert done == {name: (out / name).stat().st_mtime_ns for name in done}
    assert parts(out) == []
    assert (out / "batch.html").exists()


@posix
@pytest.mark.slow
def test_killed_workers_are_replaced(model: Path, many: Path, tmp_path: Path) -> None:
    whole = unbroken(model, many, tmp_path / "whole")
    out, rng = tmp_path / "out", random.Random(1)
    process = start(model, many, "--out", out, *WANTED)
    for count in (4, 8):
        assert wait_for(process, out, count)
        time.sleep(0.2 * rng.random())
        for child in psutil.Process(process.pid).children():
            child.kill()
    assert "10 of 11 images are done, 1 failed" in finish(process)
    assert_same(out, whole)


@posix
@pytest.mark.slow
def test_a_run_waits_for_what_a_killed_one_left_at_work(
    model: Path, many: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = (model, many / "day 3", "--out", out, *WANTED)
    process = start(*words)
    assert wait_for(process, out, 3)
    (worker,) = psutil.Process(process.pid).children()
    worker.suspend()  # at a disk that does not answer, say
    kill(process)
    process = start(*words)
    assert "another process" in finish(process)
    assert process.returncode == 1
    worker.resume()  # it ends by itself
    process = start(*words)
    assert "6 of 6 images are done" in finish(process)
    assert process.returncode == 0


@posix
@pytest.mark.slow
def test_interruptions_end_in_good_order(model: Path, tmp_path: Path) -> None:
    for name in "abcdefghijkl":
        save_image(tmp_path / "in" / f"{name}.tif", 16, 200, 200)
    out = tmp_path / "out"
    words = (model, tmp_path / "in", "--out", out, *WANTED)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(*words)
        assert wait_for(process, out, max(3, lines(out) + 1))
        process.send_signal(number)
        assert "the same command goes on" in finish(process)
        assert process.returncode == 1
        assert (out / "batch.csv").exists()
        assert parts(out) == []
    process = start(*words)
    assert "12 of 12 images are done" in finish(process)
    assert process.returncode == 0


@posix
def test_an_image_that_is_cut_short_at_work_fails_alone(
    model: Path, images: Path, tmp_path: Path
) -> None:
    save_image(images / "cut.tif", 16, 500, 500)
    config = PredictionConfig(precision="fp32", memory="1GB")
    order = Order(model, [images], tmp_path / "out", config)
    failed = {}
    for event in run_batch(order):
        if isinstance(event, ItemBegun) and event.name == "cut.tif":
            # What the system does to a process that reads where the file has ended.
            for each in psutil.Process().children():
                if "napari_unet.worker" in each.cmdline():
                    each.send_signal(signal.SIGBUS)
        if isinstance(event, ItemFailed):
            failed[event.name] = event.reason
    assert isinstance(event, BatchFinished)
    assert (event.done, event.failed) == (4, 2)
    assert "cut short while it was read" in failed["cut.tif"]
    assert not list((tmp_path / "out").glob("cut*"))
    assert parts(tmp_path / "out") == []


# -- clusters ------------------------------------------------------------------------


@posix
@pytest.mark.slow
def test_a_cluster_that_loses_workers_and_the_client(
    model: Path, many: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    whole = unbroken(model, many, tmp_path / "whole")
    out, rng = tmp_path / "out", random.Random(2)
    words = (model, many, "--out", out, *WANTED)
    process = start(*words, "--workers", 2)
    assert wait_for(process, out, 3)
    busy = [
        each
        for each in psutil.Process(process.pid).children(recursive=True)
        if any("spawn_main" in word for word in each.cmdline())
    ]
    rng.choice(busy).kill()
    assert wait_for(process, out, 6)
    time.sleep(0.3 * rng.random())
    children = kill(process)
    check(out, whole)
    _, alive = psutil.wait_procs(children, 30)
    assert alive == []
    process = start(*words)
    assert "10 of 11 images are done, 1 failed" in finish(process)
    assert_same(out, whole)
    assert parts(out) == []


@posix
@pytest.mark.slow
def test_a_scheduler_that_is_killed(model: Path, many: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    whole = unbroken(model, many, tmp_path / "whole")
    out, at = tmp_path / "out", tmp_path / "scheduler.json"
    with contextlib.ExitStack() as cluster:

        def dask(*words: object) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "dask", *map(str, words)]
            quiet = subprocess.DEVNULL
            process = subprocess.Popen(
                command, env=ONE_THREAD, stdout=quiet, stderr=quiet
            )
            cluster.callback(process.wait)
            cluster.callback(process.kill)
            return process

        where = ("--scheduler-file", at)
        scheduler = dask("scheduler", "--port", 0, "--no-dashboard", *where)
        while not at.exists():
            time.sleep(0.05)
        dask("worker", "--nthreads", 1, "--no-nanny", "--no-dashboard", *where)
        words = (model, many, "--out", out, *WANTED)
        process = start(*words, "--scheduler", at)
        assert wait_for(process, out, 4)
        scheduler.kill()
        assert "the same command goes on" in finish(process)
        assert process.returncode == 1
    check(out, whole)
    process = start(*words)
    assert "10 of 11 images are done, 1 failed" in finish(process)
    assert_same(out, whole)


# -- disks and files -----------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_a_batch_that_goes_on_later(
    model: Path, images: Path, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(980_000))
    config = PredictionConfig(precision="fp32", memory="1GB")
    order = Order(model, [images], small_disk / "out", config, probabilities=True)
    with pytest.raises(UNetError, match=r"No space.*same command goes on"):
        list(run_batch(order))
    assert parts(small_disk) == []
    ballast.unlink()
    *_, last = run_batch(order)
    assert isinstance(last, BatchFinished)
    assert (last.done, last.failed) == (4, 1)


def test_a_disk_that_cannot_be_written_to_is_said(
    model: Path, images: Path, small_disk: Path
) -> None:
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    with pytest.raises(UNetError, match=r"disk.* cannot be written to"):
        list(run_batch(Order(model, [images], small_disk / "out")))


@pytest.fixture
def task(model: Path, tmp_path: Path) -> Task:
    from napari_unet import Model

    config = PredictionConfig(precision="fp32", memory="1GB")
    loaded = Model.load(model)
    return Task(loaded, config, OutputConfig(), ["labels"], tmp_path / "out")


def test_an_image_that_changes_while_it_is_read_fails(
    task: Task, images: Path, tmp_path: Path
) -> None:
    found: dict[str, Any] = {}
    for event in predict_items(task, list_items([images], tmp_path / "out")):
        if isinstance(event, ItemBegun) and event.name == "day 1/two.tif":
            save_image(images / event.name, 64, 65)
        if isinstance(event, ItemBegun) and event.name == "one.tif":
            (images / event.name).unlink()
        if isinstance(event, ItemDone | ItemFailed):
            found[event.name] = event
    failed = {
        name: event.reason
        for name, event in found.items()
        if isinstance(event, ItemFailed)
    }
    assert set(failed) == {"day 1/two.tif", "one.tif", "day 2/broken.tif"}
    assert "changed while it was read" in failed["day 1/two.tif"]
    written = sorted(each.name for each in (tmp_path / "out").rglob("*.tif"))
    assert written == ["one.labels.tif", "three.labels.tif"]


def test_a_clock_that_goes_backwards_changes_nothing(
    task: Task, images: Path, tmp_path: Path
) -> None:
    items = list_items([images / "one.tif"], tmp_path / "out")
    for event in predict_items(task, items):
        if isinstance(event, ItemBegun):
            os.utime(images / "one.tif", ns=(1, 1))
    assert isinstance(event, ItemDone)


def test_what_a_kill_left_is_swept_and_nothing_else(
    model: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "day 1").mkdir(parents=True)
    ours = out / "day 1/.two.labels.tif.a1b2c3d4.part", out / ".batch.csv.x_2.part"
    others = out / ".notes.txt.a1b2c3d4.part", out / "day 1/.mine.part"
    for path in (*ours, *others):
        path.touch()
    list(run_batch(Order(model, [images / "*" / "two.tif"], out)))
    assert [path.exists() for path in (*ours, *others)] == [False, False, True, True]


@pytest.mark.slow
def test_each_kind_of_file_is_done_or_failed_with_a_reason(
    model: Path, data_folder: Path, tmp_path: Path
) -> None:
    zoo = data_folder / "tiff_zoo"
    command = ["batch", str(model), str(zoo), "--out", str(tmp_path / "out"), "--quiet"]
    assert main(command) == 1
    with (tmp_path / "out/batch.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(list_items([zoo], tmp_path / "out"))
    assert {row["state"] for row in rows} == {"done", "failed"}
    for row in rows:
        name = Path(row["name"]).name.split(".")[0]
        if row["state"] == "failed":
            assert name in row["reason"], row
            assert row["reason"].endswith((".", ").")), row
        else:
            folder = tmp_path / "out" / Path(row["name"]).parent
            assert list(folder.glob(f"{name}*.labels.tif")), row
