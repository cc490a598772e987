"""Scrolls and zooms a 20-GB zarr in a real window, with and without a lazy layer.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/lazy_layer.py

The layer of "where I look" is computed in the worker meanwhile. What is measured: how
long the event loop does not come round, by a timer that wants to tick every 5 ms, with
one layer shown or another (napari reads the image in the event loop); how much of that
are calls of ours, how many gaps they made noticeable, and what the longest call took,
also in time of the processor; and the memory of the viewer and of the worker after each
round. To all who read it the zarr is 20 GB; its chunks are links to a few.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    import zarr

CHUNK = 512
LEVELS = 6
ROWS, COLUMNS = 32 * CHUNK, 40 * CHUNK
STALL = 100  # milliseconds that a user would notice
SHOWN = {  # ordinary labels of the same size on the screen, the image, the lazy layer
    "nothing": (False, False, False),
    "ordinary labels": (True, False, False),
    "the lazy layer": (False, False, True),
    "the image": (False, True, False),
    "the image and the lazy layer": (False, True, True),
}
HEAD = (
    "| shown | gap p50 | p99 | longest | over 100 | for our calls | our share "
    "| longest call of ours | of it processor |"
)


def make_zarr(path: Path, sections: int) -> list[zarr.Array]:
    """Write a pyramid of sections that look like tissue, in a few files."""
    import zarr

    from napari_unet.data import synthetic_em

    tissue, _ = synthetic_em(4, CHUNK)
    group = zarr.create_group(path)
    for level in range(LEVELS):
        stride = 2**level
        shape = (sections, ROWS // stride, COLUMNS // stride)
        chunks = (1, CHUNK, CHUNK)
        name = str(level)
        pixels = group.create_array(name, shape=shape, chunks=chunks, dtype="u1")
        folder = path / name / "c"
        for number, section in enumerate(np.asarray(tissue)[:sections]):
            small = section[::stride, ::stride]
            pixels[number, :CHUNK, :CHUNK] = np.tile(small, (stride, stride))
            _link(folder / str(number), [-(-each // CHUNK) for each in shape[1:]])
        for number in range(4, sections):
            (folder / str(number)).symlink_to(folder / str(number % 4))
    return [group[str(level)] for level in range(LEVELS)]


def _link(section: Path, counts: list[int]) -> None:
    """Make all chunks of a section of its first one."""
    for row, column in np.ndindex(*counts):
        (section / str(row)).mkdir(exist_ok=True)
        if row or column:
            os.link(section / "0" / "0", section / str(row) / str(column))


class Watch:
    """Notes when the event loop comes round, and how long calls of ours hold it."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.start()
        self._timer = QTimer(interval=5)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def start(self) -> None:
        """Forget all that was noted."""
        self.gaps: list[tuple[float, float]] = []
        self.ours: list[tuple[float, float]] = [(0, 0)]
        self._since = 0.0
        self._depth = 0
        self._last = time.perf_counter()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append((1000 * (now - self._last), self._since))
        self._last, self._since = now, 0.0

    def follow(self, owner: type, *names: str) -> None:
        """Time the methods of a class."""
        for name in names:
            setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def timed(*args: Any, **options: Any) -> Any:
            begun = time.perf_counter(), time.thread_time()
            self._depth += 1
            try:
                return method(*args, **options)
            finally:
                self._depth -= 1
                if self._depth == 0:  # not within another one
                    taken = 1000 * (time.perf_counter() - begun[0])
                    self.ours.append((taken, 1000 * (time.thread_time() - begun[1])))
                    self._since += taken

        return timed

    def row(self, name: str) -> str:
        """Return what was noted, as a row of the table."""
        gaps, ours = np.array(self.gaps).T
        middle, high = np.percentile(gaps, [50, 99])
        calls, processor = np.array(self.ours).T
        due = (gaps > STALL) & (gaps - ours <= STALL)
        return (
            f"| {name} | {middle:.0f} | {high:.0f} | {gaps.max():.0f} | "
            f"{(gaps > STALL).sum()} | {due.sum()} | {ours.sum() / gaps.sum():.1%} | "
            f"{calls.max():.0f} | {processor.max():.0f} |"
        )


