"""The Evaluate widget in a real napari window, used as a person uses it."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from by_hand import (
    DONE_COMMAND,
    WAIT,
    add_tissue,
    choose,
    click,
    copied,
    idle,
    notes,
    open_widget,
    run_to_the_end,
    save_model,
)
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

import napari_unet as nu
from napari_unet.cli import main
from napari_unet.data import Classes
from napari_unet.plugin.layers import layer_from_stack
from napari_unet.plugin.parts.choices import MODEL_KEY
from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]


def found_in(truth: np.ndarray) -> np.ndarray:
    """A prediction that is worse from section to section."""
    found = truth.copy()
    for index in range(len(found)):
        found[index, : 10 * index] = 0
    return found


def add_prediction(viewer: Viewer, cut: tuple[slice, ...] = ()) -> Any:
    truth = viewer.layers["truth"]
    start = [each.start or 0 for each in cut] or [0, 0, 0]
    return viewer.add_labels(
        found_in(truth.data)[cut],
        name="found",
        scale=truth.scale,
        units=truth.units,
        translate=truth.data_to_world(start),
        metadata={MODEL_KEY: ""},
    )


def cells(table: Any) -> list[list[str]]:
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def test_scores_errors_and_a_way_to_the_worst_section(
    make_napari_viewer: MakeViewer, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    add_prediction(viewer)
    widget = open_widget(viewer, "Evaluate")
    chosen = [widget.prediction, widget.truth, widget.image, widget.kind]
    assert [each.currentText() for each in chosen] == [
        *("found", "truth", "tissue", "classes")
    ]
    truth, found = viewer.layers["truth"], viewer.layers["found"]
    expected = nu.evaluate(found.data, truth.data)
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    assert widget.status.text() == "Added the layer 'found errors'."
    classes, membranes = widget.scores.tables
    assert cells(classes)[-1][3] == f"{expected.overlap.mean_iou:.4f}"
    assert cells(membranes)[0][1] == f"{expected.membranes.rand:.4f}"
    assert not widget.scores.warning.isVisibleTo(widget)
    errors = viewer.layers["found errors"]
    np.testing.assert_array_equal(errors.data, nu.error_map(found.data, truth.data))
    assert (errors.scale == truth.scale).all()
    assert errors.data_to_world((1, 2, 3)) == truth.data_to_world((1, 2, 3))
    assert list(errors.features["error"]) == [
        *("none", "missed", "false", "split", "merged")
    ]
    assert (errors.colormap.map(0)[..., 3] == 0).all()
    viewer.dims.set_current_step(0, 0)
    click(qtbot, widget.scores.worst_button)
    assert viewer.dims.current_step[0] == 3
    bars = widget.scores.bars
    qtbot.mouseClick(
        bars, Qt.MouseButton.LeftButton, pos=bars.place_of(1).center().toPoint()
    )
    assert viewer.dims.current_step[0] == 1
    qtbot.keyClick(bars, Qt.Key.Key_Right)
    assert viewer.dims.current_step[0] == 2
    assert "section 2: 0." in bars.words(2)


def test_the_report_is_saved_where_it_is_asked_for(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    add_prediction(viewer)
    widget = open_widget(viewer, "Evaluate")
    assert not widget.save_button.isVisibleTo(widget)
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    asked: list[str] = []

    def answer(path: str) -> Callable[..., tuple[str, str]]:
        return lambda *given: asked.append(given[2]) or (path, "")  # type: ignore[func-returns-value]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer(""))
    click(qtbot, widget.save_button)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer(str(tmp_path / "mine")))
    click(qtbot, widget.save_button)
    page = tmp_path / "mine.html"
    qtbot.waitUntil(lambda: "Saved" in widget.status.text(), timeout=WAIT)
    assert asked[0].endswith("found evaluation.html")
    text = page.read_text("utf-8")
    assert "Evaluation of found" in text
    assert text.count("data:image/jpeg") == 3


def test_a_region_is_compared_where_it_lies(
    make_napari_viewer: MakeViewer, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    cut = slice(2, 3), slice(10, 60), slice(30, 96)
    add_prediction(viewer, cut)
    widget = open_widget(viewer, "Evaluate")
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    said = widget.scores.warning.text()
    assert "Z 2 to 2, Y 10 to 59, X 30 to 95 of the truth" in said
    truth, found = viewer.layers["truth"], viewer.layers["found"]
    errors = viewer.layers["found errors"]
    expected = nu.error_map(found.data, truth.data[cut])
    np.testing.assert_array_equal(errors.data, expected)
    assert errors.data_to_world((0, 0, 0)) == truth.data_to_world((2, 10, 30))


def test_what_does_not_fit_ends_in_a_sentence(
    make_napari_viewer: MakeViewer, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    widget = open_widget(viewer, "Evaluate")
    click(qtbot, widget.evaluate_button)
    assert "Two layers are compared" in widget.status.text()
    add_tissue(viewer)
    found = add_prediction(viewer)
    found.translate = np.add(found.translate, (0, 2, 0))
    click(qtbot, widget.evaluate_button)
    assert "0.50" in widget.status.text()
    found.translate = np.add(found.translate, (0, 4000, 0))
    click(qtbot, widget.evaluate_button)
    assert "do not lie on each other" in widget.status.text()
    viewer.layers["truth"].data = np.zeros((4, 96, 96), np.uint8)
    found.translate = viewer.layers["truth"].translate
    widget.advanced.field("ignore").setText("0")
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    assert "no pixel to score" in widget.status.text() or "ignored" in notes()[-1]
    assert "found errors" not in viewer.layers
    assert widget.evaluate_button.isEnabled()


def test_probabilities_of_both_classes_and_of_a_trained_section(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    runs_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    save_model(runs_folder / "model", Classes((0, 255), ("membrane", "cell")))
    predict = open_widget(viewer, "Predict")
    predict.probabilities.setChecked(True)
    run_to_the_end(qtbot, predict, predict.predict_button)
    widget = open_widget(viewer, "Evaluate")
    assert widget.prediction.currentText() == "tissue prediction"
    choose(qtbot, widget.prediction, "tissue P(membrane)")
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    classes, membranes = widget.scores.tables
    assert [row[0] for row in cells(classes)] == ["membrane", "cell", "mean"]
    shares = np.stack(
        [viewer.layers[f"tissue P({name})"].data for name in ("membrane", "cell")]
    )
    truth = viewer.layers["truth"].data
    expected = nu.evaluate(nu.Stack(shares, "CZYX"), truth)
    assert cells(classes)[1][3] == f"{expected.overlap.classes[1].iou:.4f}"
    assert cells(membranes)[0][1] == f"{expected.membranes.rand:.4f}"
    again = copied_scores(qtbot, widget, capsys)
    assert again["membranes"]["rand"] == expected.membranes.rand
    viewer.layers.remove("tissue P(cell)")
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    assert cells(widget.scores.tables[1])[0][1] == f"{expected.membranes.rand:.4f}"


def tick_same_values(qtbot: QtBot, widget: Any) -> None:
    widget.same_values.setFocus()
    qtbot.keyClick(widget.same_values, Qt.Key.Key_Space)
    qtbot.waitUntil(idle(widget), timeout=WAIT)


def copied_scores(qtbot: QtBot, widget: Any, capsys: Any) -> dict[str, Any]:
    """Run the line of what was done, and return its scores."""
    words = shlex.split(copied(qtbot, widget, DONE_COMMAND))
    capsys.readouterr()
    assert main([*words[1:], "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_probabilities_of_a_file_are_scored_at_the_best_threshold(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    truth = viewer.layers["truth"].data
    noise = np.random.default_rng(0).random(truth.shape, np.float32)
    cell = np.where(truth > 0, 0.35, 0).astype("f4") + 0.3 * noise
    shares = np.stack([1 - cell, cell], axis=1)
    path = nu.write_stack(
        tmp_path / "em.prob.tif",
        shares.reshape(-1, *shares.shape[-2:]),
        shape=shares.shape,
        axes="ZCYX",
        dtype="float32",
        channel_names=("0", "255"),
    )
    expected = nu.evaluate(path, viewer.layers["truth"].data)
    assert expected.membranes.rand_threshold < 0.4
    pixels, meta, _ = layer_from_stack(nu.open_stack(path), "image")  # as Batch does
    both = viewer.add_image(pixels, **meta)
    for each in both:
        each.scale, each.units = viewer.layers["truth"].scale, ("nm",) * 3
        each.translate = viewer.layers["truth"].translate
    widget = open_widget(viewer, "Evaluate")
    choose(qtbot, widget.prediction, "em.prob 0")
    assert "'em.prob 0', 'em.prob 255' are scored" in widget.scored.text()
    assert "best threshold" in widget.scored.text()
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    table = cells(widget.scores.tables[1])
    assert table[0][1] == f"{expected.membranes.rand:.4f}"
    assert table[0][2] == f"{expected.membranes.rand_threshold:g}"
    again = copied_scores(qtbot, widget, capsys)
    assert again["membranes"] == json.loads(json.dumps(expected.membranes.to_dict()))

    for each in both:
        viewer.layers.remove(each)
    viewer.add_image(shares, name="mine")  # as napari itself reads that file
    choose(qtbot, widget.prediction, "mine")
    assert "2 classes (dimension 2)" in widget.scored.text()
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    assert cells(widget.scores.tables[1]) == table
    again = copied_scores(qtbot, widget, capsys)
    assert again["membranes"]["rand"] == expected.membranes.rand

    viewer.add_labels((cell > 0.5).astype(np.uint8) * 255, name="hard")
    choose(qtbot, widget.prediction, "hard")
    assert "at no threshold" in widget.scored.text()
    choose(qtbot, widget.truth, "truth")
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    assert cells(widget.scores.tables[1])[0][2] == "labels"


def test_other_values_are_taken_for_those_of_the_truth_only_where_it_is_said(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    runs_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    found = add_prediction(viewer)
    right = nu.evaluate(found.data, viewer.layers["truth"].data).overlap.mean_iou
    found.data = np.where(found.data > 0, 2, 1).astype(np.uint8)
    found.metadata = {}  # of another program
    widget = open_widget(viewer, "Evaluate")
    assert not widget.same_values.isVisibleTo(widget)
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    assert widget.same_values.text() == "In the prediction 1 means 0, 2 means 255"
    assert widget.same_values.isVisibleTo(widget)
    assert not widget.same_values.isChecked()
    chosen = [widget.prediction, widget.truth]  # not the errors
    assert [each.currentText() for each in chosen] == ["found", "truth"]
    wrong = widget.scores.headline.text()
    tick_same_values(qtbot, widget)
    assert f"<b>{right:.4f}</b>" in widget.scores.headline.text()
    assert "1 for 0, 2 for 255" in widget.scores.warning.text()
    assert "1 for 0, 2 for 255" in widget._page
    again = copied_scores(qtbot, widget, capsys)
    assert again["overlap"]["mean_iou"] == right
    tick_same_values(qtbot, widget)  # taken back
    assert widget.scores.headline.text() == wrong
    tick_same_values(qtbot, widget)
    viewer.add_labels(found.data * 0 + 255, name="other", metadata={MODEL_KEY: ""})
    choose(qtbot, widget.prediction, "other")
    assert not widget.same_values.isVisibleTo(widget)
    assert widget.advanced.values()["prediction_values"] is None


def test_a_model_that_knows_the_truth_is_told_of(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    options = {"depth": 1, "width": 2, "patch_size": 16, "steps": 2, "validation": 0}
    image, truth = viewer.layers["tissue"].data, viewer.layers["truth"].data
    nu.train(image, truth, run=runs_folder / "run", batch_size=1, **options)
    found = add_prediction(viewer)
    found.metadata = {MODEL_KEY: str(runs_folder / "run")}
    widget = open_widget(viewer, "Evaluate")
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    assert "trained on all of these 4 sections" in widget.scores.warning.text()
    assert "trained on all of these 4 sections" in widget._page


def test_objects_and_values(make_napari_viewer: MakeViewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    numbers = np.zeros((2, 20, 20), int)
    numbers[:, 2:8, 2:8], numbers[:, 10:18, 2:18] = 1, 2
    viewer.add_labels(numbers, name="true")
    found = numbers.copy()
    found[1, 10:18, 9] = 0
    found[1, 10:18, 10:] *= 2
    viewer.add_labels(found, name="my objects", metadata={MODEL_KEY: ""})
    widget = open_widget(viewer, "Evaluate")
    assert widget.kind.currentText() == "numbered objects"
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    assert "of 4 objects of the truth 1 are split" in widget.scores.words.text()
    assert cells(widget.scores.tables[0])[-1][0] == "mean"
    choose(qtbot, widget.kind, "values")
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    difference = viewer.layers["my objects errors [1]"]
    np.testing.assert_array_equal(difference.data, (found - numbers).astype("f4"))
    assert "RMSE" in widget.scores.headline.text()


def test_cancel_and_layers_that_go_while_it_works(
    make_napari_viewer: MakeViewer, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    noise = np.random.default_rng(0).integers(0, 2, (60, 256, 256), np.uint8)
    viewer.add_labels(noise, name="truth")
    viewer.add_labels(noise.copy(), name="found", metadata={MODEL_KEY: ""})
    widget = open_widget(viewer, "Evaluate")
    click(qtbot, widget.evaluate_button)
    qtbot.waitUntil(lambda: "of 60" in widget.progress.words.text(), timeout=WAIT)
    click(qtbot, widget.cancel_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    assert widget.status.text() == "Cancelled. Nothing was added."
    assert len(viewer.layers) == 2
    for layer in viewer.layers:
        layer.data = layer.data[:3]
    click(qtbot, widget.evaluate_button)
    viewer.layers["truth"].name = "renamed"
    viewer.layers.remove("found")
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    assert widget.status.text() == "Added the layer 'found errors'."
    viewer.layers.clear()
    click(qtbot, widget.scores.worst_button)
    assert session_of(viewer).side is not None


def test_what_is_copied_gives_the_same_scores(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    capsys: pytest.CaptureFixture[str],
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    add_prediction(viewer, (slice(1, 4), slice(8, 96), slice(0, 96)))
    widget = open_widget(viewer, "Evaluate")
    widget.advanced.field("error_value").given.setChecked(True)
    run_to_the_end(qtbot, widget, widget.evaluate_button)
    lines = []
    for key in (Qt.Key.Key_C, Qt.Key.Key_P):
        QGuiApplication.clipboard().clear()
        menu = widget.replay.menu()
        QTimer.singleShot(200, partial(qtbot.keyClick, menu, key))
        click(qtbot, widget.replay)
        qtbot.waitUntil(lambda: bool(QGuiApplication.clipboard().text()), timeout=WAIT)
        lines.append(QGuiApplication.clipboard().text())
    command = shlex.split(lines[0])
    assert command[:2] == ["napari-unet", "evaluate"]
    assert command[command.index("--region") + 1] == "1:4,8:96,0:96"
    assert command[command.index("--error-value") + 1] == "255"
    capsys.readouterr()
    assert main([*command[1:], "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    truth, found = viewer.layers["truth"], viewer.layers["found"]
    expected = nu.evaluate(found.data, truth.data[1:, 8:])
    assert scores["overlap"] == expected.overlap.to_dict()
    assert Path(command[command.index("--report") + 1]).is_file()
    exec(compile(lines[1], "copied", "exec"), {})
    (page,) = re.findall(r"'(.*report\.html)'", lines[1])
    assert f"{expected.overlap.mean_iou:.4f}" in Path(page).read_text("utf-8")
