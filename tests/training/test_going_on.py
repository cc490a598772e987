"""Runs that have ended, and go on or serve as a start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from test_control import TINY, squares

from napari_unet import Model, train
from napari_unet.data import write_stack
from napari_unet.training import train_events
from napari_unet.training.going_on import continued_config, on_top, training_config
from napari_unet.training.run import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("ended") / "run"
    train(*squares(), run=run, steps=6, **TINY)
    return run


def test_what_is_given_comes_on_top_of_what_is_used_up(ended: Path) -> None:
    assert on_top({"steps": 4}, RunFolder(ended)) == {"steps": 10}
    elapsed = RunFolder(ended).progress().elapsed
    assert on_top({"budget": "60s"}, RunFolder(ended)) == {
        "budget": f"{60 + elapsed:.0f}s"
    }
    assert training_config({"steps": 4}, ended, more=True).steps == 10
    assert training_config({"steps": 10}, ended).steps == 10


def test_what_was_left_of_a_run_that_was_stopped_stays_what_it_was(
    ended: Path, tmp_path: Path
) -> None:
    (tmp_path / "log.jsonl").write_text(
        (ended / "log.jsonl").read_text().replace('"steps"', '"stopped"')
    )
    assert on_top({"steps": 4}, RunFolder(tmp_path)) == {"steps": 4}
    assert on_top({"steps": 4}, RunFolder(tmp_path / "new")) == {"steps": 4}


def test_a_new_run_starts_from_an_earlier_one(ended: Path, tmp_path: Path) -> None:
    config = continued_config({"steps": 1, "learning_rate": 1e-5}, ended)
    assert (config.depth, config.width, config.steps) == (1, 2, 1)
    assert config.init == str(ended)
    list(train_events([squares()], config, run=tmp_path / "run"))
    model = Model.load(tmp_path / "run")
    assert model.history["init"]["model"] == str(ended)
    assert model.history["init"]["drawn"] == []
    assert RunFolder(tmp_path / "run").config()["init"]["step"] is not None
    assert Model.load(ended).history["step"] <= 6


def test_pairs_of_layers_and_of_files_train_together(
    ended: Path, tmp_path: Path
) -> None:
    from napari_unet.control import Control
    from napari_unet.events import TrainingFinished, TrainingStarted
    from napari_unet.worker.training import train as train_job

    image, labels = map(np.asarray, squares())
    for name, pixels in {"image": image, "labels": labels}.items():
        np.save(tmp_path / f"{name}.npy", pixels)
        for number in (1, 2):
            path = tmp_path / name / f"{number}.tif"
            write_stack(path, pixels, shape=(4, 32, 32), axes="ZYX", dtype="uint8")
    layers = {
        "image": str(tmp_path / "image.npy"),
        "labels": str(tmp_path / "labels.npy"),
        "axes": "ZYX",
        "name": "layer",
    }
    files = {"image": str(tmp_path / "image"), "labels": str(tmp_path / "labels")}
    request = {
        "pairs": [layers, files],
        "run": str(tmp_path / "run"),
        "continue_from": str(ended),
        "options": {"steps": 1},
    }
    started, *_, finished = train_job(request, Control())
    assert isinstance(started, TrainingStarted)
    assert "3 images (layer, 1" in started.training
    assert "0 layers" not in started.transfer
    assert isinstance(finished, TrainingFinished)
    assert finished.reason == "steps"
