"""The viewer's end of ``napari-unet batch``, which runs in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (
    QObject,
    QProcess,
    QProcessEnvironment,
    Qt,
    QTimer,
    Signal,
)
from qtpy.QtWidgets import QApplication

from napari_unet.events import BatchFinished, Event
from napari_unet.plugin.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COMMAND = (sys.executable, "-P", "-m", "napari_unet")
_NICENESS = 10
_PATIENCE = 60_000  # milliseconds that the image at work may take to stop
_PATIENCE_AT_EXIT = 10_000  # the window is gone; what is done is safe in any case
_KEPT_LINES = 50
_SIGKILL = 9
_GOES_ON = "What is done is kept: Start goes on."


class BatchProcess(QObject):
    """Runs one command to its end, and deletes itself then.

    Parameters
    ----------
    words : sequence of str
        Those of the command line after the program's name.
    owner : QObject
        When it is destroyed, the batch stops.
    parent : QObject
        Lives until the process has ended.
    """

    reported = Signal(object)
    """An `Event` of the batch."""
    looked = Signal(object)
    """The values of an `napari_unet.batch.outlook.Outlook`."""
    ended = Signal(str)
    """Always the last one: why it could not do its work; empty where it could."""

    def __init__(self, words: Sequence[str], owner: QObject, parent: QObject) -> None:
        super().__init__(parent)
        self._errors: deque[str] = deque(maxlen=_KEPT_LINES)
        self._finished = self._stopping = False
        self._process = process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUNBUFFERED", "1")
        process.setProcessEnvironment(environment)
        process.started.connect(self._on_started)
        process.readyReadStandardOutput.connect(self._read_lines)
        process.readyReadStandardError.connect(self._read_errors)
        process.finished.connect(self._on_finished)
        # Queued, for it may come from within start(), before anybody listens.
        process.errorOccurred.connect(
            self._on_error, Qt.ConnectionType.QueuedConnection
        )
        owner.destroyed.connect(self.stop)
        QApplication.instance().aboutToQuit.connect(self._end_now)
        process.start(_COMMAND[0], [*_COMMAND[1:], *words, "--json"])

    @property
    def pid(self) -> int:
        """The process's number."""
        return int(self._process.processId())

    def stop(self, _: object = None) -> None:
        """Ask it to stop after the tile at work; `ended` follows."""
        if self._stopping:
            return
        self._stopping = True
        if sys.platform == "win32":  # which cannot ask; a batch survives it
            self._process.kill()
            return
        self._process.terminate()
        timer = QTimer(self, singleShot=True)
        timer.timeout.connect(self._process.kill)
        timer.start(_PATIENCE)

    def _end_now(self) -> None:
        """End with the application, while there is no event loop to come."""
        self.stop()
        if not self._process.waitForFinished(_PATIENCE_AT_EXIT):
            self._process.kill()
            self._process.waitForFinished(_PATIENCE_AT_EXIT)

    def _on_started(self) -> None:
        polite = preferences().get("computing", "low_priority")
        if polite and sys.platform != "win32":  # what it starts inherits this
            os.setpriority(os.PRIO_PROCESS, self.pid, _NICENESS)

    def _read_lines(self) -> None:
        while self._process.canReadLine():
            line = bytes(self._process.readLine().data()).decode(errors="replace")
            try:
                values: dict[str, Any] = json.loads(line)
                event = Event.from_json(line) if "event" in values else None
            except (ValueError, KeyError, TypeError):
                self._errors.append(line.rstrip())
                continue
            if event is None:
                self.looked.emit(values)
            else:
                self._finished |= isinstance(event, BatchFinished)
                self.reported.emit(event)

    def _read_errors(self) -> None:
        text = bytes(self._process.readAllStandardError().data())
        self._errors.extend(text.decode(errors="replace").splitlines())

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read_lines()
        self._read_errors()
        crashed = status == QProcess.ExitStatus.CrashExit
        done = self._finished or self._stopping
        self._end("" if done else explain(code, crashed, self._errors))

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._end(
                f"The batch could not be started ({_COMMAND[0]}). Check that this "
                "Python is still installed, and restart napari."
            )

    def _end(self, why: str) -> None:
        self.ended.emit(why)
        self.deleteLater()


def explain(code: int, crashed: bool, errors: Iterable[str]) -> str:
    """Say why the command ended as it did; empty where it did what it was to do.

    Parameters
    ----------
    code : int
        Its exit code, or the signal that ended it.
    crashed : bool
    errors : iterable of str
        What it wrote to standard error.
    """
    lines = [line for line in errors if line.strip()]
    if crashed and code == _SIGKILL:
        return (
            "The batch was killed, most likely because memory ran out: give it less "
            f"under Advanced. {_GOES_ON}"
        )
    for number, line in reversed(list(enumerate(lines))):
        if line.startswith("napari-unet") and ": " in line and code:
            said = " ".join([line.partition(": ")[2], *lines[number + 1 :]])
            return said.removeprefix("error: ")
    if not crashed and code in (0, 1):  # 1: some images would fail
        return ""
    how = f"crashed (signal {code})" if crashed else f"ended with code {code}"
    return f"The batch {how}: {lines[-1] if lines else 'no message'}. {_GOES_ON}"
