"""The worker's end of the pipes: requests come in, events go out."""

from __future__ import annotations

import json
import os
import queue
import threading
from typing import TYPE_CHECKING, Any, TextIO

from napari_unet.control import Control, NewLabels, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_unet.events import Event

    Request = dict[str, Any]
    Order = Callable[[Control], None]
    Stop = Callable[[], bool]  # a `Control` is one


class Inbox:
    """Requests in the order they came, each with what steers it.

    Parameters
    ----------
    lines : iterable of str
        Read in a thread, so that "stop" is heard while a job runs.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self._jobs: queue.SimpleQueue[tuple[Request, Control] | None]
        self._jobs = queue.SimpleQueue()
        self._newest = Control()
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def __iter__(self) -> Iterator[tuple[Request, Control]]:
        while (job := self._jobs.get()) is not None:
            yield job

    def _read(self) -> None:
        for line in filter(str.strip, self._lines):
            request = _parse(line)
            if order := request.get("order"):
                order(self._newest)
                continue
            control = Control()
            if "wrong" not in request:
                self._newest = control
            self._jobs.put((request, control))
        self._newest.stop()
        self._jobs.put(None)


def _look(request: Request) -> Order:
    view = request["view"]
    if view is not None:
        bounds = tuple((int(first), int(last)) for first, last in view["bounds"])
        view = View(**{**view, "bounds": bounds})
    return lambda control: control.look(view)


def _annotate(request: Request) -> Order:
    sections, path = tuple(map(int, request["sections"])), str(request["path"])
    labels = NewLabels(sections, path, int(request.get("pair", 0)))
    return lambda control: control.annotate(labels)


_ORDERS: dict[str, Callable[[Request], Order]] = {
    "stop": lambda _: Control.stop,
    "pause": lambda _: Control.pause,
    "resume": lambda _: Control.resume,
    "view": _look,
    "labels": _annotate,
}
"""What is said to the job at work, instead of being one."""


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
        kind = str(request["do"])
        order = {"order": _ORDERS[kind](request)} if kind in _ORDERS else {}
        return {**request, "do": kind, **order}
    except (ValueError, TypeError, KeyError):
        return {"do": "", "wrong": f"This is not a request: {line.strip()[:200]}"}
