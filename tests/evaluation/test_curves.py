from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.errors import UNetError
from napari_unet.evaluation import curves, curves_picture

if TYPE_CHECKING:
    from pathlib import Path


def log_of(classes: int, validations: int = 5) -> list[dict[str, Any]]:
    """Twenty steps; the last class occurs late, and has no precision at first."""
    log: list[dict[str, Any]] = [{"event": "TrainingStarted"}]
    for step in range(1, 21):
        rate = 0.002 * (1 - step / 20)
        done = {"event": "StepDone", "step": step, "loss": 1 / step}
        log.append({**done, "learning_rate": rate})
    names = [f"class {number}" for number in range(classes)]
    for number in range(validations):
        score = dict.fromkeys(names[: classes - (number < 2)], (number + 1) / 10)
        judged = {"event": "Validated", "step": 4 * number + 4, "loss": 0.5}
        log.append({**judged, **dict.fromkeys(("iou", "dice", "recall"), score)})
        log[-1]["precision"] = dict.fromkeys(score)
    return log


def colours_in(path: Path) -> set[str]:
    from PIL import Image

    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return {"#{:02X}{:02X}{:02X}".format(*each) for each in np.unique(pixels, axis=0)}


@pytest.mark.parametrize("classes", [2, 8])
def test_every_class_has_its_line(tmp_path: Path, classes: int) -> None:
    path = curves_picture(tmp_path / "a.png", log_of(classes), title="Run $1_{")
    found = colours_in(path)
    drawn = set(curves.CLASS_COLOURS[:classes]) | {curves.LOSS, curves.HELD_OUT}
    assert drawn <= found
    missing = set(curves.CLASS_COLOURS[classes:]) - {curves.LOSS, curves.HELD_OUT}
    assert not missing & found


def test_many_classes_and_none(tmp_path: Path) -> None:
    for classes, validations in [(30, 5), (2, 0)]:
        path = curves_picture(tmp_path / "a.png", log_of(classes, validations))
        assert path.stat().st_size > 10_000


def test_regression_has_curves_of_its_own(tmp_path: Path) -> None:
    log = log_of(2)
    for event in log:
        if event["event"] == "Validated":
            event |= {"iou": {}, "r2": 0.5, "mae": 3.0, "rmse": 4.0}
    found = colours_in(curves_picture(tmp_path / "a.png", log))
    assert {curves.LOSS, curves.HELD_OUT} <= found
    # Greys are in the letters, too.
    others = set(curves.CLASS_COLOURS) - {curves.LOSS, curves.HELD_OUT, "#202020"}
    assert not others & found


def test_run_without_a_step_has_no_curves(tmp_path: Path) -> None:
    with pytest.raises(UNetError, match="has not done a step"):
        curves_picture(tmp_path / "a.png", [{"event": "TrainingStarted"}])
    assert list(tmp_path.iterdir()) == []