def walk(viewer: napari.Viewer, steps: int) -> Iterator[None]:
    """Move as a person does: into the image, across it, through sections, back out."""
    camera = viewer.scene.camera

    def pan(rows: float, columns: float) -> None:
        z, y, x = camera.center
        camera.center = z, y + rows / camera.zoom, x + columns / camera.zoom

    viewer.reset_view()
    factor = (1.5 / camera.zoom) ** (1 / steps)
    for _ in range(steps):
        camera.zoom *= factor
        yield
    for step in range(steps):
        pan(60 if step % 20 < 10 else -60, 60 if step % 10 < 5 else -60)
        yield
    for _ in range(steps):
        last = viewer.dims.nsteps[0]
        viewer.dims.set_current_step(0, (viewer.dims.current_step[0] + 1) % last)
        yield
    for _ in range(steps):
        camera.zoom /= factor
        yield


def wait(milliseconds: int) -> None:
    """Let the window live."""
    from qtpy.QtTest import QTest

    QTest.qWait(milliseconds)


def add_look(viewer: napari.Viewer, image: Any, model: Path, watch: Watch) -> Any:
    """Predict an image where it is looked at; wait for the layer."""
    from napari_unet.plugin.look.levels import Slice
    from napari_unet.plugin.look.look import Look
    from napari_unet.plugin.session import session_of

    watch.follow(Look, "_look", "_read", "_show", "_on_event", "_on_ended", "_submit")
    watch.follow(Slice, "__array__")
    look = Look(viewer, session_of(viewer), image, model, {})
    while not look.layers:
        wait(20)
    return look


def megabytes(pid: int) -> int:
    """Return the memory that a process has to itself or shares."""
    import psutil

    return int(psutil.Process(pid).memory_info().rss / 2**20)


def measure(folder: Path, gigabytes: float, rounds: int, steps: int) -> Iterator[str]:
    """Yield the lines of the report."""
    import napari
    from timing import untrained_model

    from napari_unet.plugin.session import session_of

    sections = max(2, round(gigabytes * 1e9 / (ROWS * COLUMNS)))
    levels = make_zarr(folder / "tissue.zarr", sections)
    model = untrained_model(width=16).save(folder / "model.safetensors")
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    image = viewer.add_image(levels, contrast_limits=(0, 255), name="tissue")
    wait(2000)
    watch = Watch()
    look = add_look(viewer, image, model, watch)
    worker = session_of(viewer).worker.pid
    size = levels[0].nbytes / 1e9
    yield f"{size:.1f} GB, {' × '.join(map(str, levels[0].shape))}; milliseconds:\n"
    yield HEAD
    yield "|---" * HEAD.count(" | ") + "|---|"
    labels = (np.indices((ROWS // 8, COLUMNS // 8)).sum(0) // 64 % 2).astype(np.uint8)
    plain = viewer.add_labels(labels, scale=(8, 8))
    memory = []
    for _ in range(rounds):
        for name, shown in SHOWN.items():
            plain.visible, image.visible, look.layers[0].visible = shown
            wait(1000)
            watch.start()
            for _ in walk(viewer, steps):
                wait(80)
            yield watch.row(name)
        memory.append(f"{megabytes(os.getpid())} and {megabytes(worker)}")
    plain.visible, image.visible, look.layers[0].visible = False, True, True
    viewer.reset_view()
    viewer.scene.camera.zoom = 1
    wait(100)
    begun = time.perf_counter()
    while not look.complete:
        wait(20)
    yield f"\nAll in view was computed {time.perf_counter() - begun:.1f} s later."
    yield f"MB of the viewer and of the worker after each round: {'; '.join(memory)}."
    viewer.screenshot(folder / "complete.png", canvas_only=False, flash=False)
    viewer.scene.camera.zoom = 0.4
    wait(4000)
    viewer.screenshot(folder / "filling.png", canvas_only=False, flash=False)
    viewer.close()
    session_of(viewer).close()


def main() -> None:
    """Measure, print a table, and keep two pictures of the window."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--gigabytes", type=float, default=20)
    given.add_argument("--rounds", type=int, default=3)
    given.add_argument("--steps", type=int, default=40)
    given.add_argument("--pictures", type=Path, help="where they go")
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NAPARI_CONFIG"] = str(folder / "settings.yaml")
        for line in measure(folder, options.gigabytes, options.rounds, options.steps):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        for picture in folder.glob("*.png") if options.pictures else ():
            picture.rename(options.pictures / picture.name)


if __name__ == "__main__":
    main()
