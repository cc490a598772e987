"""What is copied from Correct and Objects does again what was done there."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
from by_hand import (
    COMMAND,
    DONE_COMMAND,
    DONE_PYTHON,
    WAIT,
    add_tissue,
    assert_same_model,
    choose,
    click,
    copied,
    idle,
    open_widget,
    run,
    run_to_the_end,
    save_model,
)
from qtpy.QtWidgets import QFileDialog

from napari_unet.data import Classes, open_stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]


def predicted(
    viewer: Viewer, qtbot: QtBot, folder: Path, *, probabilities: bool = True
) -> Any:
    """Predict the tissue, and open Correct."""
    save_model(folder / "model", Classes((0, 255), ("membrane", "cell")))
    add_tissue(viewer)
    viewer.layers.remove("truth")
    predict = open_widget(viewer, "Predict")
    predict.probabilities.setChecked(probabilities)
    run_to_the_end(qtbot, predict, predict.predict_button)
    return open_widget(viewer, "Correct")


def found(correct: Any) -> list[tuple[int, ...]]:
    return [each.position for each in correct.unsure.table._places]


def find(qtbot: QtBot, correct: Any) -> None:
    click(qtbot, correct.unsure.find_button)
    qtbot.waitUntil(lambda: correct.unsure._job is None, timeout=WAIT)


def listed(path: Path) -> list[tuple[int, ...]]:
    with path.open() as file:
        return [tuple(map(int, each[:3])) for each in list(csv.reader(file))[1:]]


def test_unsure_places_of_probabilities_again(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder)
    click(qtbot, correct.paint.paint_button)
    qtbot.waitUntil(lambda: "tissue corrections" in viewer.layers, timeout=WAIT)
    viewer.layers["tissue corrections"].data[:2, :60] = 255  # these are sure now
    correct.unsure.size_.setValue(24)
    correct.unsure.number.setValue(7)
    find(qtbot, correct)
    places = found(correct)
    assert len(places) == 7
    assert not any(z < 2 and y < 60 for z, y, _ in places)
    line = copied(qtbot, correct, DONE_COMMAND)
    assert "--annotated" in line
    run(line, tmp_path)
    (written,) = runs_folder.glob("*/places.csv")
    assert listed(written) == places
    said = run(copied(qtbot, correct, DONE_PYTHON), tmp_path)
    assert [f"position={each}" in said for each in places] == [True] * 7


def test_unsure_places_that_the_model_was_asked_for_again(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder, probabilities=False)
    assert "--uncertainty entropy" in copied(qtbot, correct, COMMAND)
    find(qtbot, correct)
    line = copied(qtbot, correct, DONE_COMMAND)
    assert line.startswith("napari-unet predict")
    run(line, tmp_path)
    (written,) = runs_folder.glob("*/places.csv")
    assert listed(written) == found(correct)


def test_a_training_on_corrections_again(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder, probabilities=False)
    click(qtbot, correct.paint.paint_button)
    qtbot.waitUntil(lambda: "tissue corrections" in viewer.layers, timeout=WAIT)
    layer = viewer.layers["tissue corrections"]
    layer.data[:, :40], layer.data[:, 40:80] = 0, 255
    click(qtbot, correct.train_button)
    train = open_widget(viewer, "Train")
    train.advanced.enter({"patch_size": 32, "batch_size": 2, "steps": 5})
    run_to_the_end(qtbot, train, train.train_button)
    layer.data[:, :80] = 254  # what comes later is not what was done
    (first,) = (each.parent for each in runs_folder.glob("*/config.json"))
    line = copied(qtbot, train, DONE_COMMAND)
    assert "--init" in line
    assert "--ignore 254" in line
    run(line, tmp_path)
    (again,) = runs_folder.glob("*again*")
    assert_same_model(first, again)


def test_objects_of_two_probabilities_are_found_and_measured_again(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    runs_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    truth = viewer.layers.pop("truth")
    place = {"scale": truth.scale, "translate": truth.translate, "units": truth.units}
    inside = (truth.data > 0).astype("f4") * 0.9
    viewer.add_image(1 - inside, name="wall", **place)
    viewer.add_image(inside, name="cell", **place)
    widget = open_widget(viewer, "Objects")
    choose(qtbot, widget.input.layer, "cell")
    choose(qtbot, widget.input.method, "Inside and border")
    choose(qtbot, widget.input.border, "wall")
    run_to_the_end(qtbot, widget, widget.apply_button)
    expected = np.asarray(viewer.layers["cell objects"].data)
    assert expected.max() > 4
    run(copied(qtbot, widget, DONE_COMMAND), tmp_path)
    (written,) = runs_folder.glob("*/objects.tif")
    np.testing.assert_array_equal(np.asarray(open_stack(written)), expected)

    choose(qtbot, widget.measure.image, "all images that fit")
    run_to_the_end(qtbot, widget, widget.measure.button)
    own = tmp_path / "own.csv"
    asked = staticmethod(lambda *_: (str(own), ""))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", asked)
    click(qtbot, viewer.window.dock_widgets["Measurements"].save)
    qtbot.waitUntil(own.exists, timeout=WAIT)
    assert "mean_tissue" in own.read_text()
    for key in (DONE_COMMAND, DONE_PYTHON):
        run(copied(qtbot, widget, key), tmp_path)
    tables = [*runs_folder.glob("*/objects.csv")]
    assert len(tables) == 2
    assert {each.read_text() for each in tables} == {own.read_text()}
    assert idle(widget)()
