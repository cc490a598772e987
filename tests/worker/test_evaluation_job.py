"""The job that compares: what it writes, and that it ends when it is told to."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.errors import MaskError
from napari_unet.events import EvaluationFinished, SectionsDone
from napari_unet.worker.evaluation import evaluate

if TYPE_CHECKING:
    from pathlib import Path

TRUTH = np.full((3, 4, 5), 255, np.uint8)
TRUTH[:, :, 2] = 0
FOUND = TRUTH.copy()
FOUND[1, :, 2] = 255


def request(folder: Path, found: np.ndarray, **more: Any) -> dict[str, Any]:
    np.save(folder / "found.npy", found)
    np.save(folder / "truth.npy", TRUTH)
    side = {"axes": "ZYX"}
    return {
        "prediction": {
            **side,
            "files": [str(folder / "found.npy")],
            "name": "found",
            **more,
        },
        "truth": {**side, "files": [str(folder / "truth.npy")], "name": "truth"},
        "results": {
            "errors": str(folder / "errors.npy"),
            "page": str(folder / "page.html"),
        },
    }


def test_scores_errors_and_page(tmp_path: Path) -> None:
    *steps, done = evaluate(request(tmp_path, FOUND), lambda: False)
    assert steps == [SectionsDone(number, 3) for number in (1, 2, 3)]
    assert isinstance(done, EvaluationFinished)
    assert done.scores["overlap"] == nu.evaluate(FOUND, TRUTH).overlap.to_dict()
    errors = np.load(tmp_path / "errors.npy")
    np.testing.assert_array_equal(errors, nu.error_map(FOUND, TRUTH))
    assert (tmp_path / "page.html").read_text("utf-8").endswith("</html>\n")
    assert done.tables[0]["title"] == "Classes"


def test_one_of_two_probabilities_gives_the_other(tmp_path: Path) -> None:
    membrane = (TRUTH == 0) * np.float32(0.75) + np.float32(0.125)
    one = {"channels": ["0", "255"], "given": "0", "others_missing": True}
    *_, done = evaluate(request(tmp_path, membrane, **one), lambda: False)
    assert isinstance(done, EvaluationFinished)
    assert done.scores["overlap"]["accuracy"] == 1
    assert done.scores["auc"] == {"0": 1, "255": 1}


def test_bounds_are_those_of_each_side(tmp_path: Path) -> None:
    asked = request(tmp_path, FOUND[1:], bounds=[(0, 1), (1, 4), (0, 5)])
    asked["truth"]["bounds"] = [(1, 2), (0, 3), (0, 5)]
    *_, done = evaluate(asked, lambda: False)
    assert isinstance(done, EvaluationFinished)
    assert done.scores["shape"] == [1, 3, 5]
    asked["truth"]["bounds"] = [(1, 2), (0, 2), (0, 5)]
    with pytest.raises(MaskError, match=r"\(1, 3, 5\)"):
        list(evaluate(asked, lambda: False))


def test_it_stops_at_once_and_leaves_no_page(tmp_path: Path) -> None:
    asked = request(tmp_path, FOUND)
    assert list(evaluate(asked, lambda: True)) == []
    events = evaluate(asked, lambda: bool(seen))
    seen: list[Any] = []
    seen.append(next(events))
    assert list(events) == []
    assert not (tmp_path / "page.html").exists()


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; import napari_unet.worker.evaluation; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
