"""A training that is told something while it runs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_unet.config import TrainingConfig
from napari_unet.control import Control, View
from napari_unet.data import Stack
from napari_unet.events import (
    CheckpointSaved,
    Event,
    Paused,
    Resumed,
    StepDone,
    TrainingFinished,
)
from napari_unet.training import train_events
from napari_unet.training.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TINY: dict[str, Any] = {
    "depth": 1,
    "width": 2,
    "patch_size": 16,
    "batch_size": 1,
    "precision": "fp32",
    "device": "cpu",
}
REST = 0.5  # seconds


def squares(sections: int = 4) -> tuple[Stack, Stack]:
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, 2, (sections, 4, 4)), np.ones((8, 8)))
    image = 80 * labels + random.integers(0, 90, labels.shape)
    return Stack(image.astype("u1"), "ZYX"), Stack(labels.astype("u1"), "ZYX")


def run_with(
    control: Control, react: Callable[[Event], None], run: Path | None, **options: Any
) -> list[Event]:
    config = TrainingConfig.from_dict({**TINY, **options})
    events = []
    for event in train_events([squares()], config, run=run, control=control):
        react(event)
        events.append(event)
    return events


def pause_at(
    control: Control, step: int, then: Callable[[], None]
) -> Callable[[Event], None]:
    def react(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == step:
            control.pause()
        if isinstance(event, Paused):
            threading.Timer(REST, then).start()

    return react


def test_a_pause_changes_nothing_but_the_time(tmp_path: Path) -> None:
    run_with(Control(), lambda _: None, tmp_path / "plain", steps=5)
    control = Control()
    events = run_with(
        control, pause_at(control, 3, control.resume), tmp_path / "rested", steps=5
    )
    kinds = [type(each) for each in events]
    place = kinds.index(Paused)
    assert kinds[place - 1 : place + 2] == [CheckpointSaved, Paused, Resumed]
    elapsed = {each.step: each.elapsed for each in events if isinstance(each, StepDone)}
    assert elapsed[4] - elapsed[3] < REST
    expected, found = (
        RunFolder(tmp_path / name).load_last() for name in ("plain", "rested")
    )
    assert expected is not None
    assert found is not None
    for name, tensor in expected[1].items():
        assert torch.equal(tensor, found[1][name]), name


def test_the_processor_rests_too() -> None:
    control = Control()
    control.pause()
    threading.Timer(REST, control.resume).start()
    before = time.process_time()
    control.wait(None)
    assert time.process_time() - before < REST / 5


@pytest.mark.parametrize("step", [1, 2])
def test_stop_ends_a_paused_training(tmp_path: Path, step: int) -> None:
    control = Control()
    events = run_with(control, pause_at(control, step, control.stop), tmp_path)
    assert isinstance(events[-1], TrainingFinished)
    assert events[-1].reason == "stopped"
    assert events[-1].step == step
    assert Resumed not in {type(each) for each in events}
    assert (tmp_path / "model.safetensors").exists()


def test_what_is_looked_at_wakes_a_paused_training() -> None:
    control = Control()
    control.pause()
    view = View(((0, 1), (0, 8), (0, 8)), "")
    threading.Timer(0.05, control.look, [view]).start()
    control.wait(None)
    assert control.view == view
    assert control.paused
