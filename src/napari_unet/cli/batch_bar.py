"""The face of a batch on a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from napari_unet.events import (
    BatchFinished,
    BatchStarted,
    Event,
    ItemBegun,
    ItemDone,
    ItemFailed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.cli.console import Face


def show_batch(events: Iterable[Event], face: Face) -> Event | None:
    """Go through all events of a batch, showing them; return the last one."""
    last = None
    if face != "bar":
        for last in events:
            if face == "json":
                sys.stdout.write(last.to_json() + "\n")
                sys.stdout.flush()
        return last
    with _BatchBar() as bar:
        for last in events:
            bar.show(last)
    return last


class _BatchBar:
    """Images, megapixels per second, time left and failures so far."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[count]}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("batch", count="", note="listing")
        self._waiting = self._done = self._failed = 0
        self._pixels = 0.0
        self._began = time.monotonic()
        self._said: set[str] = set()

    def __enter__(self) -> _BatchBar:
        if self._progress.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.live.transient = not self._waiting  # there is nothing to say
        if self._progress.live.is_started:
            self._progress.stop()

    def show(self, event: Event) -> None:
        """Move the bar as the event says."""
        if isinstance(event, BatchStarted):
            self._waiting = event.waiting
            text = "1 image" if event.total == 1 else f"{event.total} images"
            text += f", {event.waiting} to predict"
            self._say(f"{text}, {event.done} done before." if event.done else text)
            for remark in event.remarks:
                self._say(remark)
            if event.waiting:
                self._progress.start()
        elif isinstance(event, ItemBegun):
            for remark in event.remarks:
                self._say(remark)
        elif isinstance(event, ItemDone):
            self._done += 1
            self._pixels += event.facts.get("pixels", 0)
        elif isinstance(event, ItemFailed):
            self._failed += 1
            self._say(f"{event.name} failed: {event.reason}")
        if not isinstance(event, BatchFinished):
            self._move()

    def _say(self, text: str) -> None:
        if text not in self._said:  # of many images once
            self._said.add(text)
            self._progress.console.print(text, style="dim", highlight=False)

    def _move(self) -> None:
        settled = self._done + self._failed
        elapsed = time.monotonic() - self._began
        note = f"{self._pixels / 1e6 / elapsed:.1f} megapixels/s" if elapsed else ""
        if settled:
            left = int(elapsed / settled * (self._waiting - settled))
            note += f", {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
        if self._failed:
            note += f", {self._failed} failed"
        self._progress.update(
            self._task,
            total=max(self._waiting, 1),
            completed=settled,
            count=f"{settled} of {self._waiting}",
            note=note,
        )
