"""Runs that were killed, and go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_unet import Model, train
from napari_unet.data import Stack, open_stack, write_stack
from napari_unet.errors import ConfigError, TrainingError
from napari_unet.training import judge, loop

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 10
OPTIONS: dict[str, Any] = {
    "depth": 2,
    "width": 4,
    "patch_size": 32,
    "batch_size": 2,
    "dropout": 0.2,
    "precision": "fp32",
    "device": "cpu",
    "checkpoint_every": 0.0,
}


@dataclass
class Unbroken:
    folder: Path
    run: Path

    def train(self, run: Path, **options: Any) -> Model:
        image, labels = self.folder / "image.tif", self.folder / "labels.tif"
        return train(image, labels, run=run, **options)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """A stack with its labels as files, and a run on them that nobody killed."""
    folder = tmp_path_factory.mktemp("unbroken")
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, 2, (5, 6, 6)), np.ones((8, 8))).astype(np.uint8)
    image = (80 * labels + random.integers(0, 90, labels.shape)).astype(np.uint8)
    for name, pixels in {"image": image, "labels": labels}.items():
        write_stack(
            folder / f"{name}.tif", pixels, shape=(5, 48, 48), axes="ZYX", dtype="uint8"
        )
    made = Unbroken(folder, folder / "run")
    made.train(made.run, steps=STEPS, **OPTIONS)
    return made


def tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def assert_same_end(run: Path, expected: Path) -> None:
    for name in ("model.safetensors", "last.safetensors"):
        mine, its = tensors(run / name), tensors(expected / name)
        assert mine.keys() == its.keys()
        different = [key for key in mine if not torch.equal(mine[key], its[key])]
        assert different == []
    mine_last, its_last = (
        {**json.loads((folder / "last.json").read_text()), "elapsed": 0}
        for folder in (run, expected)
    )
    assert mine_last == its_last


def assert_log_is_whole(run: Path) -> None:
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [event["step"] for event in events if event["event"] == "StepDone"]
    assert steps == list(range(1, STEPS + 1))
    judged = Counter(e["step"] for e in events if e["event"] == "Validated")
    assert set(judged.values()) == {1}
    assert events[-1]["event"] == "TrainingFinished"


def start(unbroken: Unbroken, run: Path, *more: str) -> subprocess.Popen[str]:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    command = [sys.executable, "-m", "napari_unet", "train"]
    files = [str(unbroken.folder / name) for name in ("image.tif", "labels.tif")]
    tail = [f"--run={run}", f"--steps={STEPS}", "--json", *flags, *more]
    return subprocess.Popen(
        [*command, *files, *tail], stdout=subprocess.PIPE, text=True
    )


def kill_after(process: subprocess.Popen[str], kind: str, count: int) -> None:
    """Kill the process when it has reported `count` events of that kind."""
    assert process.stdout is not None
    for line in process.stdout:
        count -= json.loads(line)["event"] == kind
        if count <= 0:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL


def test_two_processes_train_the_same_weights(
    unbroken: Unbroken, tmp_path: Path
) -> None:
    process = start(unbroken, tmp_path / "run")
    process.communicate()
    assert process.returncode == 0
    assert_same_end(tmp_path / "run", unbroken.run)
    assert_log_is_whole(tmp_path / "run")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("TrainingStarted", 1),
        ("StepDone", 1),
        ("StepDone", 6),
        ("CheckpointSaved", 3),
        ("Validated", 4),
    ],
)
def test_killed_run_ends_as_if_it_was_not(
    unbroken: Unbroken, tmp_path: Path, kind: str, count: int
) -> None:
    run = tmp_path / "run"
    kill_after(start(unbroken, run), kind, count)
    if kind == "StepDone":  # by the command line, and killed once more
        kill_after(start(unbroken, run, "--resume"), "StepDone", 2)
    unbroken.train(run, resume=True)
    assert_same_end(run, unbroken.run)
    assert_log_is_whole(run)


@pytest.mark.parametrize("place", range(4))
def test_run_killed_between_any_two_files_can_be_resumed(
    unbroken: Unbroken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """The folder as it is between the writes of one step, copied from the inside."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    save_last, save_model = loop.RunFolder.save_last, loop.Model.save
    append, validate = loop.RunFolder.append, judge.Judge.validate
    score, judged = judge.score_held_out, 0

    def snapshot(which: int, step: int) -> None:
        if which == place and step == 6 and not copy.exists():
            shutil.copytree(run, copy)

    def watched_last(self: Any, progress: Any, state: Any) -> None:
        snapshot(0, progress.step)
        save_last(self, progress, state)
        snapshot(1, progress.step)

    def watched_model(self: Any, path: Any) -> Any:
        saved = save_model(self, path)
        snapshot(2, self.history["step"])
        return saved

    def watched_append(self: Any, event: Any) -> None:
        append(self, event)
        if type(event).__name__ == "StepDone":
            snapshot(3, event.step)

    def watched_validate(self: Any, progress: Any) -> Any:
        nonlocal judged
        judged = progress.step
        yield from validate(self, progress)

    def ever_better(*held_out: Any) -> Any:
        loss, found = score(*held_out)
        return loss, replace(found, mean_iou=judged / STEPS)

    monkeypatch.setattr(judge.Judge, "validate", watched_validate)
    monkeypatch.setattr(judge, "score_held_out", ever_better)
    monkeypatch.setattr(loop.RunFolder, "save_last", watched_last)
    monkeypatch.setattr(loop.RunFolder, "append", watched_append)
    monkeypatch.setattr(loop.Model, "save", watched_model)
    monkeypatch.setattr(judge.Judge, "due", lambda *_: True)
    unbroken.train(run, steps=STEPS, **OPTIONS)
    unbroken.train(copy, resume=True)
    assert_same_end(copy, run)
    assert_log_is_whole(copy)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_every_optimiser_and_schedule_goes_on_where_it_was(
    unbroken: Unbroken,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
    schedule: str,
) -> None:
    """The folder as it was at a checkpoint, after the rate of plateau was halved."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    score, validate, judged = judge.score_held_out, judge.Judge.validate, 0

    def watched(self: Any, progress: Any) -> Any:
        nonlocal judged
        judged = progress.step
        yield from validate(self, progress)

    def ever_worse(*held_out: Any) -> Any:
        loss, found = score(*held_out)
        return loss, replace(found, mean_iou=1 - judged / STEPS)

    def snapshot(event: Any) -> None:
        if type(event).__name__ == "CheckpointSaved" and event.step == 5:
            shutil.copytree(run, copy)

    monkeypatch.setattr(judge.Judge, "validate", watched)
    monkeypatch.setattr(judge, "score_held_out", ever_worse)
    made = {"optimizer": optimizer, "schedule": schedule, "clip": 0.5, "loss": "dice"}
    given = {**OPTIONS, **made, "epochs": 2, "steps_per_epoch": STEPS // 2}
    unbroken.train(run, on_event=snapshot, **given)
    at_copy = json.loads((copy / "last.json").read_text())
    assert (at_copy["step"], at_copy["cuts"]) == (5, 2)
    unbroken.train(copy, resume=True)
    assert_same_end(copy, run)
    assert_log_is_whole(copy)
    steps = [e for e in loop.RunFolder(run).log() if e["event"] == "StepDone"]
    halved = steps[2]["learning_rate"] / steps[4]["learning_rate"]
    assert (halved == 2) == (schedule == "plateau")


def test_longer_training_goes_on_from_the_end(
    unbroken: Unbroken, tmp_path: Path
) -> None:
    shutil.copytree(unbroken.run, tmp_path / "run")
    model = unbroken.train(tmp_path / "run", resume=True, steps=STEPS + 2)
    assert json.loads((tmp_path / "run" / "last.json").read_text())["step"] == STEPS + 2
    assert model.history["step"] <= STEPS + 2


def test_classes_can_be_named_on_resuming(unbroken: Unbroken, tmp_path: Path) -> None:
    shutil.copytree(unbroken.run, tmp_path / "run")
    seen: list[Any] = []
    how = {"resume": True, "steps": STEPS + 1, "class_names": "1=cell"}
    unbroken.train(tmp_path / "run", **how, on_event=seen.append)
    assert any(line.startswith("1 → class 1, cell") for line in seen[0].mapping)


def test_time_given_on_resuming_counts(unbroken: Unbroken, tmp_path: Path) -> None:
    """A run of so many steps can go on by the clock."""
    shutil.copytree(unbroken.run, tmp_path / "run")
    seen: list[Any] = []
    unbroken.train(tmp_path / "run", resume=True, budget="0.01s", on_event=seen.append)
    assert seen[-1].reason == "budget"


def test_finished_run_stays_as_it_is(unbroken: Unbroken, tmp_path: Path) -> None:
    shutil.copytree(unbroken.run, tmp_path / "run")
    unbroken.train(tmp_path / "run", resume=True)
    assert_same_end(tmp_path / "run", unbroken.run)
    assert_log_is_whole(tmp_path / "run")


def test_run_whose_model_was_removed_makes_a_new_one(
    unbroken: Unbroken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = judge.score_held_out
    first = iter([1.0])

    def best_first(*held_out: Any) -> Any:
        loss, found = score(*held_out)
        return loss, replace(found, mean_iou=next(first, found.mean_iou))

    monkeypatch.setattr(judge, "score_held_out", best_first)
    run = tmp_path / "run"
    model = unbroken.train(run, steps=STEPS, **OPTIONS)
    assert model.history["step"] == 1
    (run / "model.safetensors").unlink()
    unbroken.train(run, resume=True)
    assert Model.load(run).history["step"] == STEPS


def test_other_pixels_are_refused(unbroken: Unbroken, tmp_path: Path) -> None:
    shutil.copytree(unbroken.run, tmp_path / "run")
    pixels = np.asarray(open_stack(unbroken.folder / "image.tif")).copy()
    pixels[0, 0, 0] ^= 1
    before = (tmp_path / "run" / "log.jsonl").read_text()
    with pytest.raises(TrainingError, match="other pixels"):
        train(
            Stack(pixels, "ZYX"),
            unbroken.folder / "labels.tif",
            run=tmp_path / "run",
            resume=True,
        )
    assert (tmp_path / "run" / "log.jsonl").read_text() == before


def test_other_options_are_refused(unbroken: Unbroken) -> None:
    with pytest.raises(ConfigError, match="width was 4, not 8"):
        unbroken.train(unbroken.run, resume=True, width=8)


def test_resuming_nothing_is_refused(unbroken: Unbroken, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no run"):
        unbroken.train(tmp_path / "none", resume=True)


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_interrupt_keeps_the_model_and_says_where(
    unbroken: Unbroken, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "napari_unet", "train"]
    files = [str(unbroken.folder / name) for name in ("image.tif", "labels.tif")]
    run = tmp_path / "run"
    process = subprocess.Popen(
        [*command, *files, f"--run={run}", "--budget=1h", "--depth=1", "--width=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while process.poll() is None:
            log = run / "log.jsonl"
            if log.exists() and "StepDone" in log.read_text():
                break
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "Stopped." in output
    assert str(run / "model.safetensors") in output
    assert "Traceback" not in errors
    assert Model.load(run).history["step"] >= 1
