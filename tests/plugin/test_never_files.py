"""Files go, memory runs out and layers change while the worker is at work."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import tifffile
import zarr
from by_hand import add_tissue, choose, click, idle, notes, open_widget, save_model
from qtpy.QtCore import Qt
from test_never_layers import WAIT, change_all

from napari_unet.data import synthetic_em
from napari_unet.data.write.stack import write_stack
from napari_unet.errors import StackFormatError
from napari_unet.plugin.parts.choices import PREVIEW_KEY
from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

PLUGIN = "napari-unet-lab"
SMALL = {"depth": 1, "width": 8, "patch_size": 64, "batch_size": 2}


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Viewer]) -> Iterator[Viewer]:
    viewer = make_napari_viewer()
    yield viewer
    session_of(viewer).close()


def add_lazy(viewer: Viewer, folder: Path, kind: str) -> Path:
    """Add an image that stays on the disk, and labels; return its file."""
    image, labels = synthetic_em(4, 96)
    pixels = np.asarray(image)
    if kind == "zarr":
        path = folder / "lazy.zarr"
        stored = zarr.create_array(path, data=pixels, chunks=(1, 96, 96))
        viewer.add_image(stored, name="lazy")
    else:
        path = folder / "train-volume.tif"
        write_stack(path, pixels, shape=pixels.shape, axes="ZYX", dtype="uint8")
        viewer.open(path, plugin=PLUGIN)
    viewer.add_labels(np.asarray(labels), name="truth")
    return path


@pytest.mark.parametrize("kind", ["zarr", "tiff"])
@pytest.mark.skipif(sys.platform == "win32", reason="keeps open files")
def test_the_file_of_an_image_may_go_while_it_trains(
    viewer: Viewer, qtbot: QtBot, tmp_path: Path, kind: str
) -> None:
    path = add_lazy(viewer, tmp_path, kind)
    train = open_widget(viewer, "Train")
    train.advanced.enter(SMALL)
    run = train.run.path()
    click(qtbot, train.train_button)
    qtbot.waitUntil(lambda: bool(train.plot._loss), timeout=WAIT)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    for section in (0, 3, 1):  # the live preview is asked for what is gone
        viewer.dims.set_current_step(0, section)
        step = train.plot._loss[-1][0]
        qtbot.waitUntil(lambda at=step: train.plot._loss[-1][0] > at + 3, timeout=WAIT)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert train.status.text().startswith("Stopped. The best model is that of step")
    assert (run / "model.safetensors").exists()


def test_a_prediction_without_memory_says_so(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits can only be set for a process itself")
    save_model(runs_folder / "model", depth=2, width=32)
    predict = open_widget(viewer, "Predict")
    add_tissue(viewer)
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    worker = psutil.Process(session_of(viewer).worker.pid)
    most = worker.memory_info().vms + 2**24
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (most, -1))
    noise = np.zeros((2, 2048, 2048), np.uint8)
    viewer.add_image(noise, name="large")
    choose(qtbot, predict.image, "large")
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert "memory" in predict.status.text()
    assert notes()[-1].rstrip(".") in predict.status.text()
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (-1, -1))
    choose(qtbot, predict.image, "tissue")
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert predict.status.text().startswith("Added the layer 'tissue prediction")


def test_objects_are_previewed_whatever_becomes_of_their_layer(
    viewer: Viewer, qtbot: QtBot
) -> None:
    add_tissue(viewer)
    objects = open_widget(viewer, "Objects")
    qtbot.keyClick(objects.live, Qt.Key.Key_Space)

    def shown() -> list[object]:
        return [each for each in viewer.layers if PREVIEW_KEY in each.metadata]

    qtbot.waitUntil(lambda: bool(shown()), timeout=WAIT)
    for _ in change_all(qtbot, viewer, list(viewer.layers)):
        qtbot.wait(300)
    qtbot.waitUntil(
        lambda: "nothing to find objects in" in objects.status.text(), timeout=WAIT
    )
    assert not viewer.layers
    add_tissue(viewer)
    qtbot.waitUntil(lambda: bool(shown()), timeout=WAIT)
    viewer.layers.remove(shown()[0])  # by hand: it comes again with the next change
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: bool(shown()), timeout=WAIT)
    os.kill(session_of(viewer).side.pid, 9)
    qtbot.waitUntil(lambda: session_of(viewer).side.pid == 0, timeout=WAIT)
    objects.status.clear()
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: "in this section" in objects.status.text(), timeout=WAIT)


@pytest.mark.skipif(sys.platform == "win32", reason="no file that is mapped is cut")
@pytest.mark.parametrize("seen", [True, False])
def test_the_file_of_an_image_may_be_cut_short_while_it_is_predicted(
    viewer: Viewer, qtbot: QtBot, tmp_path: Path, runs_folder: Path, seen: bool
) -> None:
    path = tmp_path / "train-volume.tif"
    noise = np.random.default_rng(0).integers(0, 255, (400, 256, 256), np.uint8)
    tifffile.imwrite(path, noise, photometric="minisblack")
    viewer.open(path, plugin=PLUGIN)
    save_model(runs_folder / "model", depth=2)
    predict = open_widget(viewer, "Predict")
    click(qtbot, predict.predict_button)
    folder = predict._job.folder
    qtbot.waitUntil(lambda: predict._tiles[0] > 2, timeout=WAIT)
    if seen:
        os.truncate(path, 20 * 256 * 256)
    else:  # what the system does to who reads where the file has just ended
        os.kill(session_of(viewer).worker.pid, signal.SIGBUS)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert str(path) in notes()[-1] and "cut short while it was read" in notes()[-1]
    assert notes()[-1].rstrip(".") in predict.status.text()
    labels = viewer.layers["train-volume prediction (partial)"]
    assert labels.data.shape == noise.shape
    if seen:
        with pytest.raises(StackFormatError, match="cut short"):
            viewer.dims.set_current_step(0, 399)  # no harm to the viewer
        viewer.layers.remove("train-volume")
    assert not folder.exists()
