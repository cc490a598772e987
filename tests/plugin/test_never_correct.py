"""Layers change, workers die and viewers close while a prediction is corrected."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import choose, click, notes, open_widget
from test_correct_widget import (
    find,
    predicted,
    said,
    saved,
    slow_prediction,
    start_painting,
)
from test_never_layers import CHANGES, WAIT, change_all, turn

from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]


@pytest.fixture
def viewer(make_napari_viewer: MakeViewer) -> Iterator[Viewer]:
    viewer = make_napari_viewer()
    yield viewer
    session_of(viewer).close()


def begin_search(qtbot: QtBot, unsure: Any) -> None:
    click(qtbot, unsure.find_button)
    qtbot.waitUntil(lambda: "section" in unsure.progress.words.text(), timeout=WAIT)


def test_a_search_ends_well_whatever_becomes_of_its_layers(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    correct = slow_prediction(viewer, runs_folder)
    unsure = correct.unsure
    begin_search(qtbot, unsure)
    for change in CHANGES[:-1]:  # the last one deletes them
        for layer in [*viewer.layers][::-1]:
            change(viewer, layer)
            qtbot.wait(10)
    qtbot.waitUntil(lambda: unsure._job is None, timeout=WAIT)
    assert unsure.table.rowCount() == 10
    for button in (unsure.next_button, unsure.back_button):
        click(qtbot, button)  # to where it is still found
    viewer.layers["my slow"].data = np.zeros((8, 8))
    click(qtbot, unsure.next_button)
    assert "is not the one" in unsure.status.text()
    assert not [each for each in notes() if "rror" in each]


def test_a_worker_killed_in_a_search_is_told_and_replaced(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    correct = slow_prediction(viewer, runs_folder)
    unsure = correct.unsure
    begin_search(qtbot, unsure)
    os.kill(session_of(viewer).side.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: unsure._job is None, timeout=WAIT)
    assert "was killed" in unsure.status.text() and "was killed" in notes()[-1]
    find(qtbot, correct)
    assert unsure.table.rowCount() == 10


def test_a_worker_killed_when_it_asks_the_model_is_told(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    correct = predicted(viewer, qtbot, runs_folder, probabilities=False)
    before = [layer.name for layer in viewer.layers]
    click(qtbot, correct.unsure.find_button)
    os.kill(session_of(viewer).worker.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: correct.unsure._job is None, timeout=WAIT)
    assert "was killed" in correct.unsure.status.text()
    assert [layer.name for layer in viewer.layers] == before
    find(qtbot, correct)
    assert correct.unsure.table.rowCount()


def test_corrections_that_are_turned_are_saved_as_well(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    correct = predicted(viewer, qtbot, runs_folder)
    layer = start_painting(qtbot, viewer, correct)
    layer.paint((1, 20, 20), 0)
    folder, first = runs_folder / "annotations", np.array(layer.data)
    qtbot.waitUntil(lambda: saved(folder, first), timeout=WAIT)
    turn(viewer, layer)
    layer.paint((30, 40, 2), 255)
    turned = np.array(layer.data)
    assert turned.shape != first.shape
    stores: list[Path] = []

    def all_saved() -> bool:
        stores[:] = sorted(folder.glob("*.zarr"), key=lambda each: each.stem)
        return len(stores) == 2

    qtbot.waitUntil(all_saved, timeout=WAIT)
    (again,) = viewer.open(stores[-1], plugin="napari-unet-lab")
    np.testing.assert_array_equal(again.data, turned)
    (before,) = viewer.open(stores[0], plugin="napari-unet-lab")
    np.testing.assert_array_equal(before.data, first)  # what was there is not touched
    assert said("could not be saved") == 0


def test_accepting_ends_well_whatever_becomes_of_the_layers(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    correct = predicted(viewer, qtbot, runs_folder)
    layer = start_painting(qtbot, viewer, correct)
    for change in CHANGES:
        choose(qtbot, correct.paint.what, "all (edit a copy)")
        correct.paint.status.setText("")
        click(qtbot, correct.paint.accept_button)
        # The image is left alone: of another shape it has no corrections.
        change(viewer, layer)
        change(viewer, viewer.layers[correct.prediction.currentText()])
        qtbot.waitUntil(lambda: not correct.paint._busy, timeout=WAIT)
        assert correct.paint.status.text()
        if layer not in viewer.layers:
            assert "were removed" in correct.paint.status.text()
        elif change is not turn:  # after which napari cannot undo a stroke either
            accepted = np.array(layer.data)
            layer.undo()
            assert set(np.unique(layer.data)) == {254}
            layer.redo()
            np.testing.assert_array_equal(layer.data, accepted)
            layer.undo()
        else:
            assert "turned or replaced" in correct.paint.status.text()
            for each in (layer, viewer.layers[correct.prediction.currentText()]):
                turn(viewer, each)
            layer.data[...] = 254
    assert layer not in viewer.layers
    assert not [each for each in notes() if "rror" in each]


def test_a_viewer_may_close_while_a_prediction_becomes_annotations(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder)
    layer = start_painting(qtbot, viewer, correct)
    layer.paint((1, 20, 20), 0)
    painted = np.array(layer.data)
    choose(qtbot, correct.paint.what, "all (edit a copy)")
    click(qtbot, correct.paint.accept_button)
    viewer.close()

    def strokes_are_saved() -> bool:
        import zarr

        for store in (runs_folder / "annotations").glob("*.zarr"):
            kept = zarr.open_array(store / "0", mode="r")[...]
            return bool((kept[painted == 0] == 0).all())
        return False

    qtbot.waitUntil(strokes_are_saved, timeout=WAIT)


def test_a_live_preview_outlives_a_killed_worker(viewer: Viewer, qtbot: QtBot) -> None:
    from by_hand import add_tissue, idle

    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.advanced.enter({"depth": 1, "width": 8, "patch_size": 64, "batch_size": 2})
    click(qtbot, train.train_button)
    qtbot.waitUntil(lambda: "tissue live" in viewer.layers, timeout=WAIT)
    os.kill(session_of(viewer).worker.pid, signal.SIGKILL)
    for _ in change_all(qtbot, viewer, [viewer.layers["tissue live"]]):
        pass
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "was killed" in train.status.text()
    click(qtbot, train.train_button)  # resumes
    qtbot.waitUntil(lambda: "tissue live" in viewer.layers, timeout=WAIT)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert sum("live" in layer.name for layer in viewer.layers) <= 1
