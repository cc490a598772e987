"""Nothing is left behind by widgets that come and go, and by job after job."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from by_hand import add_tissue, idle, open_widget, run_to_the_end

from napari_unet.plugin.pixel_job import PixelJob
from napari_unet.plugin.session import session_of
from napari_unet.plugin.worker_client import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from pytestqt.qtbot import QtBot
    from qtpy.QtCore import QObject

SMALL = {"depth": 1, "width": 4, "patch_size": 32, "batch_size": 1, "steps": 2}
WAIT = 60_000


def count(session: QObject) -> dict[str, int]:
    """Count what a job could leave behind."""
    gc.collect()
    this = psutil.Process()
    pixels = Path(tempfile.gettempdir()) / f"napari-unet-{Path.home().name}"
    mine = f"-{this.pid}-"
    return {
        "files": this.num_fds() if hasattr(this, "num_fds") else 0,
        "processes": len(this.children(recursive=True)),
        "folders": sum(mine in each.name for each in pixels.glob(".pixels-*")),
        "jobs": len(session.findChildren(Job)) + len(session.findChildren(PixelJob)),
    }


def test_rounds_leave_nothing_behind(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    session = session_of(viewer)
    counts = [count(session)]
    for _ in range(3):
        train, predict = (open_widget(viewer, name) for name in ("Train", "Predict"))
        train.advanced.enter(SMALL)
        run_to_the_end(qtbot, train, train.train_button)
        run_to_the_end(qtbot, predict, predict.predict_button)
        assert idle(train)()
        for layer in [*viewer.layers][::-1]:
            if layer.name not in ("tissue", "truth"):
                viewer.layers.remove(layer)
        for widget in (train, predict):
            viewer.window.remove_dock_widget(widget)
        del train, predict, widget, layer
        pids = (session.worker, session.side)
        qtbot.waitUntil(lambda of=pids: not any(w.pid for w in of), timeout=WAIT)
        qtbot.wait(50)
        counts.append(count(session))
    for name in ("jobs", "processes", "folders"):
        assert [each[name] for each in counts[1:]] == [counts[0][name]] * 3, name
    assert counts[-1]["files"] <= counts[1]["files"] + 2, counts
