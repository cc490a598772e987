"""The Predict widget in a real napari window, used as a person uses it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import (
    WAIT,
    add_tissue,
    choose,
    click,
    idle,
    notes,
    open_widget,
    run_to_the_end,
    save_model,
)
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

import napari_unet
from napari_unet.data import Classes
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    from napari_unet import Model

    MakeViewer = Callable[..., Viewer]


@pytest.fixture
def model(runs_folder: Path) -> Model:
    return save_model(runs_folder / "model", Classes((10, 255)), depth=2)


def whole(model: Model, viewer: Viewer) -> np.ndarray:
    """What the model says of the whole tissue, in the precision of the widget."""
    return np.asarray(napari_unet.predict(model, viewer.layers["tissue"].data))


def add_slow_image(viewer: Viewer, sections: int = 6000) -> None:
    shape = (sections, 128, 96)
    noise = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    viewer.add_image(noise, name="slow")


def begin(qtbot: QtBot, predict: Any, tiles: int = 1) -> None:
    """Start the prediction of a stack that takes a while, a section each tile."""
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(lambda: predict._tiles[0] >= tiles, timeout=WAIT)
    layers = predict._viewer.layers
    qtbot.waitUntil(lambda: "slow prediction" in layers, timeout=WAIT)


def test_a_section_lies_on_the_image_and_equals_the_whole(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    viewer.dims.set_current_step(0, 2)
    predict = open_widget(viewer, "Predict")
    assert predict.where.currentText() == "whole image"
    choose(qtbot, predict.where, "current section")
    run_to_the_end(qtbot, predict, predict.predict_button)
    result, tissue = viewer.layers["tissue prediction"], viewer.layers["tissue"]
    np.testing.assert_array_equal(result.data, whole(model, viewer)[2:3])
    assert result.data.shape == (1, 96, 96)
    assert result.data_to_world((0, 5, 7)) == tissue.data_to_world((2, 5, 7))
    assert result.units == tissue.units
    assert "Added the layer 'tissue prediction'" in predict.status.text()


def test_the_view_is_predicted_among_its_surroundings(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer(show=True)
    add_tissue(viewer)
    viewer.dims.set_current_step(0, 1)
    viewer.scene.camera.center = (0, 8 + 4 * 50, 12 + 4 * 40)
    viewer.scene.camera.zoom = min(viewer.canvas.size) / 100  # 25 pixels of 4 nm
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, "current view")
    run_to_the_end(qtbot, predict, predict.predict_button)
    result, tissue = viewer.layers["tissue prediction"], viewer.layers["tissue"]
    _, rows, columns = result.data.shape
    assert min(rows, columns) in (25, 26, 27)
    z, y, x = np.rint(tissue.world_to_data(result.translate)).astype(int)
    assert z == 1
    np.testing.assert_array_equal(
        result.data[0], whole(model, viewer)[1, y : y + rows, x : x + columns]
    )


def test_the_rectangle_is_predicted_where_it_was_drawn(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, "rectangle")
    click(qtbot, predict.predict_button)
    assert "There is no rectangle" in notes()[-1]
    tissue = viewer.layers["tissue"]
    corners = [(3, 20, 30), (3, 20, 80), (3, 60, 80), (3, 60, 30)]
    shapes = viewer.add_shapes([[tissue.data_to_world(each) for each in corners]])
    run_to_the_end(qtbot, predict, predict.predict_button)
    result = viewer.layers["tissue prediction"]
    np.testing.assert_array_equal(result.data, whole(model, viewer)[3:4, 20:61, 30:81])
    assert result.data_to_world((0, 0, 0)) == tissue.data_to_world((3, 20, 30))
    shapes.data = [np.add(shapes.data[0], (0, 0, 4000))]
    click(qtbot, predict.predict_button)
    assert "rectangle lies outside of 'tissue': along X it is at 1030" in notes()[-1]
    assert predict.predict_button.isEnabled()


def test_a_rectangle_drawn_by_hand_is_predicted(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer(show=True)
    add_tissue(viewer)
    viewer.layers.selection.active = tissue = viewer.layers["tissue"]
    viewer.dims.set_current_step(0, 2)
    predict = open_widget(viewer, "Predict")
    for each in predict.window().findChildren(QPushButton):
        if each.property("mode") == "new_shapes":
            click(qtbot, each)
    shapes = viewer.layers[-1]
    shapes.mode = "add_rectangle"
    drag_on_canvas(qtbot, predict.window())
    assert list(shapes.shape_type) == ["rectangle"]
    choose(qtbot, predict.where, "rectangle")
    run_to_the_end(qtbot, predict, predict.predict_button)
    result = viewer.layers[-1]
    assert result.data.shape[0] == 1
    assert max(result.data.shape) < 96
    low, high = (
        np.array(tissue.world_to_data(shapes.data_to_world(each)))
        for each in (shapes.data[0].min(axis=0), shapes.data[0].max(axis=0))
    )
    z, y, x = np.rint(tissue.world_to_data(result.translate)).astype(int)
    np.testing.assert_allclose((z, y, x), low, atol=0.51)
    _, rows, columns = result.data.shape
    np.testing.assert_allclose((y + rows - 1, x + columns - 1), high[1:], atol=0.51)
    part = whole(model, viewer)[2:3, y : y + rows, x : x + columns]
    np.testing.assert_array_equal(result.data, part)


def drag_on_canvas(qtbot: QtBot, window: Any) -> None:
    """Draw across the middle of the canvas with the mouse."""
    (canvas,) = (
        each
        for each in window.findChildren(QWidget)
        if type(each).__name__ == "CanvasBackendDesktop"
    )
    button, middle = Qt.MouseButton.LeftButton, canvas.rect().center()
    corners = [middle + QPoint(*each) for each in ((-60, -40), (0, 0), (60, 40))]
    qtbot.mouseMove(canvas, corners[0])
    qtbot.mousePress(canvas, button, pos=corners[0])
    for corner in corners[1:]:
        move = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(corner),
            QPointF(canvas.mapToGlobal(corner)),
            Qt.MouseButton.NoButton,
            button,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(canvas, move)
    qtbot.mouseRelease(canvas, button, pos=corners[-1])


def test_a_section_of_a_volume_is_seen_among_the_others(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    model = save_model(runs_folder / "volume", dims=3)
    viewer = make_napari_viewer()
    add_tissue(viewer)
    viewer.dims.set_current_step(0, 2)
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, "current section")
    predict.probabilities.setChecked(True)
    run_to_the_end(qtbot, predict, predict.predict_button)
    labels, shares = napari_unet.predict(
        model, viewer.layers["tissue"].data, output="both"
    )
    result = viewer.layers["tissue prediction"]
    np.testing.assert_array_equal(result.data, labels[2:3])
    np.testing.assert_allclose(
        viewer.layers["tissue P(255)"].data, shares[2:3, 1], atol=1e-2
    )


def test_labels_fill_in_while_the_network_works(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer()
    add_slow_image(viewer, 1000)
    predict = open_widget(viewer, "Predict")
    predict.probabilities.setChecked(True)
    begin(qtbot, predict, tiles=60)
    layers = [viewer.layers[f"slow {name}"] for name in ("prediction", "P(255)")]
    first = [layer.data[:5].any(axis=(1, 2)).all() for layer in layers]
    last = [layer.data[-5:].any() for layer in layers]
    assert predict._job is not None
    assert (first, last) == ([True, True], [False, False])
    seen: list[int] = []
    labels = layers[0]
    labels.events.set_data.connect(lambda: seen.append(0))
    with qtbot.waitSignal(predict._job.ended, timeout=WAIT):
        pass
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert seen
    assert labels.data[-5:].any()
    assert labels.editable
    assert "partial" not in labels.name


def test_cancel_keeps_what_is_done(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer()
    add_slow_image(viewer)
    predict = open_widget(viewer, "Predict")
    begin(qtbot, predict, tiles=40)
    click(qtbot, predict.cancel_button)
    assert not predict.cancel_button.isEnabled()
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    layer = viewer.layers["slow prediction (partial)"]
    assert layer.data[0].any()
    assert not layer.data[-1].any()
    assert "Cancelled" in predict.status.text()
    assert "tiles are done and kept in the layer 'slow prediction (partial)'" in (
        predict.status.text()
    )
    assert predict.predict_button.isEnabled()
    viewer.layers.remove("slow")
    viewer.add_image(np.zeros((48, 48)), name="next")
    run_to_the_end(qtbot, predict, predict.predict_button)
    assert "next prediction" in viewer.layers
    assert layer.data[0].any()  # nothing is lost, its file is gone


@pytest.mark.parametrize("when", ["at once", "at the worker's"])
def test_cancel_before_the_start_adds_nothing(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model, when: str
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    worker = session_of(viewer).worker
    if when != "at once":
        qtbot.waitUntil(lambda: worker._ready, timeout=WAIT)
    click(qtbot, predict.predict_button)
    if when != "at once":
        qtbot.waitUntil(lambda: worker.busy, timeout=WAIT)
    click(qtbot, predict.cancel_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert [layer.name for layer in viewer.layers] == ["tissue", "truth"]
    assert predict.predict_button.isEnabled()
    assert predict.status.text() == "Cancelled. Nothing was added."


def test_layers_may_be_renamed_and_deleted_meanwhile(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer()
    add_slow_image(viewer)
    predict = open_widget(viewer, "Predict")
    predict.probabilities.setChecked(True)
    begin(qtbot, predict)
    viewer.layers["slow prediction"].name = "mine"
    viewer.layers.remove("slow P(10)")
    viewer.layers.remove("slow")
    qtbot.waitUntil(lambda: predict._tiles[0] > 60, timeout=WAIT)
    viewer.layers.remove("slow P(255)")
    click(qtbot, predict.cancel_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert [layer.name for layer in viewer.layers] == ["mine (partial)"]
    viewer.layers.clear()
    add_slow_image(viewer)
    begin(qtbot, predict)
    viewer.layers.clear()
    click(qtbot, predict.cancel_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert predict.status.text() == "Cancelled. Nothing was added."
    assert notes() == []


def test_what_a_killed_worker_has_done_is_kept(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer()
    add_slow_image(viewer)
    predict = open_widget(viewer, "Predict")
    begin(qtbot, predict, tiles=20)
    os.kill(session_of(viewer).worker.pid, signal.SIGKILL)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert "was killed" in notes()[-1]
    assert viewer.layers["slow prediction (partial)"].data[0].any()
    assert "was killed" in predict.status.text()
    assert "kept in the layer" in predict.status.text()


def test_closing_the_dock_keeps_what_is_done(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer()
    add_slow_image(viewer)
    predict = open_widget(viewer, "Predict")
    session = session_of(viewer)
    begin(qtbot, predict, tiles=20)
    viewer.window.remove_dock_widget(predict)
    del predict
    qtbot.waitUntil(lambda: session.worker.pid == 0, timeout=WAIT)
    assert viewer.layers["slow prediction (partial)"].data[0].any()


def test_a_new_prediction_goes_to_a_new_layer_and_names_its_model(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model, runs_folder: Path
) -> None:
    from napari_unet.plugin.parts.choices import MODEL_KEY

    save_model(runs_folder / "other", Classes((1, 2), dtype="float32"))
    viewer = make_napari_viewer()
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    for name in ("model", "other"):
        predict.model.choose(runs_folder / name)
        click(qtbot, predict.predict_button)
        predict.model.choose(runs_folder / "model")  # too late for this one
        qtbot.waitUntil(idle(predict), timeout=WAIT)
    first, second = viewer.layers[-2:]
    assert (first.name, second.name) == ("tissue prediction", "tissue prediction [1]")
    assert first.metadata[MODEL_KEY] == str(runs_folder / "model")
    assert second.metadata[MODEL_KEY] == str(runs_folder / "other")
    assert set(np.unique(second.data)) <= {1, 2}
    assert second.data.dtype == np.int32  # float masks come as whole numbers


def test_attention_is_shown_of_a_network_that_has_it(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    for name in ("unet-attention", "unet"):
        save_model(runs_folder / name, depth=2, name=name)
    viewer = make_napari_viewer()
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    predict.model.choose(runs_folder / "unet")
    assert predict.attention.isHidden()
    predict.model.choose(runs_folder / "unet-attention")
    assert not predict.attention.isHidden()
    predict.attention.setChecked(True)
    run_to_the_end(qtbot, predict, predict.predict_button)
    whole = [viewer.layers[f"tissue attention {gate}"] for gate in (1, 2)]
    for each in whole:
        assert each.data.shape == (4, 96, 96)
        assert 0 < each.data.min() < each.data.max() < 1
        assert each.scale.tolist() == [50, 4, 4]
    viewer.dims.set_current_step(0, 2)
    choose(qtbot, predict.where, "current section")
    run_to_the_end(qtbot, predict, predict.predict_button)
    part = viewer.layers["tissue attention 1 [1]"]
    np.testing.assert_array_equal(part.data, whole[0].data[2:3])


def test_another_pixel_size_is_said_before_and_rescaled(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model, runs_folder: Path
) -> None:
    nm = {"Z": 50, "Y": 8, "X": 8}
    sized = replace(model, pixel_size=nm, unit="nm")
    sized.save(runs_folder / "model" / "model.safetensors")
    viewer = make_napari_viewer()
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    assert not predict.fit.isHidden()
    assert (
        "are 4 × 4 nm, but the model was trained at 8 × 8" in predict.fit.words.text()
    )
    layer = viewer.layers["tissue"]
    layer.scale = (50, 8, 8)
    assert predict.fit.isHidden()
    layer.scale = (50, 4, 4)
    assert not predict.fit.isHidden()
    click(qtbot, predict.fit.rescale)
    viewer.dims.set_current_step(0, 1)
    choose(qtbot, predict.where, "current section")
    run_to_the_end(qtbot, predict, predict.predict_button)
    assert notes() == []  # it was said before
    stack = stack_from_layer(layer)
    expected = napari_unet.predict(sized, stack, rescale=True)
    np.testing.assert_array_equal(
        viewer.layers["tissue prediction"].data, np.asarray(expected)[1:2]
    )
    predict.fit.rescale.setChecked(False)
    run_to_the_end(qtbot, predict, predict.predict_button)
    assert notes() == []
    expected = napari_unet.predict(sized, stack)
    np.testing.assert_array_equal(viewer.layers[-1].data, np.asarray(expected)[1:2])


def test_an_image_that_does_not_fit_is_said_before(
    make_napari_viewer: MakeViewer, fake_worker: object, runs_folder: Path
) -> None:
    save_model(runs_folder / "volume", dims=3)
    save_model(runs_folder / "colour", channels=3)
    viewer = make_napari_viewer()
    flat = viewer.add_image(np.zeros((40, 40)), name="flat")
    predict = open_widget(viewer, "Predict")
    for name, said in {
        "volume": "no Z",
        "colour": "has 1 channel(s), but the model expects 3",
    }.items():
        predict.model.choose(runs_folder / name)
        assert said in predict.fit.words.text()
        assert predict.fit.rescale.isHidden()
    viewer.add_image(np.zeros((40, 40, 3), np.uint8), rgb=True)
    viewer.layers.remove(flat)
    assert predict.fit.isHidden()


def test_uncertainty_becomes_an_image(
    make_napari_viewer: MakeViewer, qtbot: QtBot, model: Model
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    predict.advanced.enter({"uncertainty": "entropy", "tta": 4})
    run_to_the_end(qtbot, predict, predict.predict_button)
    unsure = viewer.layers["tissue uncertainty"]
    assert unsure.data.shape == (4, 96, 96)
    assert 0 < unsure.data.min() < unsure.data.max() <= 1.001
    assert unsure.colormap.name == "inferno"
    assert viewer.layers[-1].name == "tissue prediction"


def test_an_image_in_a_file_is_not_copied(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zarr = pytest.importorskip("zarr")
    from napari_unet.plugin.predict import handover

    noise = np.random.default_rng(0).integers(0, 255, (3, 128, 128), np.uint8)
    array = zarr.create_array(tmp_path / "a.zarr", data=noise, chunks=(1, 64, 64))
    monkeypatch.delattr(handover, "write_part")
    viewer = make_napari_viewer()
    viewer.add_image([array, array[:, ::2, ::2]], multiscale=True, name="tissue")
    viewer.dims.set_current_step(0, 1)
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, "current section")
    run_to_the_end(qtbot, predict, predict.predict_button)
    expected = np.asarray(napari_unet.predict(model, noise))[1:2]
    np.testing.assert_array_equal(viewer.layers[-1].data, expected)
    assert notes() == []


def test_what_one_should_know_of_a_prediction_is_a_warning(
    make_napari_viewer: MakeViewer, fake_worker: object
) -> None:
    from napari_unet.events import PredictionStarted
    from napari_unet.plugin.predict.filling import FillingLayers

    viewer = make_napari_viewer()
    predict = open_widget(viewer, "Predict")
    predict._layers = FillingLayers(viewer, predict)
    predict._ordered = SimpleNamespace(layers=list, info={"network": {}})
    remark = "Seams may show."
    predict._on_event(PredictionStarted(4, 1, [64, 64], "cpu", "fp32", [remark]))
    (note,) = notification_manager.records
    assert (str(note.message), str(note.severity)) == (remark, "warning")
