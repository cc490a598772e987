"""The worker is killed, memory and disk run out, and viewers are closed meanwhile."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from by_hand import add_tissue, choose, click, idle, notes, open_widget, save_model

from napari_unet.plugin.look.look import WHERE_I_LOOK
from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]

WAIT = 60_000
SMALL = {"depth": 1, "width": 8, "patch_size": 64, "batch_size": 2}
LEAST = 10_000  # bytes that a file may have where the disk is full

pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="limits another process's memory and files"
)


@pytest.fixture
def viewer(make_napari_viewer: MakeViewer) -> Iterator[Viewer]:
    viewer = make_napari_viewer(show=True)
    yield viewer
    session_of(viewer).close()


def begin_training(qtbot: QtBot, viewer: Viewer, **options: Any) -> Any:
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.advanced.enter({**SMALL, **options})
    click(qtbot, train.train_button)
    qtbot.waitUntil(lambda: bool(train.plot._loss), timeout=WAIT)
    return train


def begin_predicting(qtbot: QtBot, viewer: Viewer) -> Any:
    noise = np.random.default_rng(0).integers(0, 255, (6000, 128, 96), np.uint8)
    viewer.add_image(noise, name="noise")
    predict = open_widget(viewer, "Predict")
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(lambda: "noise prediction" in viewer.layers, timeout=WAIT)
    return predict


def limit(viewer: Viewer, what: int, amount: int) -> None:
    """Give the worker less than it needs, as a full computer does."""
    resource.prlimit(session_of(viewer).worker.pid, what, (amount, -1))


def train_two_steps(qtbot: QtBot, train: Any) -> None:
    """Show that all is as before: two steps of a new training."""
    train.run.line.clear()
    train.advanced.enter({"steps": 2})
    assert train.train_button.text() == "&Train"
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "All steps are done" in train.status.text()


def test_a_training_without_memory_or_disk_says_so_and_is_kept(
    viewer: Viewer, qtbot: QtBot
) -> None:
    train = begin_training(qtbot, viewer, checkpoint_every=0)
    run = train.run.path()
    qtbot.waitUntil((run / "last.json").exists, timeout=WAIT)
    limit(viewer, resource.RLIMIT_FSIZE, LEAST)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "could not be written" in train.status.text()
    assert "ake room" in train.status.text()
    assert notes()[-1] == train.status.text()
    assert not list(run.glob(".*"))  # neither pixels nor halves of files
    limit(viewer, resource.RLIMIT_FSIZE, -1)
    train.advanced.enter({"steps": train.plot._loss[-1][0] + 2})
    assert train.train_button.text() == "Resum&e"
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "All steps are done" in train.status.text()

    worker = psutil.Process(session_of(viewer).worker.pid)
    limit(viewer, resource.RLIMIT_AS, worker.memory_info().vms + 2**25)
    train.run.line.clear()
    train.advanced.enter({"depth": 4, "width": 64})  # 124 MB of weights
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "There was not enough memory" in train.status.text()
    assert notes()[-1] == train.status.text()
    train.advanced.enter(SMALL)
    os.kill(worker.pid, signal.SIGKILL)  # while it rests
    qtbot.waitUntil(lambda: session_of(viewer).worker.pid == 0, timeout=WAIT)
    train_two_steps(qtbot, train)


def test_a_prediction_without_disk_says_so(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model", depth=2)
    predict = begin_predicting(qtbot, viewer)
    click(qtbot, predict.cancel_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert "are done and kept in the layer" in predict.status.text()
    limit(viewer, resource.RLIMIT_FSIZE, LEAST)
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert "Make room on that disk" in predict.status.text()
    assert predict.status.text().endswith("Nothing was added.")
    limit(viewer, resource.RLIMIT_FSIZE, -1)
    viewer.layers.clear()
    add_tissue(viewer)
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert predict.status.text() == "Added the layer 'tissue prediction'."


def test_looking_survives_a_killed_worker(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model", depth=2)
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, WHERE_I_LOOK)
    click(qtbot, predict.predict_button)
    all_there = "All that is in view is computed."
    qtbot.waitUntil(lambda: predict.status.text() == all_there, timeout=WAIT)
    os.kill(session_of(viewer).worker.pid, signal.SIGKILL)
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: predict.status.text() == all_there, timeout=WAIT)
    section = np.asarray(viewer.layers[-1].data[0][1])
    assert set(np.unique(section)) <= {0, 255}


def test_looking_goes_on_after_a_full_disk(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model", depth=2)
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, WHERE_I_LOOK)
    click(qtbot, predict.predict_button)
    all_there = "All that is in view is computed."
    qtbot.waitUntil(lambda: predict.status.text() == all_there, timeout=WAIT)
    limit(viewer, resource.RLIMIT_FSIZE, 100)
    viewer.dims.set_current_step(0, 3)
    full = "There is no room left on the disk"
    qtbot.waitUntil(lambda: predict.status.text().startswith(full), timeout=WAIT)
    assert "Hide and show the layer to try again" in predict.status.text()
    limit(viewer, resource.RLIMIT_FSIZE, -1)
    layer = viewer.layers[-1]
    layer.visible = False
    layer.visible = True
    qtbot.waitUntil(lambda: predict.status.text() == all_there, timeout=WAIT)
    assert set(np.unique(np.asarray(layer.data[0][3]))) <= {0, 255}


def test_what_cannot_be_written_before_a_training_is_said(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.advanced.enter(SMALL)
    qtbot.waitUntil(lambda: session_of(viewer).worker._ready, timeout=WAIT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LEAST, before[1]))
    try:
        click(qtbot, train.train_button)
        qtbot.waitUntil(idle(train), timeout=WAIT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Make room there, or choose another run folder" in train.status.text()
    assert notes()[-1] == train.status.text()

    (runs_folder / "file").write_text("in the way")
    train.run.line.clear()
    qtbot.keyClicks(train.run.line, str(runs_folder / "file" / "run"))
    click(qtbot, train.train_button)
    assert "could not be written to" in notes()[-1]
    assert train._job is None
    train_two_steps(qtbot, train)


def test_a_run_folder_that_vanishes_ends_in_a_sentence(
    viewer: Viewer, qtbot: QtBot
) -> None:
    train = begin_training(qtbot, viewer, checkpoint_every=0)
    truth = viewer.layers["truth"].data.copy()
    shutil.rmtree(train.run.path(), ignore_errors=True)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert notes()[-1] == train.status.text()
    assert "could not be written" in train.status.text()
    np.testing.assert_array_equal(viewer.layers["truth"].data, truth)
    train_two_steps(qtbot, train)


def processes() -> set[int]:
    return {each.pid for each in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize("work", ["train", "preview", "predict", "look"])
def test_a_viewer_may_be_closed_while_it_works(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, work: str
) -> None:
    """The other viewer's work is left alone."""
    save_model(runs_folder / "model", depth=2)
    before = processes()
    # Only one is drawn: napari may fail in one window when it has closed another.
    other, viewer = (make_napari_viewer(show=show) for show in (False, True))
    session = session_of(viewer)
    if work == "train":
        stays = begin_training(qtbot, other, checkpoint_every=0)
        run = begin_training(qtbot, viewer, checkpoint_every=0).run.path()
        qtbot.waitUntil((run / "last.json").exists, timeout=WAIT)
        assert run != stays.run.path()
    elif work == "predict":
        begin_predicting(qtbot, viewer)
    else:
        add_tissue(viewer)
        widget = open_widget(viewer, "Train" if work == "preview" else "Predict")
        if work == "preview":
            click(qtbot, widget.preview_button)
        else:
            choose(qtbot, widget.where, WHERE_I_LOOK)
            click(qtbot, widget.predict_button)
        qtbot.waitUntil(lambda: session.worker.busy, timeout=WAIT)
        del widget
    viewer.close()
    qtbot.waitUntil(lambda: session.worker.pid == session.side.pid == 0, timeout=WAIT)
    if work == "train":
        assert (run / "model.safetensors").exists()
        qtbot.waitUntil(lambda: not list(run.glob(".pixels-*")), timeout=WAIT)
        step = stays.plot._loss[-1][0]
        qtbot.waitUntil(lambda: stays.plot._loss[-1][0] > step, timeout=WAIT)
        click(qtbot, stays.stop_button)
        qtbot.waitUntil(idle(stays), timeout=WAIT)
        stays.run.edited = True
        stays.run.line.setText(str(run))
        assert stays.train_button.text() == "Resum&e"
    session_of(other).close()
    qtbot.waitUntil(lambda: processes() <= before, timeout=WAIT)
    assert not [note for note in notes() if "rror" in note]
