"""A training that is paused, watched and corrected while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from by_hand import WAIT, add_tissue, click, idle, open_widget

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
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
