"""What a person does with the widgets in a real napari window."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from safetensors.numpy import load_file

from napari_unet.data import Classes, synthetic_em

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    from napari_unet import Model

PLUGIN = "napari-unet-lab"
WAIT = 300_000  # milliseconds
DONE_COMMAND, DONE_PYTHON = Qt.Key.Key_C, Qt.Key.Key_P
COMMAND, PYTHON = Qt.Key.Key_O, Qt.Key.Key_Y


def open_widget(viewer: Viewer, name: str) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    return widget


def click(qtbot: QtBot, button: Any) -> None:
    assert button.isEnabled(), f"{button.text()} cannot be pressed"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def choose(qtbot: QtBot, box: Any, text: str) -> None:
    """Choose an entry of a list with the arrow keys."""
    qtbot.keyClick(box, Qt.Key.Key_Home)
    for _ in range(box.findText(text)):
        qtbot.keyClick(box, Qt.Key.Key_Down)
    assert box.currentText() == text


def run_to_the_end(qtbot: QtBot, widget: Any, button: Any) -> None:
    click(qtbot, button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)


def copied(qtbot: QtBot, widget: Any, key: Qt.Key) -> str:
    """Copy by the entry of the menu that a letter chooses."""
    QGuiApplication.clipboard().clear()
    widget.status.setText("")
    menu = widget.replay.menu()
    QTimer.singleShot(200, lambda: qtbot.keyClick(menu, key))
    click(qtbot, widget.replay)
    qtbot.waitUntil(lambda: "Copied." in widget.status.text(), timeout=WAIT)
    qtbot.waitUntil(widget.replay.isEnabled, timeout=WAIT)
    return QGuiApplication.clipboard().text()


def run(text: str, folder: Path) -> str:
    """Run a shell line or a script elsewhere than here."""
    if text.startswith("napari-unet "):
        called = [sys.executable, "-m", "napari_unet"]
        steps = [[*called, *shlex.split(s)[1:], "--quiet"] for s in text.split(" && ")]
    else:
        script = folder / "script.py"
        script.write_text(text, encoding="utf-8")
        steps = [[sys.executable, str(script)]]
    for words in steps:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return done.stdout


def assert_same_model(run: Path, again: Path) -> None:
    ours, theirs = (load_file(each / "model.safetensors") for each in (run, again))
    assert ours.keys() == theirs.keys()
    for name, weights in ours.items():
        assert weights.tobytes() == theirs[name].tobytes(), name


def idle(widget: Any) -> Callable[[], bool]:
    return lambda: widget._job is None


def notes() -> list[str]:
    return [str(each.message) for each in notification_manager.records]


def add_tissue(viewer: Viewer, name: str = "tissue") -> None:
    image, labels = synthetic_em(4, 96)
    facts = {"scale": (50, 4, 4), "units": ("nm",) * 3}
    viewer.add_image(np.asarray(image), name=name, translate=(50, 8, 12), **facts)
    viewer.add_labels(np.asarray(labels), name="truth", translate=(50, 8, 12), **facts)


def save_model(
    folder: Path, classes: Classes | None = None, seed: int = 0, **network: Any
) -> Model:
    """Save a network that has learnt nothing, which says something all the same."""
    import torch

    from napari_unet import Model
    from napari_unet.config import NetworkConfig
    from napari_unet.networks import build_network

    torch.manual_seed(seed)
    classes = classes or Classes((0, 255))
    config = NetworkConfig(**{"depth": 1, "width": 4, "classes": classes.n, **network})
    model = Model(build_network(config), config, classes, name=folder.name)
    model.save(folder / "model.safetensors")
    return model
