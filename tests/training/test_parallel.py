"""Several processes that train together, really started by torchrun."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from napari_unet import Model, train
from napari_unet.cli import build_parser
from napari_unet.control import Control
from napari_unet.data import open_stack, write_stack
from napari_unet.errors import ConfigError
from napari_unet.training import train_events
from napari_unet.training.going_on import training_config
from napari_unet.training.parallel import Team, find_team
from napari_unet.training.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

sys.path.insert(0, str(Path(__file__).parent))
from together import CASES

STEPS = 20
OPTIONS: dict[str, Any] = {
    "depth": 2,
    "width": 4,
    "patch_size": 32,
    "batch_size": 3,
    "precision": "fp32",
    "device": "cpu",
    "checkpoint_every": 0.0,
    "optimizer": "sgd",  # Adam would divide a slope of rounding errors by its own size
    "clip": 1.0,
    "learning_rate": 1e-3,
    "steps": STEPS,
}
LIMIT = 120  # seconds that no test comes near


@contextmanager
def torchrun(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start two processes; in the end none is left."""
    how = ["--standalone", "--nproc-per-node=2"]
    with subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *how, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        try:
            yield launcher
        finally:
            if launcher.poll() is None:
                for each in processes(launcher):
                    each.kill()
                launcher.kill()


