"""A training that is paused, watched and corrected while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import WAIT, add_tissue, choose, click, idle, open_widget

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from napari.layers import Layer
    from pytestqt.qtbot import QtBot

    from napari_unet.plugin.train import TrainWidget

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
    assert not list(train._run.glob(".pixels-*"))
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


def texts(box: Any) -> list[str]:
    return [box.itemText(index) for index in range(box.count())]
