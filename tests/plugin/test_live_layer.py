"""A training that is paused, watched and corrected while it runs."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import WAIT, add_tissue, choose, click, idle, open_widget
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from napari.layers import Layer
    from pytestqt.qtbot import QtBot

    from napari_unet.plugin.train.widget import TrainWidget

SMALL = {"depth": 1, "width": 8, "patch_size": 64, "batch_size": 2}


def begin(qtbot: QtBot, train: TrainWidget) -> None:
    train.advanced.enter(SMALL)
    click(qtbot, train.train_button)
    qtbot.waitUntil(lambda: "step" in train.progress.words.text(), timeout=WAIT)


def test_pause_resume_and_stop_while_paused(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    assert not train.pause_button.isEnabled()
    begin(qtbot, train)
    run = train.run.path()
    click(qtbot, train.pause_button)
    qtbot.waitUntil(lambda: train.pause_button.text() == "Resume", timeout=WAIT)
    assert "Paused after step" in train.progress.words.text()
    assert (run / "last.safetensors").exists()
    steps = len(train.plot._loss)
    qtbot.wait(300)
    assert len(train.plot._loss) == steps
    click(qtbot, train.pause_button)
    qtbot.waitUntil(lambda: len(train.plot._loss) > steps + 2, timeout=WAIT)
    assert train.pause_button.text() == "Pause"
    click(qtbot, train.pause_button)
    qtbot.waitUntil(lambda: train.pause_button.text() == "Resume", timeout=WAIT)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "Stopped" in train.status.text()
    assert (run / "model.safetensors").exists()
    assert train.pause_button.text() == "Pause"
    assert not train.pause_button.isEnabled()


def live_layers(viewer: Viewer) -> list[Layer]:
    return [each for each in viewer.layers if each.name.endswith("live")]


def section_of(layer: Any) -> int:
    """Say which section of the tissue a live layer shows."""
    return round((layer.translate[0] - 50) / 50)


@pytest.mark.parametrize("show", ["probability", "labels"])
def test_live_layer_follows_the_slider_and_stays(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, show: str
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    choose(qtbot, train.live, show)
    truth = viewer.layers["truth"]
    viewer.layers.selection.active = truth
    truth.mode = "paint"
    viewer.dims.set_current_step(0, 1)
    begin(qtbot, train)
    qtbot.waitUntil(lambda: bool(live_layers(viewer)), timeout=WAIT)
    (layer,) = live_layers(viewer)
    assert viewer.layers.selection.active is truth  # the brush stays in the hand
    assert truth.mode == "paint"
    assert [each.name for each in viewer.layers] == ["tissue", "tissue live", "truth"]
    assert layer.data.shape == (1, 96, 96)
    np.testing.assert_array_equal(layer.scale, (50, 4, 4))
    np.testing.assert_array_equal(layer.translate, (100, 8, 12))
    assert train.image.layer.name == "tissue"
    assert train.labels.layer is truth
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: section_of(layer) == 3, timeout=WAIT)
    if show == "labels":
        assert set(np.unique(layer.data)) <= {0, 255}
        assert "tissue live" not in texts(train.labels)
    else:
        assert 0 <= layer.data.min() < layer.data.max() <= 1
        assert "tissue live" not in texts(train.image)
    click(qtbot, train.pause_button)
    qtbot.waitUntil(lambda: train.pause_button.text() == "Resume", timeout=WAIT)
    viewer.dims.set_current_step(0, 0)  # also while it rests
    qtbot.waitUntil(lambda: section_of(layer) == 0, timeout=WAIT)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert live_layers(viewer) == [layer]
    assert not list(train.run.last.glob(".pixels-*"))
    begin(qtbot, train)
    qtbot.waitUntil(lambda: bool(live_layers(viewer)), timeout=WAIT)
    assert live_layers(viewer) != [layer]
    viewer.layers.remove(live_layers(viewer)[0])  # it is not wanted
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: train.live.currentText() == "off", timeout=WAIT)
    assert live_layers(viewer) == []
    del viewer.layers["tissue"]  # the training does not mind
    steps = len(train.plot._loss)
    qtbot.waitUntil(lambda: len(train.plot._loss) > steps, timeout=WAIT)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)


def test_moving_before_the_first_step_does_not_cost_the_preview(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.advanced.enter(SMALL)
    click(qtbot, train.train_button)
    viewer.dims.set_current_step(0, 2)  # while the worker starts
    qtbot.waitUntil(lambda: bool(live_layers(viewer)), timeout=WAIT)
    assert section_of(live_layers(viewer)[0]) == 2
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)


def texts(box: Any) -> list[str]:
    return [box.itemText(index) for index in range(box.count())]


def paint(viewer: Viewer, labels: Any, value: int, rows: range, column: int) -> None:
    """Draw a stroke with the brush, by the events that the mouse makes."""
    labels.selected_label, labels.brush_size, labels.mode = value, 3, "paint"
    section = viewer.dims.current_step[0]
    line = [labels.data_to_world((section, row, column)) for row in rows]
    drag(labels, line)


def drag(labels: Any, line: list[Any]) -> None:
    mouse = SimpleNamespace(
        type="mouse_press",
        position=line[0],
        is_dragging=False,
        button=1,
        modifiers=[],
        handled=False,
    )
    mouse_press_callbacks(labels, mouse)
    mouse.type, mouse.is_dragging = "mouse_move", True
    for mouse.position in line:
        mouse_move_callbacks(labels, mouse)
    mouse.type = "mouse_release"
    mouse_release_callbacks(labels, mouse)


def test_strokes_painted_while_it_trains_are_taken_in(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    labels = viewer.layers["truth"]
    strokes = np.zeros_like(labels.data)
    strokes[:, 10:14], strokes[:, 40:44] = 1, 2
    strokes[2] = 0
    labels.data = strokes
    train = open_widget(viewer, "Train")
    choose(qtbot, train.zero, "not annotated (scribbles)")
    viewer.layers.selection.active = labels
    begin(qtbot, train)
    run = train.run.path()
    viewer.dims.set_current_step(0, 2)
    paint(viewer, labels, 1, range(60, 80), 30)
    changed = int((labels.data[2] == 1).sum())
    assert changed > 50
    said = f"Took in {changed} new pixels on section 2"
    qtbot.waitUntil(lambda: said in train.status.text(), timeout=WAIT)
    qtbot.waitUntil(lambda: len(live_layers(viewer)) == 1, timeout=WAIT)
    paint(viewer, labels, 3, range(60, 80), 50)  # a class that it does not know
    qtbot.waitUntil(lambda: "value 3" in train.status.text(), timeout=WAIT)
    steps = len(train.plot._loss)
    qtbot.waitUntil(lambda: len(train.plot._loss) > steps, timeout=WAIT)
    labels.undo()
    paint(viewer, labels, 2, range(60, 80), 50)
    qtbot.waitUntil(lambda: "Took in" in train.status.text(), timeout=WAIT)
    train.status.clear()
    labels.undo()
    qtbot.waitUntil(lambda: "Took in" in train.status.text(), timeout=WAIT)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    data = json.loads((run / "config.json").read_text())["data"]
    assert len(data["history"]) == 3
    assert "painted while it trained" in " ".join(train.replay.done.remarks)
    assert not list(run.glob(".pixels-*"))
    painted = labels.data.copy()
    paint(viewer, labels, 2, range(10, 80), 70)  # heard by nobody any more
    assert (labels.data != painted).sum() > 150
    train.run.line.selectAll()
    qtbot.keyClicks(train.run.line, str(run))
    assert train.train_button.text().replace("&", "") == "Resume"
    begin(qtbot, train)
    assert "goes on with these" in train.status.text()
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)


def test_what_is_live_is_chosen_without_scrolling(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 720)
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.report.plot.show()  # as while it trains
    qtbot.waitUntil(lambda: not train.report.plot.visibleRegion().isEmpty())
    seen = train.live.visibleRegion().boundingRect()
    assert seen.size() == train.live.size()
