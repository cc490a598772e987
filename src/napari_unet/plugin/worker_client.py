"""The viewer's end of the worker process: requests go out, events come in."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections import deque
from typing import Any

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment, Qt, QTimer, Signal

from napari_unet.events import Event, Failed, Ready
from napari_unet.plugin.settings import preferences

_LOG = logging.getLogger(__name__)
_COMMAND = (sys.executable, "-P", "-m", "napari_unet.worker")
# Milliseconds that the last step, its validation and the checkpoint may take.
_PATIENCE = 60_000
_PATIENCE_AT_EXIT = 10_000  # the window is gone already, and the run is safe on disk
_KEPT_LINES = 50
_SIGKILL = 9
_SIGBUS = getattr(signal, "SIGBUS", 7)


class Job(QObject):
    """One request at work. `ended` is its last signal, whatever happened before.

    Parameters
    ----------
    parent : QObject
    gives_way : bool
        Whether it is stopped when another one is submitted.
    """

    reported = Signal(object)
    """An `napari_unet.events.Event` that reports on the work."""
    failed = Signal(str)
    """The request ended in an error: the sentence for the user."""
    died = Signal(str)
    """The process ended under the job: the sentence for the user."""
    ended = Signal()

    def __init__(self, parent: QObject, *, gives_way: bool = False) -> None:
        super().__init__(parent)
        self.gives_way = gives_way


class WorkerClient(QObject):
    """Keeps one worker process warm and gives it one job at a time.

    Parameters
    ----------
    command : tuple of str, optional
        What to start; another program that speaks the protocol serves in tests.
    parent : QObject, optional
    light : bool
        Whether the process does without torch until a job needs it.
    """

    ready_changed = Signal(bool)
    """Whether the process has started up and waits for a request."""

    def __init__(
        self,
        command: tuple[str, ...] = (),
        *,
        parent: QObject | None = None,
        light: bool = False,
    ) -> None:
        super().__init__(parent)
        self._command = (command or _COMMAND) + ("--light",) * light
        self._process: QProcess | None = None
        self._job: Job | None = None
        self._request: dict[str, Any] | None = None  # waits for the process to be ready
        self._image = ""  # the file that the job at work reads
        self._ready = False
        self._closing = False
        self._wanted_again = False  # started or given a job while it was closing
        self._errors: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def busy(self) -> bool:
        """Whether a job is at work."""
        return self._job is not None

    @property
    def pid(self) -> int:
        """The process's number; 0 when none runs."""
        return int(self._process.processId()) if self._process is not None else 0

    def start(self) -> None:
        """Start the process unless it runs, so that it is warm when it is needed."""
        if self._process is not None:
            self._wanted_again = self._closing
            return
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUNBUFFERED", "1")
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._read_events)
        process.readyReadStandardError.connect(self._read_errors)
        process.finished.connect(self._on_finished)
        # Queued, for it may come from within start(), before anybody listens to a job.
        process.errorOccurred.connect(
            self._on_error, Qt.ConnectionType.QueuedConnection
        )
        self._process = process
        self._errors.clear()
        polite = preferences().get("computing", "low_priority")
        arguments = [*self._command[1:], *([] if polite else ["--impolite"])]
        process.start(self._command[0], arguments)

    def submit(self, request: dict[str, Any], *, gives_way: bool = False) -> Job:
        """Start a job, as soon as one that gives way has stopped.

        The caller has made sure that no other job is at work.
        """
        if self._job is not None:
            if not self._job.gives_way:
                raise ValueError("The worker is busy.")
            self.stop()
            self._end_job()  # what it still reports is not heard
        self._job = job = Job(self, gives_way=gives_way)
        self._request = request
        self.start()
        self._send_waiting()
        return job

    def stop(self) -> None:
        """Ask the job to stop; a training keeps its best model. `Job.ended` follows."""
        if self._request is not None:  # not even begun
            self._request = None
            self._end_job()
        elif self._job is not None:
            self._write({"do": "stop"})

    def tell(self, order: dict[str, Any]) -> None:
        """Say something to the job at work, such as to pause; see the worker."""
        if self._job is not None and self._request is None:
            self._write(order)

    def abort(self) -> None:
        """End the process with its job at once, where nothing can be lost by it.

        The next job starts another process.
        """
        if self._process is not None:
            self._closing, self._wanted_again = True, False
            self._request = None
            self._process.kill()

    def shutdown(self, *, wait: bool = False) -> None:
        """End the process: it stops its job in good order, or is ended if it does not.

        Parameters
        ----------
        wait : bool
            Return only when it has ended, for use when there is no event loop to come.
        """
        process = self._process
        if process is None:
            return
        self._closing, self._wanted_again = True, False
        if self._request is not None:
            self._request = None
            self._end_job()
        process.closeWriteChannel()
        if wait:
            for end in (process.terminate, process.kill):
                if process.waitForFinished(_PATIENCE_AT_EXIT):
                    return
                end()
            process.waitForFinished(_PATIENCE_AT_EXIT)
        else:
            for attempt, end in enumerate((process.terminate, process.kill), start=1):
                timer = QTimer(process, singleShot=True)  # ends with the process
                timer.timeout.connect(end)
                timer.start(attempt * _PATIENCE)

    def _send_waiting(self) -> None:
        if self._ready and not self._closing and self._request is not None:
            request, self._request = self._request, None
            self._image = str(request.get("image", ""))
            self._set_ready(False)
            self._write(request)

    def _write(self, request: dict[str, Any]) -> None:
        if self._process is not None:
            self._process.write((json.dumps(request) + "\n").encode())

    def _read_events(self) -> None:
        while self._process is not None and self._process.canReadLine():
            line = bytes(self._process.readLine().data()).decode(errors="replace")
            try:
                event = Event.from_json(line)
            except (ValueError, KeyError, TypeError, AttributeError):
                self._errors.append(line.rstrip())
            else:
                self._on_event(event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Ready):
            if self._request is None:
                self._end_job()
            self._set_ready(True)
            self._send_waiting()
        elif self._job is None or self._request is not None:
            return  # of a job that nobody waits for any more
        elif isinstance(event, Failed):
            if event.details:
                _LOG.error("%s", event.details)
            self._job.failed.emit(event.message)
        else:
            self._job.reported.emit(event)

    def _read_errors(self) -> None:
        if self._process is not None:
            text = bytes(self._process.readAllStandardError().data())
            self._errors.extend(text.decode(errors="replace").splitlines())

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read_events()
        self._read_errors()
        crashed = status == QProcess.ExitStatus.CrashExit
        self._forget(_death(code, crashed, list(self._errors), self._image))

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._forget(
                f"The worker process could not be started ({self._command[0]}). Check "
                "that this Python is still installed, and restart napari."
            )

    def _forget(self, reason: str) -> None:
        """Let the ended process go; the next request starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.deleteLater()
        self._set_ready(False)
        closed, self._closing = self._closing, False
        if not closed:
            self._bury(reason)
        elif self._request is None:
            self._end_job()
        if closed and self._wanted_again:
            self.start()

    def _bury(self, reason: str) -> None:
        self._request = None
        if self._job is not None:
            _LOG.error("%s\n%s", reason, "\n".join(self._errors))
            self._job.died.emit(reason)
            self._end_job()

    def _end_job(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.ended.emit()
            job.deleteLater()

    def _set_ready(self, ready: bool) -> None:
        if ready != self._ready:
            self._ready = ready
            self.ready_changed.emit(ready)


def _death(code: int, crashed: bool, errors: list[str], image: str) -> str:
    """Say how the process ended, and what may have been the cause."""
    if crashed and code == _SIGBUS:
        return (
            "The worker process ended because a part of a file was gone: "
            f"{image or 'an image'} may have been cut short while it was read, or its "
            "disk fails. Check that it is complete, and open it again."
        )
    if crashed and code == _SIGKILL:
        return (
            "The worker process was killed. Most often the computer ran out of memory: "
            "close other programs, or choose a smaller batch, patch or tile under "
            "Advanced."
        )
    last = next((line for line in reversed(errors) if line.strip()), "no message")
    how = f"crashed (signal {code})" if crashed else f"ended with code {code}"
    return f"The worker process {how}: {last.strip()}"
