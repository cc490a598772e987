"""Several images with their labels, and going on from an earlier run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import add_tissue, choose, click, notes, open_widget, run_to_the_end
from qtpy.QtWidgets import QFileDialog

from napari_unet.data import synthetic_em, write_stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

WAIT = 20_000  # milliseconds
SMALL = {"depth": 1, "width": 4, "patch_size": 32, "steps": 3}


def drop(qtbot: QtBot, pairs: Any, row: int) -> None:
    click(qtbot, pairs._grid.itemAtPosition(row, 3).widget())


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Have the user choose these files, an image and its labels."""
    paths = []
    for name, stack in zip(("cells", "mask"), synthetic_em(2, 48), strict=True):
        pixels = np.asarray(stack)
        path = tmp_path / f"{name}.tif"
        write_stack(path, pixels, shape=pixels.shape, axes="ZYX", dtype="uint8")
        paths.append(path)
    asked = iter(2 * paths)
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_: (str(next(asked)), "")
    )
    return paths


def test_layers_and_files_are_listed_and_go(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_worker: object,
    files: list[Path],
) -> None:
    viewer = make_napari_viewer()
    train = open_widget(viewer, "Train")
    pairs = train.data.pairs
    click(qtbot, pairs.add_layers)
    assert "no image layer" in notes()[-1]
    add_tissue(viewer)
    click(qtbot, pairs.add_layers)
    click(qtbot, pairs.add_layers)  # once is enough
    drawn = np.count_nonzero(viewer.layers["truth"].data) / (4 * 96 * 96)
    line = f"tissue 4 × 96 × 96 {drawn:.1%}"
    qtbot.waitUntil(lambda: pairs.text() == line, timeout=WAIT)
    assert len(train.data.stacks()) == 1  # it is the chosen one
    click(qtbot, pairs.add_files)
    qtbot.waitUntil(lambda: "%" in pairs.text().splitlines()[-1], timeout=WAIT)
    assert pairs.text().splitlines()[1].startswith("cells 2 × 48 × 48 ")
    sent = train._make_job()._request
    assert [each["name"] for each in sent["pairs"]] == ["tissue", "cells"]
    assert sent["name"] == "tissue"
    viewer.layers["tissue"].name = "renamed"
    assert pairs.text().startswith("renamed 4 × 96 × 96")
    viewer.layers.remove("truth")
    assert pairs.text().startswith("cells")
    drop(qtbot, pairs, 1)
    assert pairs.text() == ""


def test_files_that_do_not_belong_together_are_refused(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_worker: object,
    files: list[Path],
) -> None:
    odd = np.zeros((1, 9, 9), np.uint8)
    files[1].unlink()
    write_stack(files[1], odd, shape=odd.shape, axes="ZYX", dtype="uint8")
    train = open_widget(make_napari_viewer(), "Train")
    click(qtbot, train.data.pairs.add_files)
    assert "(2, 48, 48)" in notes()[-1]
    assert train.data.pairs.text() == ""


def test_two_pairs_train_one_model_from_which_another_training_goes_on(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    runs_folder: Path,
    files: list[Path],
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    click(qtbot, train.data.pairs.add_files)
    train.advanced.enter(SMALL)
    run_to_the_end(qtbot, train, train.train_button)
    (run,) = runs_folder.iterdir()
    record = json.loads((run / "config.json").read_text())
    assert [each["image"]["name"] for each in record["data"]["pairs"]] == [
        "tissue",
        "cells",
    ]
    drop(qtbot, train.data.pairs, 1)
    train.advanced.enter({"width": None, "depth": None})
    assert train.train_button.text() == "&Train"
    choose(qtbot, train.init.box, run.name)
    assert train.train_button.text() == "&Continue"
    assert train.advanced.values()["width"] == 4
    assert train.advanced.values()["steps"] == 3  # how long is said anew
    train.advanced.enter({"steps": 2})
    run_to_the_end(qtbot, train, train.train_button)
    assert "All steps are done" in train.status.text()
    (later,) = {*runs_folder.iterdir()} - {run}
    record = json.loads((later / "config.json").read_text())
    assert record["options"]["init"] == str(run)
    assert record["network"]["width"] == 4
