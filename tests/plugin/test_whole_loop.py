"""The whole loop as a person goes round it, in one real window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import PLUGIN, WAIT, choose, click, idle, open_widget, run_to_the_end
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget
from superqt import QCollapsible

from napari_unet.plugin.objects.table import measurements_of
from napari_unet.plugin.parts.choices import LIVE_KEY, PREVIEW_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

SMALL = {"depth": 1, "width": 8, "patch_size": 64, "batch_size": 1}


def write_number(qtbot: QtBot, form: Any, name: str, value: int) -> None:
    """Find an option by its name, and write a number into its field."""
    form.search.clear()
    qtbot.keyClicks(form.search, name.replace("_", " "))
    field = form.field(name)
    if hasattr(field, "given"):
        if not field.given.isChecked():
            qtbot.keyClick(field.given, Qt.Key.Key_Space)
        field = field.number
    assert field.isVisible()
    field.selectAll()
    qtbot.keyClicks(field, str(value))
    assert field.value() == value


def unfold(qtbot: QtBot, widget: Any, title: str) -> None:
    """Click the line that shows what is folded away, if it is."""
    (fold,) = (
        each
        for each in widget.findChildren(QCollapsible)
        if each.text() == title and each.isVisible()
    )
    if not fold.isExpanded():
        click(qtbot, fold.toggleButton())
    qtbot.waitUntil(fold.isExpanded, timeout=WAIT)


def drag(qtbot: QtBot, viewer: Viewer, window: Any, by: tuple[int, int]) -> None:
    """Draw from the middle of the canvas with the mouse."""
    (canvas,) = (
        each
        for each in window.findChildren(QWidget)
        if type(each).__name__ == "CanvasBackendDesktop"
    )
    first, button = canvas.rect().center(), Qt.MouseButton.LeftButton
    qtbot.mouseMove(canvas, first)
    qtbot.mousePress(canvas, button, pos=first)
    for share in (0.25, 0.5, 0.75, 1):
        place = first + QPoint(round(by[0] * share), round(by[1] * share))
        move = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(place),
            QPointF(canvas.mapToGlobal(place)),
            Qt.MouseButton.NoButton,
            button,
            Qt.KeyboardModifier.NoModifier,
        )
        qtbot.wait(20)  # napari drops events that follow each other too fast
        QApplication.sendEvent(canvas, move)
    qtbot.mouseRelease(canvas, button, pos=place)


def widget_of(viewer: Viewer, name: str) -> Any:
    return viewer.window.dock_widgets[f"{name} ({PLUGIN})"]


def saves_as(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))


def train_and_paint(qtbot: QtBot, viewer: Viewer, train: Any) -> None:
    """Train, paint while it trains, and stop."""
    unfold(qtbot, train, "Advanced")
    for name, value in SMALL.items():
        write_number(qtbot, train.advanced, name, value)
    qtbot.waitUntil(lambda: bool(train.classes.values), timeout=WAIT)
    click(qtbot, train.train_button)
    qtbot.waitUntil(
        lambda: any(LIVE_KEY in each.metadata for each in viewer.layers), timeout=WAIT
    )
    labels = viewer.layers.selection.active
    assert labels is train.labels.layer  # the one to paint on
    before = labels.data.copy()
    labels.selected_label, labels.brush_size = train.classes.values[-1], 4
    qtbot.keyClick(train.window(), Qt.Key.Key_2)  # napari's key for the brush
    assert labels.mode == "paint"
    drag(qtbot, viewer, train.window(), (60, 40))
    assert (labels.data != before).sum() > 20
    qtbot.waitUntil(lambda: "Took in" in train.status.text(), timeout=WAIT)
    steps = len(train.plot._loss)
    qtbot.waitUntil(lambda: len(train.plot._loss) > steps + 5, timeout=WAIT)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)


def predict_and_slide(qtbot: QtBot, viewer: Viewer, train: Any) -> Any:
    """Predict with probabilities, and label less or more of it by the keys."""
    click(qtbot, train.predict_button)
    predict = widget_of(viewer, "Predict")
    assert predict.image.layer is train.image.layer
    if not predict.probabilities.isChecked():
        qtbot.keyClick(predict.probabilities, Qt.Key.Key_Space)
    run_to_the_end(qtbot, predict, predict.predict_button)
    labels = predict.threshold.labels
    share = (labels.data == np.max(labels.data)).mean()
    with qtbot.waitSignal(predict.threshold.relabelling.finished, timeout=WAIT):
        for _ in range(20):
            qtbot.keyClick(predict.threshold.slider, Qt.Key.Key_Right)
    assert (labels.data == np.max(labels.data)).mean() < share
    assert "moved by hand" in predict.replay.done.remarks[0]
    return predict


def correct_and_go_on(qtbot: QtBot, viewer: Viewer, predict: Any) -> Any:
    """Find unsure places, paint at one, and go on training on it."""
    click(qtbot, predict.next_steps.buttons["Correct"])
    correct = widget_of(viewer, "Correct")
    click(qtbot, correct.unsure.find_button)
    qtbot.waitUntil(lambda: correct.unsure.table.rowCount() > 0, timeout=WAIT)
    assert viewer.dims.current_step[0] == correct.unsure.place.position[0]
    click(qtbot, correct.unsure.next_button)
    assert viewer.dims.current_step[0] == correct.unsure.place.position[0]
    click(qtbot, correct.paint.paint_button)
    qtbot.waitUntil(
        lambda: (
            getattr(viewer.layers.selection.active, "mode", "") == "paint"
            and "corrections" in viewer.layers.selection.active.name
        ),
        timeout=WAIT,
    )
    layer = viewer.layers.selection.active
    painted = int((layer.data == layer.selected_label).sum())
    drag(qtbot, viewer, correct.window(), (30, 0))
    assert (layer.data == layer.selected_label).sum() > painted
    click(qtbot, correct.train_button)
    train = widget_of(viewer, "Train")
    assert train.labels.layer is layer
    run = train.init.path()
    qtbot.waitUntil(lambda: len(train.classes.values) > 0, timeout=WAIT)
    write_number(qtbot, train.advanced, "steps", 12)
    run_to_the_end(qtbot, train, train.train_button)
    assert "All steps are done" in train.status.text()
    click(qtbot, train.predict_button)
    assert predict.model.path() != run
    older = predict.threshold.labels
    run_to_the_end(qtbot, predict, predict.predict_button)
    assert predict.threshold.labels.visible
    live = [each for each in viewer.layers if LIVE_KEY in each.metadata]
    assert not any(each.visible for each in (older, *live))  # they would shine through
    return predict


def find_and_measure(
    qtbot: QtBot, viewer: Viewer, predict: Any, path: Path, patch: pytest.MonkeyPatch
) -> None:
    """Find objects, measure them, and save the table."""
    click(qtbot, predict.next_steps.buttons["Objects"])
    objects = widget_of(viewer, "Objects")
    assert objects.input.layer.layer is predict.threshold.labels
    qtbot.keyClick(objects.live, Qt.Key.Key_Space)
    qtbot.waitUntil(
        lambda: any(PREVIEW_KEY in each.metadata for each in viewer.layers),
        timeout=WAIT,
    )
    run_to_the_end(qtbot, objects, objects.apply_button)
    assert "objects in the layer" in objects.status.text()
    assert not predict.threshold.labels.visible
    run_to_the_end(qtbot, objects, objects.measure.button)
    assert objects.status.text().startswith("Measured")
    saves_as(patch, path)
    table = measurements_of(viewer)
    click(qtbot, table.save)
    assert len(path.read_text().splitlines()) == table.model.rowCount() + 1


def evaluate(
    qtbot: QtBot, viewer: Viewer, predict: Any, path: Path, patch: pytest.MonkeyPatch
) -> None:
    """Score the prediction against the truth, and save the report."""
    click(qtbot, predict.next_steps.buttons["Evaluate"])
    evaluate = widget_of(viewer, "Evaluate")
    assert evaluate.prediction.layer is predict.threshold.labels
    choose(qtbot, evaluate.truth, "truth")
    run_to_the_end(qtbot, evaluate, evaluate.evaluate_button)
    assert "Added the layer" in evaluate.status.text()
    saves_as(patch, path)
    click(qtbot, evaluate.save_button)
    qtbot.waitUntil(lambda: "Saved" in evaluate.status.text(), timeout=WAIT)
    assert path.read_text("utf-8").startswith("<!")


@pytest.mark.slow
def test_from_strokes_to_a_saved_report(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample(PLUGIN, "synthetic_em_strokes")
    train = open_widget(viewer, "Train")
    qtbot.waitUntil(train.isVisible, timeout=WAIT)
    train_and_paint(qtbot, viewer, train)
    predict = predict_and_slide(qtbot, viewer, train)
    correct_and_go_on(qtbot, viewer, predict)
    find_and_measure(qtbot, viewer, predict, tmp_path / "table.csv", monkeypatch)
    truth = viewer.open_sample(PLUGIN, "synthetic_em")[1]
    truth.data, truth.name = (truth.data > 0) + 1, "truth"  # in the strokes' values
    evaluate(qtbot, viewer, predict, tmp_path / "report.html", monkeypatch)
    viewer.layers.selection.clear()
