"""Corrections survive whatever happens to the viewer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_unet import files
from napari_unet.plugin.correct import autosave
from napari_unet.plugin.correct.layer import Corrections, look_of
from napari_unet.plugin.correct.store import (
    find_saved,
    layout_of,
    make_store,
    new_path,
    open_saved,
)

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

WAIT = 20_000
SHAPE = (3, 40, 1000)


def corrected() -> tuple[Any, Any]:
    """Return a layer of corrections, and the layout that it is saved in."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(SHAPE, np.uint8), name="cells")
    about = Corrections("an id", "cells", "run", (1, 2), ("1", "2"), 0)
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint8), **look_of(about))
    return layer, layout_of(image, about)


def test_each_file_is_on_the_disk_before_it_gets_its_name(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    flush = files._flush
    monkeypatch.setattr(
        files, "_flush", lambda part: (flushed.append(part.name), flush(part))
    )
    monkeypatch.setattr(autosave, "_PAUSE", 10)
    layer, layout = corrected()
    parent = QObject()
    autosave.autosave(layer, layout, None, parent)
    for section in (1, 2):  # the second one goes into the store there is
        layer.paint((section, 20, 20), 2)
        wanted = np.array(layer.data)
        qtbot.waitUntil(lambda all_of=wanted: saved(all_of), timeout=WAIT)
    names = [each.rsplit(".", 2)[0] for each in flushed]
    path = find_saved("cells", SHAPE)
    assert path is not None
    written = [each for each in path.rglob("*") if each.is_file()]
    assert {each.name for each in written} <= {each[1:] for each in names}
    assert names.count(".0") == 2  # a chunk of each of the sections
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def saved(pixels: np.ndarray) -> bool:
    path = find_saved("cells", SHAPE)
    return path is not None and np.array_equal(open_saved(path)[0], pixels)


VIEWER = """
    import sys
    from pathlib import Path
    import numpy as np
    from qtpy.QtCore import QCoreApplication, QObject, QTimer
    from qtpy.QtWidgets import QApplication
    sys.path.insert(0, {here!r})
    app = QApplication([])
    from napari_unet.plugin import runs
    runs.runs_folder = lambda: Path({folder!r})
    from napari_unet.plugin.correct import autosave
    from test_autosave import corrected

    autosave._PAUSE = 0
    write = autosave.Autosave._write

    def tell(self, pixels):
        known = int(pixels[1, 5].sum())
        write(self, pixels)
        print(known, flush=True)

    def paint():
        sections = np.arange(3)
        place = sections, np.full(3, 5), np.full(3, len(strokes))
        layer.data_setitem(place, 1)
        strokes.append(1)

    autosave.Autosave._write = tell
    strokes, parent, timer = [], QObject(), QTimer(interval=15)
    layer, layout = corrected()
    autosave.autosave(layer, layout, None, parent)
    timer.timeout.connect(paint)
    timer.start()
    app.exec()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("saves", [1, 2, 5])
def test_a_viewer_that_is_killed_leaves_what_was_saved_last(
    runs_folder: Path, saves: int
) -> None:
    here = str(Path(__file__).parent)
    code = textwrap.dedent(VIEWER.format(here=here, folder=str(runs_folder)))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as viewer:
        assert viewer.stdout is not None
        for _ in range(saves):
            known = int(viewer.stdout.readline())
        os.kill(viewer.pid, signal.SIGKILL)  # it goes on painting and saving
    path = find_saved("cells", SHAPE)
    assert path is not None
    pixels, about, kind = open_saved(path)
    assert kind == "labels" and about["name"] == "cells corrections"
    for section in pixels:
        strokes = int(section[5].sum())
        assert strokes >= known
        assert section[5, :strokes].all() and not section[5, strokes:].any()


def test_the_last_corrections_of_a_minute_are_the_newest(runs_folder: Path) -> None:
    layer, layout = corrected()
    about = Corrections.from_layer(layer)
    paths = []
    for _ in range(11):
        paths.append(new_path(runs_folder / "annotations", about))
        make_store(paths[-1], layout, about)
    assert find_saved("cells", SHAPE) == paths[-1]
