"""A file that is written section by section while the network works."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from napari_unet.data.write import write_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

_WAITING = 2  # sections that may wait for the disk before the network has to


class AbandonedError(Exception):
    """The prediction was stopped; what is written so far is to vanish."""


class SectionWriter:
    """A TIFF file that planes are put into; it compresses them in its own thread."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._queue: queue.Queue[NDArray[Any] | None] = queue.Queue(_WAITING)
        self._count = math.prod(options["shape"][:-2])
        self._written = threading.Event()
        self._abandoned = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._writing = self._pool.submit(write_stack, path, self._planes(), **options)

    def __enter__(self) -> SectionWriter:
        return self

    def put(self, plane: NDArray[Any] | None) -> None:
        """Add a plane; waits while the disk is behind.

        Raises
        ------
        Exception
            Whatever ended the writing early, such as a full disk.
        """
        while True:
            try:
                self._queue.put(plane, timeout=0.2)
                return
            except queue.Full:
                if self._writing.done():
                    self._writing.result()

    def wait(self) -> None:
        """Wait until all planes are written and the file lacks only its name.

        Raises
        ------
        Exception
            Whatever ended the writing early.
        """
        while not self._written.wait(timeout=0.2):
            if self._writing.done():
                self._writing.result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file, or remove it when an error ended the prediction."""
        try:
            if error is None:
                self.put(None)
                self._writing.result()
        finally:  # a second Ctrl-C, too, must not leave a thread that waits for ever
            self._abandoned.set()
            self._pool.shutdown()

    def _planes(self) -> Iterator[NDArray[Any]]:
        for _ in range(self._count):
            plane = self._get()
            assert plane is not None
            yield plane
        self._written.set()
        self._get()

    def _get(self) -> NDArray[Any] | None:
        while not self._abandoned.is_set():
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=0.2)
        raise AbandonedError
