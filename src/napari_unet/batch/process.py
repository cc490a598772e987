"""The process that does the work of a batch, and what happens when it dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from napari_unet.errors import UNetError
from napari_unet.events import Event, Failed, ItemDone, ItemFailed, Ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from napari_unet.batch.inputs import Item

_COMMAND = (sys.executable, "-P", "-m", "napari_unet.worker", "--impolite")
_TOGETHER = 4  # images that may be at work at once: read, computed, finished
_PATIENCE = 30.0  # seconds that an image at work may take to stop
_KEPT_LINES = 20
_SIGKILL = 9
_SIGBUS = getattr(signal, "SIGBUS", 7)


class WorkerDiedError(UNetError):
    """The process was killed, or crashed."""


class Worker:
    """A worker process that takes one request at a time.

    Use it in a ``with`` statement: the process ends with it.

    Parameters
    ----------
    lock : int, optional
        An open file that the process is to keep open, whatever becomes of this one.
    """

    def __init__(self, lock: int | None = None) -> None:
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=sys.platform != "win32",  # Ctrl-C reaches us alone
            pass_fds=() if lock is None or sys.platform == "win32" else (lock,),
        )
        self._errors: deque[str] = deque(maxlen=_KEPT_LINES)
        assert self._process.stderr is not None
        threading.Thread(
            target=self._read_errors, args=(self._process.stderr,), daemon=True
        ).start()
        self._fresh = True

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with self._process:
            try:
                self._process.stdin.close()  # which stops and ends it
                self._process.wait(_PATIENCE)
            except (OSError, subprocess.TimeoutExpired):
                self._process.kill()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(
        self, request: dict[str, Any], should_stop: Callable[[], bool]
    ) -> Iterator[Event]:
        """Send a request, and yield the events that answer it.

        Raises
        ------
        WorkerDiedError
            If the process ends before the answer does.
        UNetError
            If the request cannot be answered at all.
        """
        self._send(request)
        stopped = False
        for event in self._events():
            if isinstance(event, Ready):
                if not self._fresh:
                    return
                self._fresh = False  # that was the start of the process
                continue
            if isinstance(event, Failed):
                raise UNetError(event.message)
            yield event
            if not stopped and should_stop():
                stopped = True
                self._send({"do": "stop"})
        raise WorkerDiedError(self._how_it_died())

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerDiedError(self._how_it_died()) from None

    def _events(self) -> Iterator[Event]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # not one that a kill has cut off
                yield Event.from_json(line)

    def _read_errors(self, stream: IO[str]) -> None:
        for line in stream:
            self._errors.append(line.rstrip())

    def _how_it_died(self) -> str:
        code = self._process.wait(_PATIENCE)
        if code == -_SIGKILL:
            return (
                "The process was killed at work on this image, most likely because "
                "memory ran out: give it less (--memory), then --retry-failed."
            )
        if code == -_SIGBUS:
            return (
                "The process ended because a part of this image's file was gone: it "
                "was cut short while it was read, or its disk fails. Export it again."
            )
        said = self._errors[-1] if self._errors else "it said nothing"
        return f"The process ended with code {code} at work on this image: {said}"


class Survivor:
    """Predicts images in processes that may die: only the images at work suffer.

    Parameters
    ----------
    request : dict
        The request, but for its items.
    should_stop : callable
    lock : int, optional
        As for `Worker`.
    """

    def __init__(
        self,
        request: dict[str, Any],
        should_stop: Callable[[], bool],
        lock: int | None = None,
    ) -> None:
        self._request = request
        self._should_stop = should_stop
        self._lock = lock

    def predict(self, items: Sequence[Item]) -> Iterator[Event]:
        """Predict images; after a death, those that were at work each by itself."""
        left = list(items)
        suspects: list[Item] = []
        while left and not self._should_stop():
            with Worker(self._lock) as worker:
                try:
                    while suspects and not self._should_stop():
                        yield from self._ask(worker, suspects[:1], left)
                        del suspects[0]
                    yield from self._ask(worker, left, left)
                    return
                except WorkerDiedError as error:
                    if not suspects:
                        suspects = left[:_TOGETHER]
                    elif (item := suspects.pop(0)) in left:
                        left.remove(item)
                        yield ItemFailed(item.name, str(error))

    def _ask(
        self, worker: Worker, items: Sequence[Item], left: list[Item]
    ) -> Iterator[Event]:
        """Predict images; those that are settled leave `left`."""
        if self._should_stop():
            return
        told = [
            (item.name, str(item.image), item.truth and str(item.truth), item.region)
            for item in items
        ]
        settled = {item.name: item for item in items}
        for event in worker.ask({**self._request, "items": told}, self._should_stop):
            if isinstance(event, ItemDone | ItemFailed):
                left.remove(settled[event.name])
            yield event
