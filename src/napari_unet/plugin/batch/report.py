"""What the Batch widget says of a batch at work, and fills into its table."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.events import (
    BatchFinished,
    BatchStarted,
    Event,
    ItemBegun,
    ItemDone,
    ItemFailed,
    TilesDone,
)
from napari_unet.plugin.batch.rows import AT_WORK, DONE, FAILED, WAITING
from napari_unet.plugin.batch.table import BatchModel
from napari_unet.plugin.parts.fields import ProgressLine, clock, paragraph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.plugin.batch.rows import Row


_PAUSE = 0.2  # seconds between two figures; small images may come a hundred a second


class BatchReport(QWidget):
    """A progress line, and what there is to say."""

    remarked = Signal(str)
    """What the user should know of an image's result."""

    def __init__(self) -> None:
        super().__init__()
        self._model = BatchModel()
        self.progress = ProgressLine()
        self.status = paragraph()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.progress)
        column.addWidget(self.status)
        self._reset()

    def _reset(self) -> None:
        self._outcome, self._stopping = "", False
        self._waiting = self._done = self._failed = 0
        self._pixels = self._share = self._began = self._drawn = 0.0
        self._said: set[str] = set()
        self._looked: list[dict[str, Any]] = []

    def begin(self, words: str) -> None:
        """Show that something of unknown length has begun."""
        self._reset()
        self.progress.begin(words)
        self.status.setText("")

    def follow(self, model: BatchModel) -> None:
        """Fill in these rows from now on."""
        self._model = model

    def stop(self) -> None:
        """Show that a stop was asked for; what is still reported does not hide it."""
        self._stopping = True
        self.progress.begin("Stopping …")

    def end(self, why: str) -> None:
        """Show that nothing is at work, and why, or what came out."""
        self._model.rest()
        self.progress.end()
        stopped = "Stopped. What is done is kept: Start goes on."
        outcome = stopped if self._stopping else self._plan()
        self.status.setText(why or self._outcome or outcome)

    def show_earlier(self, rows: Iterable[Row]) -> None:
        """Say how many images there are, and what is done of them."""
        count = Counter(row.state for row in rows)
        words = _images(count.total())
        if count[DONE] or count[FAILED]:
            words += f", {count[DONE]} done before, {count[FAILED]} failed"
            words += ": Start goes on" if count[WAITING] else ""
        self.status.setText(f"{words}.")

    # -- what the process reports --------------------------------------------------

    def show_event(self, event: Event) -> None:
        """Fill in what became of an image."""
        if isinstance(event, BatchStarted):
            self._start(event)
        elif isinstance(event, ItemBegun):
            self._share = 0.0
            self._change(event.name, AT_WORK)
            self._warn(event.remarks)
        elif isinstance(event, TilesDone):
            self._share = event.done / event.total
        elif isinstance(event, ItemDone):
            self._done += 1
            self._pixels += event.facts.get("pixels", 0)
            self._change(event.name, DONE, files=event.files, facts=event.facts)
        elif isinstance(event, ItemFailed):
            self._failed += 1
            self._change(event.name, FAILED, event.reason)
        elif isinstance(event, BatchFinished):
            self._outcome = _outcome(event)
        self._move()

    def show_outlook(self, outlook: dict[str, Any]) -> None:
        """Fill in what would be done with an image."""
        if "name" not in outlook:  # the totals, which come last
            return
        self._looked.append(outlook)
        if (row := self._model.find(outlook["name"])) is not None:
            row.outlook = outlook
            if outlook["state"] == WAITING and row.state in (DONE, FAILED):
                row.settle(WAITING)  # it changed, or is to be done otherwise
            self._model.touch(row)
        count, total = len(self._looked), len(self._model.rows)
        if not self._stopping:
            self.progress.show_share(count / max(total, 1), None, f"{count} of {total}")

    def _start(self, event: BatchStarted) -> None:
        self._waiting, self._began = event.waiting, time.monotonic()
        for name in event.names:
            self._change(name, WAITING)
        self._warn(event.remarks)

    def _change(self, name: str, state: str, reason: str = "", **found: Any) -> None:
        if (row := self._model.find(name)) is not None:
            row.settle(state, reason, **found)
            self._model.touch(row)

    def _warn(self, remarks: Iterable[str]) -> None:
        for remark in remarks:
            if remark not in self._said:  # of many images once
                self._said.add(remark)
                self.remarked.emit(remark)

    def _move(self) -> None:
        now = time.monotonic()
        if self._stopping or now - self._drawn < _PAUSE or not self._waiting:
            return
        self._drawn, elapsed = now, now - self._began
        settled = self._done + self._failed
        share = min(1.0, (settled + self._share) / self._waiting)
        left = elapsed * (1 - share) / share if share else None
        words = f"{settled} of {_images(self._waiting)}"
        self.progress.show_share(share, left, words)
        rate = self._pixels / 1e6 / elapsed if elapsed else 0.0
        failed = f", {self._failed} failed" if self._failed else ""
        self.status.setText(f"{rate:.3g} megapixels/s{failed}")

    def _plan(self) -> str:
        """Sum up what a look has found."""
        if not self._looked:
            return ""
        todo = [each for each in self._looked if each["state"] == WAITING]
        fail = sum(bool(each["problem"]) for each in todo)
        words = f"{len(todo)} of {_images(len(self._looked))} to predict"
        if todo:
            seconds = sum(each["seconds"] for each in todo)
            memory = max(each["memory"] for each in todo) / 1e6
            words += f": about {clock(max(seconds, 1))}, up to {memory:.0f} MB"
        return f"{words}; {fail} would fail." if fail else f"{words}."


def _outcome(event: BatchFinished) -> str:
    words = f"{event.done} of {_images(event.total)} are done"
    words += f", {event.failed} failed" if event.failed else ""
    words += f", {event.left} are left: Start goes on" if event.left else ""
    return f"{words}."


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"
