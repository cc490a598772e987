"""The worker's end of the pipes: requests come in, events go out."""

from __future__ import annotations

import json
import os
import queue
import threading
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_unet.events import Event

    Request = dict[str, Any]
    Stop = Callable[[], bool]


class Inbox:
    """Requests in the order they came, each with the switch that stops it.

    Parameters
    ----------
    lines : iterable of str
        Read in a thread, so that "stop" is heard while a job runs.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self._jobs: queue.SimpleQueue[tuple[Request, threading.Event] | None]
        self._jobs = queue.SimpleQueue()
        self._newest = threading.Event()
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def __iter__(self) -> Iterator[tuple[Request, Stop]]:
        while (job := self._jobs.get()) is not None:
            request, stop = job
            yield request, stop.is_set

    def _read(self) -> None:
        for line in filter(str.strip, self._lines):
            request = _parse(line)
            if request["do"] == "stop":
                self._newest.set()
            else:
                self._newest = threading.Event()
                self._jobs.put((request, self._newest))
        self._newest.set()
        self._jobs.put(None)


class Outbox:
    """Writes events as lines; falls silent when nobody reads them any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._closed = False

    def send(self, event: Event) -> None:
        """Write one event at once."""
        if self._closed:
            return
        try:
            self._stream.write(event.to_json() + "\n")
            self._stream.flush()
        except OSError:  # the viewer is gone; the job still ends in good order
            self._closed = True


def take_pipes() -> tuple[TextIO, TextIO]:
    """Keep standard input and output for us; what libraries print goes to stderr."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, answers


def _parse(line: str) -> Request:
    try:
        request = json.loads(line)
        return {**request, "do": str(request["do"])}
    except (ValueError, TypeError, KeyError):
        return {"do": "", "wrong": f"This is not a request: {line.strip()[:200]}"}