def processes(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(launcher.pid).children(recursive=True)


def process_of(launcher: subprocess.Popen[str], rank: int) -> psutil.Process:
    (found,) = (
        each for each in processes(launcher) if each.environ().get("RANK") == str(rank)
    )
    return found


def said_until_done(launcher: subprocess.Popen[str]) -> tuple[str, str]:
    said, complaint = launcher.communicate(timeout=LIMIT)
    assert launcher.returncode == 0, said + complaint
    return said, complaint


def flags(options: dict[str, Any]) -> list[str]:
    return [
        word
        for name, value in options.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


class Example:
    """A stack with its labels as files, and runs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unbroken = folder / "unbroken"
        random = np.random.default_rng(0)
        labels = np.kron(random.integers(0, 2, (3, 8, 8)), np.ones((8, 8)))
        image = 80 * labels + random.integers(0, 90, labels.shape)
        for name, pixels in {"image": image, "labels": labels}.items():
            path = folder / f"{name}.tif"
            write_stack(
                path,
                pixels.astype("u1"),
                shape=labels.shape,
                axes="ZYX",
                dtype="uint8",
            )
        self.train(self.unbroken)

    @property
    def files(self) -> tuple[Path, Path]:
        return self.folder / "image.tif", self.folder / "labels.tif"

    def train(self, run: Path, **options: Any) -> Model:
        return train(*self.files, run=run, **{**OPTIONS, **options})

    def start(
        self, run: Path, *more: str, restarts: int = 0, **options: Any
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        files = map(str, self.files)
        told = flags({**OPTIONS, **options})
        command = "-m", "napari_unet", "train", *files, "--run-folder", str(run)
        return torchrun(f"--max-restarts={restarts}", *command, *told, *more)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return Example(tmp_path_factory.mktemp("example"))


def log(run: Path) -> list[dict[str, Any]]:
    path = run / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def steps(run: Path) -> list[int]:
    return [event["step"] for event in log(run) if event["event"] == "StepDone"]


def wait_for_steps(launcher: subprocess.Popen[str], run: Path, count: int) -> None:
    until = time.monotonic() + LIMIT
    while len(steps(run)) < count:
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def assert_same_end(run: Path, expected: Path) -> None:
    """Check that the weights are the same but for rounding.

    Sums are taken in another order, so their last digits differ; now and then another
    pixel of a block is the largest because of that, and then a little more differs.
    """
    for name in ("model.safetensors", "last.safetensors"):
        mine, its = load_file(run / name), load_file(expected / name)
        assert mine.keys() == its.keys()
        for key in its:
            if not key.startswith("optimizer"):
                torch.testing.assert_close(mine[key], its[key], rtol=1e-3, atol=1e-3)
    last, its_last = (
        json.loads((folder / "last.json").read_text()) for folder in (run, expected)
    )
    assert last["step"] == its_last["step"]
    assert last["best_step"] == its_last["best_step"]
    assert last["best"] == pytest.approx(its_last["best"], abs=2e-3)


def assert_same_steps(run: Path, expected: Path) -> None:
    """Check that each step is told once, with the same loss but for rounding."""
    assert steps(run) == steps(expected)
    losses = (
        [event["loss"] for event in log(each) if event["event"] == "StepDone"]
        for each in (run, expected)
    )
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=1e-3, atol=1e-4)


# -- one process -----------------------------------------------------------------------


def test_one_process_is_a_team_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    team = find_team()
    team.join()
    assert not torch.distributed.is_initialized()
    assert (team.leads, team.several, team.share) == (True, False, slice(0, None, 1))
    own = torch.ones(2, requires_grad=True)
    assert team.total(own) is own
    assert team.same("said") == "said"


def test_torchrun_says_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": 5, "WORLD_SIZE": 6, "LOCAL_RANK": 1}.items():
        monkeypatch.setenv(name, str(value))
    team = find_team()
    assert (team.rank, team.size, team.leads) == (5, 6, False)
    assert list(range(13))[team.share] == [5, 11]


def test_a_team_that_is_started_anew_knows_its_own_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    told = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "TORCHELASTIC_RUN_ID": "none"}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    first = find_team()
    assert first.leads
    assert not first.several
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not find_team().was_at(run)  # which is not there yet
    RunFolder(run).create({"launch": first.launch})
    assert not first.was_at(run)
    assert find_team().was_at(run)
    assert not find_team().was_at(None)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert not find_team().was_at(run)  # of an earlier command


def test_each_process_needs_a_patch() -> None:
    with pytest.raises(ConfigError, match="batch_size is 2, but 3 processes"):
        Team(1, 3, 1).check(2, "cpu")
    Team(1, 3, 1).check(3, "cpu")


def test_each_process_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    Team(5, 8, 1).check(8, "auto")
    assert taken == [1]
    with pytest.raises(ConfigError, match=r"Process 2 .* finds 2 GPU"):
        Team(6, 8, 2).check(8, "auto")
    Team(6, 8, 2).check(8, "cpu")
    assert taken == [1]


def test_torchrun_takes_none_of_our_flags_for_its_own() -> None:
    from torch.distributed.run import get_args_parser

    choices = [each.choices for each in build_parser()._actions if each.choices]
    ours = list(choices[0]["train"]._option_string_actions)
    ours.remove("--run")
    assert "--run-folder" in ours
    told = get_args_parser().parse_args(["-m", "napari_unet", "train", *ours])
    assert told.training_script_args == ["train", *ours]


# -- two processes --------------------------------------------------------------------


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what two processes found (see together.py)."""
    folder = tmp_path_factory.mktemp("together")
    script = Path(__file__).with_name("together.py")
    with torchrun(str(script), str(folder)) as launcher:
        said_until_done(launcher)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_gradient_is_that_of_one_process(together: Path, case: str) -> None:
    found = {
        how: load_file(together / f"{case}.{how}.safetensors")
        for how in ("together", "alone", "mean")
    }
    alone = found["alone"]
    assert found["together"].keys() == alone.keys()
    largest = max(float(each.abs().max()) for each in alone.values())
    error, blunder = (
        max(float((found[how][key] - alone[key]).abs().max()) for key in alone)
        for how in ("together", "mean")
    )
    assert error < 1e-5 * largest  # of sums taken in another order
    assert blunder > 1e-2 * largest  # each normalised and weighed by itself


@pytest.mark.slow
def test_all_processes_return_the_same_model(together: Path) -> None:
    first, second = (
        json.loads((together / f"{rank}.json").read_text()) for rank in range(2)
    )
    assert first["weights"] == second["weights"]
    events = Counter(first["events"])
    assert events["StepDone"] == 4
    assert events["TrainingFinished"] == 1
    assert second["events"] == []


@pytest.mark.slow
def test_no_thread_outlives_the_team(together: Path) -> None:
    """One that lets go of a tensor while Python ends aborts the process."""
    left = [(together / f"{rank}.threads").read_text() for rank in range(2)]
    assert left == ["1", "1"]


@pytest.mark.slow
def test_all_processes_end_where_there_is_no_number(together: Path) -> None:
    """The first one says so; the other one is not left waiting."""
    first, second = (
        json.loads((together / f"{rank}.json").read_text()) for rank in range(2)
    )
    assert "became nan in step 1" in first["said"]
    assert second["said"] == ""


@pytest.mark.slow
def test_two_processes_train_as_one(example: Example, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with example.start(run) as launcher:
        said, _ = said_until_done(launcher)
    assert said.count("All steps are done.") == 1
    assert_same_end(run, example.unbroken)
    assert_same_steps(run, example.unbroken)
    mine, its = (
        Counter(event["event"] for event in log(each))
        for each in (run, example.unbroken)
    )
    assert mine == its
    assert {each.name for each in run.iterdir()} == {
        each.name for each in example.unbroken.iterdir()
    }
    (started,) = (event for event in log(run) if event["event"] == "TrainingStarted")
    assert started["device"] == "2 × cpu"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("rank", [0, 1])
def test_killed_process_ends_the_others_and_one_goes_on(
    example: Example, tmp_path: Path, rank: int
) -> None:
    run = tmp_path / "run"
    with example.start(run) as launcher:
        wait_for_steps(launcher, run, 3)
        process_of(launcher, rank).kill()
        _, complaint = launcher.communicate(timeout=LIMIT)
    assert launcher.returncode != 0
    assert "napari-unet: Another process of this training has ended" in complaint
    assert len(steps(run)) < STEPS
    example.train(run, resume=True)
    assert_same_end(run, example.unbroken)
    assert_same_steps(run, example.unbroken)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("seed", [0, 1])
def test_torchrun_starts_a_killed_training_anew_which_goes_on(
    example: Example, tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    run, at, rank = tmp_path / "run", int(random.integers(1, STEPS - 3)), seed
    with example.start(run, restarts=1) as launcher:
        wait_for_steps(launcher, run, at)
        process_of(launcher, rank).kill()
        said_until_done(launcher)
    assert_same_end(run, example.unbroken)
    assert_same_steps(run, example.unbroken)


@pytest.mark.slow
def test_torchrun_does_not_go_on_with_a_run_of_others(
    example: Example, tmp_path: Path
) -> None:
    shutil.copytree(example.unbroken, run := tmp_path / "run")
    with example.start(run, restarts=1) as launcher:
        _, complaint = launcher.communicate(timeout=LIMIT)
    assert launcher.returncode != 0
    assert complaint.count("holds a run already") == 2  # the second time as well
    assert_same_end(run, example.unbroken)


@pytest.mark.slow
def test_two_processes_go_on_with_the_run_of_one(
    example: Example, tmp_path: Path
) -> None:
    run, control = tmp_path / "run", Control()
    pairs = [(open_stack(example.files[0]), open_stack(example.files[1]))]
    config = training_config(OPTIONS, None)
    events = train_events(pairs, config, run=run, control=control)
    while len(steps(run)) < 5:
        next(events)
    events.close()
    with example.start(run, "--resume") as launcher:
        said_until_done(launcher)
    assert_same_end(run, example.unbroken)
    assert_same_steps(run, example.unbroken)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_interrupt_keeps_the_model(example: Example, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with example.start(run, steps=100_000) as launcher:
        wait_for_steps(launcher, run, 3)
        both = processes(launcher)
        launcher.send_signal(signal.SIGINT)
        for each in both:  # a shell sends it to all, before torchrun passes it on
            each.send_signal(signal.SIGINT)
        launcher.communicate(timeout=LIMIT)
    last = log(run)[-1]
    assert (last["event"], last["reason"]) == ("TrainingFinished", "stopped")
    assert Model.load(run).history["step"] == last["step"] == steps(run)[-1]
