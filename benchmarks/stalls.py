"""Moves the slider and paints while a network trains: does the window stall?

    xvfb-run -a -s "-screen 0 1280x800x24" python benchmarks/stalls.py

In a real window, with the real widgets and their worker at full speed, a timer that
wants to tick every 5 ms measures the gaps of the event loop (milliseconds) while nobody
does anything, a slider is moved every 200 ms, and strokes are painted with the mouse.
The same is done in napari alone, and beside processes that only burn both cores at the
worker's priority: what is as slow there is not due to us. What is: the stack of the
main thread is looked at while the loop does not come round. A gap is due to us where it
would be no longer than 50 ms without the time that code of ours was on that stack.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gaps import HEAD, NOTICED, Gaps, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari

PLUGIN = "napari-unet-lab"
CORES = 2
BURN = "import os\nos.nice(10)\nwhile True: pass"
MOVES = 30  # of the mouse in a stroke


def wait(milliseconds: int) -> None:
    """Run the event loop for a while."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Run the event loop until something is so."""
    for _ in range(round(seconds * 50)):
        if condition():
            return
        wait(20)
    raise TimeoutError("What was waited for did not happen.")


class Person:
    """Does one thing again and again: rests, slides through the sections, or paints.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        from qtpy.QtCore import QTimer

        self._viewer = viewer
        self._count = 0
        self._timer = QTimer()
        self._timer.timeout.connect(self._act)
        self._does: Callable[[], None] = self._slide

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Do it within the body of the statement."""
        self._count = 0
        if what == "slides":
            self._does = self._slide
            self._timer.start(200)
        elif what == "paints":
            self._viewer.layers.selection.active = self._viewer.layers["labels"]
            self._viewer.layers["labels"].mode = "paint"
            self._viewer.layers["labels"].brush_size = 10
            self._does = self._paint
            self._timer.start(16)
        try:
            yield
        finally:
            self._timer.stop()
            if what == "paints" and self._count % MOVES:
                self._mouse("Release", 0.5, 0.5)

    def _act(self) -> None:
        self._does()
        self._count += 1

    def _slide(self) -> None:
        dims = self._viewer.dims
        dims.set_current_step(0, (dims.current_step[0] + 1) % dims.nsteps[0])

    def _paint(self) -> None:
        step = self._count % MOVES
        row, column = 0.3 + 0.4 * (self._count // MOVES % 9) / 8, 0.3 + 0.4 * step / 29
        kind = {0: "Press", MOVES - 1: "Release"}.get(step, "Move")
        self._mouse(kind, row, column)

    def _mouse(self, kind: str, row: float, column: float) -> None:
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        canvas = self._viewer.window._qt_viewer.canvas.native
        place = QPointF(column * canvas.width(), row * canvas.height())
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        event = QMouseEvent(
            getattr(QEvent.Type, f"MouseButton{kind}".replace("ButtonMove", "Move")),
            place,
            QPointF(canvas.mapToGlobal(place.toPoint())),
            none if kind == "Move" else left,
            none if kind == "Release" else left,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(canvas, event)


class Scenes:
    """Measures scenes, each a row of the table.

    Parameters
    ----------
    viewer : napari.Viewer
    seconds : float
        How long each lasts.
    """

    def __init__(self, viewer: napari.Viewer, seconds: float) -> None:
        self._viewer = viewer
        self._person = Person(viewer)
        self._gaps = Gaps()
        self._milliseconds = round(1000 * seconds)
        self.remarks: list[str] = []

    def end(self) -> None:
        """Measure no more."""
        self._gaps.end()

    def once(self, name: str, act: Callable[[], object]) -> Iterator[str]:
        """Measure something that happens once."""
        wait(500)
        self._gaps.start()
        act()
        wait(500)
        yield from self._report(name)

    def each(self, name: str) -> Iterator[str]:
        """Measure resting, moving the slider and painting."""
        for what in ("rests", "slides", "paints"):
            wait(500)
            with self._person.doing(what):
                self._gaps.start()
                wait(self._milliseconds)
                rows = list(self._report(f"{name}, {what}"))
            yield from rows

    def _report(self, name: str) -> Iterator[str]:
        gaps = list(self._gaps.all)
        summary = Summary.of(gaps)
        yield summary.row(name)
        for place, taken in summary.places[:6]:
            self.remarks.append(f"{name}: {taken:.0f} ms in {place}")
        longest = max(gaps, key=lambda gap: gap.wall)
        for place, taken in [*longest.others.most_common(3), *longest.threads.items()]:
            if longest.wall > NOTICED:
                words = f"{taken:.0f} of the {longest.wall:.0f} ms in {place}"
                self.remarks.append(f"{name}: {words}")


def add_data(
    viewer: napari.Viewer, shape: tuple[int, int], folder: Path, *, in_files: bool
) -> None:
    """Add an image and labels of so many sections of so many rows and columns."""
    from napari_unet.data import synthetic_em

    sections, size = shape
    few, side = min(sections, 8), min(size, 512)
    repeats = (-(-sections // few), size // side, size // side)
    for name, stack in zip(("image", "labels"), synthetic_em(few, side), strict=True):
        pixels = np.tile(np.asarray(stack), repeats)[:sections]
        pixels = pixels[0] if sections == 1 else pixels
        if in_files:
            np.save(folder / f"{name}.npy", pixels)
            pixels = np.load(folder / f"{name}.npy", mmap_mode="r+")
        getattr(viewer, f"add_{name}")(pixels, name=name)


@contextmanager
def burning() -> Iterator[None]:
    """Keep both cores busy with other processes at the worker's priority."""
    processes = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(CORES)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def widget_names() -> list[str]:
    """Return what our widgets are called in the menu."""
    import npe2

    manifest = npe2.PluginManager.instance().get_manifest(PLUGIN)
    return [each.display_name for each in manifest.contributions.widgets or []]


def open_widgets(viewer: napari.Viewer) -> dict[str, Any]:
    """Open all of our widgets."""
    opened = {}
    for name in widget_names():
        _, opened[name] = viewer.window.add_plugin_dock_widget(
            PLUGIN, name, tabify=bool(opened)
        )
        wait(200)
    return opened


def training(scenes: Scenes, train: Any) -> Iterator[str]:
    """Train; rest, move the slider and paint meanwhile."""

    def begin() -> None:
        train.train_button.click()
        wait_until(lambda: "step" in train.progress.words.text() or not train._job)
        if not train._job:
            raise RuntimeError(train.status.text())

    def stop() -> None:
        train.stop_button.click()
        wait_until(lambda: train._job is None)

    yield from scenes.once("training begins", begin)
    yield from scenes.each("training")
    yield from scenes.once("training stops", stop)


def predicting(scenes: Scenes, predict: Any, again: list[bool]) -> Iterator[str]:
    """Predict with all results, again and again."""

    def begin() -> None:
        predict.predict_button.click()
        wait_until(lambda: predict._tiles[0] > 0)
        predict.cancel_button.clicked.connect(again.clear)

    def go_on() -> None:
        if again and predict._job is None:
            predict.predict_button.click()

    def stop() -> None:
        predict.cancel_button.click()
        wait_until(lambda: predict._job is None)

    from qtpy.QtCore import QTimer

    predict.probabilities.setChecked(True)
    timer = QTimer(interval=100)
    timer.timeout.connect(go_on)
    yield from scenes.once("prediction begins", begin)
    timer.start()
    yield from scenes.each("predicting")
    timer.stop()
    if predict._job is not None:
        yield from scenes.once("prediction stops", stop)


def measure(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Yield the lines of the report."""
    import napari

    from napari_unet.plugin import runs
    from napari_unet.plugin.session import session_of

    runs.runs_folder = lambda: folder / "runs"
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    sections, size = (int(each) for each in options.shape.split("x"))
    add_data(viewer, (sections, size), folder, in_files=options.files)
    wait(2000)
    scenes = Scenes(viewer, options.seconds)
    yield f"{sections} × {size} × {size}, load {os.getloadavg()[0]:.1f}; ms\n"
    yield HEAD
    yield "|---" * HEAD.count(" | ") + "|---|"
    yield from scenes.each("napari alone")
    with burning():
        yield from scenes.each("beside other work")
    opened: dict[str, Any] = {}
    yield from scenes.once("widgets open", lambda: opened.update(open_widgets(viewer)))
    yield from scenes.each("widgets are open")
    yield from training(scenes, opened["Train"])
    yield from predicting(scenes, opened["Predict"], [True])
    yield ""
    yield from scenes.remarks
    scenes.end()
    viewer.close()
    session_of(viewer).close()


def main() -> None:
    """Measure and print."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--shape", default="30x512", help="sections x rows and columns")
    given.add_argument("--files", action="store_true", help="layers of mapped files")
    given.add_argument("--seconds", type=float, default=10)
    options = given.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        os.environ["NAPARI_CONFIG"] = str(Path(name) / "settings.yaml")
        for line in measure(options, Path(name)):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
