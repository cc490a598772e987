"""The threshold of a prediction, moved by mouse and keys in a real window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import (
    WAIT,
    add_tissue,
    idle,
    notes,
    open_widget,
    run_to_the_end,
    save_model,
)
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QStyle, QStyleOptionSlider

from napari_unet.data import Classes
from napari_unet.plugin.parts.choices import RESULT_KEY
from napari_unet.plugin.predict.relabelling import blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]


def add_prediction(
    viewer: Viewer, values: tuple[int, ...] = (10, 255), shape: tuple = (3, 32, 40)
) -> tuple[Any, list[np.ndarray]]:
    """Add labels and probabilities as a prediction would."""
    random = np.random.default_rng(0).random((len(values), *shape), np.float32)
    shares = list(random / random.sum(axis=0))
    labels = np.asarray(values, np.uint8)[np.argmax(shares, axis=0)]
    known = {"prediction": "p", "values": values, "names": [f"c{v}" for v in values]}
    for number, share in enumerate(shares):
        result = {**known, "what": "probabilities", "class": number}
        viewer.add_image(
            share,
            name=f"P({values[number]})",
            visible=False,
            metadata={RESULT_KEY: result},
        )
    result = {**known, "what": "labels", "class": 0, "best_threshold": 0.4}
    layer = viewer.add_labels(labels, name="guess", metadata={RESULT_KEY: result})
    return layer, shares


def handle(slider: Any) -> QPoint:
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    return (
        slider.style()
        .subControlRect(
            QStyle.ComplexControl.CC_Slider,
            option,
            QStyle.SubControl.SC_SliderHandle,
            slider,
        )
        .center()
    )


def pick_up(qtbot: QtBot, slider: Any) -> None:
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=handle(slider))


def drag_to(qtbot: QtBot, slider: Any, share: float) -> None:
    from qtpy.QtCore import QEvent, QPointF
    from qtpy.QtGui import QMouseEvent

    place = QPointF(share * slider.width(), slider.height() / 2)
    QApplication.sendEvent(
        slider,
        QMouseEvent(
            QEvent.Type.MouseMove,
            place,
            slider.mapToGlobal(place),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        ),
    )


def test_the_section_follows_while_dragged_and_the_rest_when_let_go(
    make_napari_viewer: MakeViewer, qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer(show=True)
    labels, (_, second) = add_prediction(viewer)
    viewer.dims.set_current_step(0, 1)
    before = labels.data.copy()
    threshold = open_widget(viewer, "Predict").threshold
    assert not threshold.isHidden()
    assert threshold.title.text() == "Threshold of c255 in 'guess'"
    assert threshold.number.value() == 0.5
    assert "0.40 suited the held-out part best" in threshold.slider.toolTip()
    drawn: list[int] = []
    labels.events.set_data.connect(lambda: drawn.append(1))
    pick_up(qtbot, threshold.slider)
    with qtbot.waitSignal(threshold.relabelling.shown, timeout=WAIT):
        drag_to(qtbot, threshold.slider, 0.8)
    limit = threshold.number.value()
    assert 0.7 < limit < 0.9
    np.testing.assert_array_equal(labels.data[1] == 255, second[1] > limit)
    np.testing.assert_array_equal(labels.data[0], before[0])  # not in view
    assert drawn
    with qtbot.waitSignal(threshold.relabelling.finished, timeout=WAIT):
        qtbot.mouseRelease(threshold.slider, Qt.MouseButton.LeftButton)
    np.testing.assert_array_equal(labels.data, np.where(second > limit, 255, 10))
    assert labels.data.dtype == np.uint8


def test_keys_move_it_and_what_was_painted_stays(
    make_napari_viewer: MakeViewer, qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    labels, (_, second) = add_prediction(viewer)
    threshold = open_widget(viewer, "Predict").threshold
    sure = tuple(np.argwhere(second == second.max())[0])
    labels.data_setitem(tuple(np.array([i]) for i in sure), 10)  # as painting does
    for keys in (3, 25):
        with qtbot.waitSignal(threshold.relabelling.finished, timeout=WAIT):
            for _ in range(keys):
                qtbot.keyClick(threshold.slider, Qt.Key.Key_Left)
    assert threshold.number.value() == pytest.approx(0.22)
    expected = np.where(second > 0.22, 255, 10)
    expected[sure] = 10
    qtbot.waitUntil(lambda: np.array_equal(labels.data, expected), timeout=WAIT)
    with qtbot.waitSignal(threshold.relabelling.finished, timeout=WAIT):
        threshold.number.setValue(0.5)
    expected = np.where(second > 0.5, 255, 10)
    expected[sure] = 10
    np.testing.assert_array_equal(labels.data, expected)


def test_of_several_classes_each_has_its_own(
    make_napari_viewer: MakeViewer, qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    labels, shares = add_prediction(viewer, (0, 1, 5))
    threshold = open_widget(viewer, "Predict").threshold
    texts = [threshold.classes.itemText(i) for i in range(3)]
    assert texts == ["c0", "c1", "c5"]
    threshold.classes.setFocus()
    for _ in range(2):
        qtbot.keyClick(threshold.classes, Qt.Key.Key_Down)
    with qtbot.waitSignal(threshold.relabelling.finished, timeout=WAIT):
        qtbot.keyClick(threshold.slider, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: not threshold.relabelling._working, timeout=WAIT)
    best = np.where(shares[1] > shares[0], 1, 0)
    kept = np.argmax(shares, axis=0) == 2
    gone = labels.data != 5
    assert gone[kept].mean() > 0.9  # nearly all have given way to the next best
    np.testing.assert_array_equal(labels.data[gone], best[gone])
    qtbot.keyClick(threshold.classes, Qt.Key.Key_Up)
    assert threshold.number.value() == 0.5


def test_it_goes_with_its_layers(
    make_napari_viewer: MakeViewer, qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((3, 32, 40)), name="tissue")
    predict = open_widget(viewer, "Predict")
    threshold = predict.threshold
    assert threshold.isHidden()
    labels, _ = add_prediction(viewer)
    assert not threshold.isHidden()
    labels.name = "mine"
    assert threshold.title.text() == "Threshold of c255 in 'mine'"
    viewer.layers.selection.active = viewer.layers["tissue"]
    assert threshold.labels is not None
    with qtbot.waitSignal(threshold.relabelling.finished, timeout=WAIT):
        threshold.number.setValue(0.3)
    viewer.window.remove_dock_widget(predict)
    again = open_widget(viewer, "Predict").threshold  # the labels know it still
    assert again.number.value() == 0.3
    viewer.layers.remove("P(10)")
    assert again.isHidden()
    assert notes() == []


def test_labels_may_go_while_they_are_changed(
    make_napari_viewer: MakeViewer, qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add_prediction(viewer, shape=(60, 300, 300))
    threshold = open_widget(viewer, "Predict").threshold
    threshold.number.setValue(0.3)
    viewer.layers.clear()
    assert threshold.isHidden()
    qtbot.waitUntil(lambda: not threshold.relabelling._working, timeout=WAIT)
    assert notes() == []


def test_the_widget_may_go_while_labels_are_changed(
    make_napari_viewer: MakeViewer, qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    labels, (_, second) = add_prediction(viewer, shape=(60, 300, 300))
    predict = open_widget(viewer, "Predict")
    predict.threshold.number.setValue(0.3)
    viewer.window.remove_dock_widget(predict)
    predict.deleteLater()
    del predict
    again = open_widget(viewer, "Predict").threshold
    with qtbot.waitSignal(again.relabelling.finished, timeout=WAIT):
        again.number.setValue(0.4)
    qtbot.waitUntil(lambda: not again.relabelling._behind, timeout=WAIT)
    np.testing.assert_array_equal(labels.data, np.where(second > 0.4, 255, 10))


def test_of_two_predictions_both_are_finished(
    make_napari_viewer: MakeViewer, qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    layers, seconds = [], []
    for name in ("first", "second"):
        layer, (_, second) = add_prediction(viewer, shape=(20, 200, 200))
        for each in viewer.layers[-3:]:
            each.metadata[RESULT_KEY] |= {"prediction": name}
        layers.append(layer)
        seconds.append(second)
    threshold = open_widget(viewer, "Predict").threshold
    for layer in layers:  # the first is not done when the second begins
        viewer.layers.selection.active = layer
        threshold.number.setValue(0.3)
    qtbot.waitUntil(lambda: not threshold.relabelling._behind, timeout=WAIT)
    for layer, second in zip(layers, seconds, strict=True):
        np.testing.assert_array_equal(layer.data, np.where(second > 0.3, 255, 10))


def test_a_real_prediction_has_it(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model", Classes((10, 255)), depth=2)
    viewer = make_napari_viewer()
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    run_to_the_end(qtbot, predict, predict.predict_button)
    assert predict.threshold.isHidden()
    predict.probabilities.setChecked(True)
    run_to_the_end(qtbot, predict, predict.predict_button)
    assert idle(predict)
    assert not predict.threshold.isHidden()
    labels = viewer.layers["tissue prediction [1]"]
    second = viewer.layers["tissue P(255)"].data
    limit = round(float(np.quantile(second, 0.3)), 2)
    with qtbot.waitSignal(predict.threshold.relabelling.finished, timeout=WAIT):
        predict.threshold.number.setValue(limit)
    np.testing.assert_array_equal(labels.data, np.where(second > limit, 255, 10))


def test_blocks_cover_an_array_once_and_a_box_by_few() -> None:
    shape = (3, 2000, 1500)
    seen = np.zeros(shape, np.uint8)
    for block in blocks(shape):
        seen[block] += 1
        assert seen[block].size <= 2**20
    assert (seen == 1).all()
    box = np.array([[1.0, 100.0, 0.0], [1.0, 200.0, 10.0]])
    assert [each[0] for each in blocks(shape, box)] == [slice(1, 2)]
