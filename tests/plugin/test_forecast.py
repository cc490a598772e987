"""The fold-out that says what a training will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from by_hand import add_tissue, click, idle, open_widget
from qtpy.QtCore import Qt

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from pytestqt.qtbot import QtBot

WAIT = 60_000  # milliseconds
SMALL = {"depth": 1, "width": 4, "patch_size": 64}


def unfold(qtbot: QtBot, fold: Any) -> None:
    qtbot.mouseClick(fold.toggleButton(), Qt.MouseButton.LeftButton)


def test_it_is_told_while_it_is_unfolded_and_anew_after_a_change(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.advanced.enter(SMALL)
    words = train.forecast.words
    qtbot.wait(800)
    assert train.forecast._job is None  # folded, it costs nothing
    unfold(qtbot, train.forecast)
    qtbot.waitUntil(lambda: "64 × 64, 2 a step" in words.text(), timeout=WAIT)
    assert "depth 1, width 4" in words.text()
    assert "GB" in words.text()
    assert "in 2 min" in words.text()
    train.advanced.enter({"batch_size": 3})
    qtbot.waitUntil(lambda: "64 × 64, 3 a step" in words.text(), timeout=WAIT)
    train.advanced.enter({"patch_size": 63})
    qtbot.waitUntil(lambda: "patch_size is 63" in words.text(), timeout=WAIT)
    viewer.layers.remove("truth")
    qtbot.waitUntil(lambda: "no labels layer" in words.text(), timeout=WAIT)


def test_a_training_does_not_wait_for_it_and_is_not_disturbed(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.advanced.enter({"steps": 30, **SMALL})
    unfold(qtbot, train.forecast)
    qtbot.waitUntil(lambda: train.forecast._job is not None, timeout=WAIT)
    click(qtbot, train.train_button)
    qtbot.waitUntil(lambda: train.forecast._job is None, timeout=WAIT)
    train.budget.setValue(3)
    told = "This is told when the worker has no other work."
    qtbot.waitUntil(
        lambda: train.forecast.words.text() == told or train._job is None, timeout=WAIT
    )
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "All steps are done" in train.status.text()
    qtbot.waitUntil(lambda: "about 30 in" in train.forecast.words.text(), timeout=WAIT)
