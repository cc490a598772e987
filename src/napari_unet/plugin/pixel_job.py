"""A job of the worker with its pixels: prepared before it, removed after it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QThreadPool, Signal
from superqt.utils import create_worker

from napari_unet.plugin.pixels import remove

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.plugin.worker_client import Job, WorkerClient

_PATIENCE = 2000  # milliseconds


class PixelJob(QObject):
    """Prepares pixels in a background thread, then has the worker use them.

    Parameters
    ----------
    worker : WorkerClient
    request : dict
        In the words of the worker's protocol.
    prepare : callable
        Called in the thread, with what tells that the job is cancelled; returns what
        is to be added to the request, or None if it was cancelled.
    folder : Path
        Removed with all it holds when the job has ended.
    gives_way : bool
        Whether it is stopped when another one is started.
    """

    reported = Signal(object)
    failed = Signal(str)
    died = Signal(str)
    ended = Signal()

    def __init__(
        self,
        worker: WorkerClient,
        request: dict[str, Any],
        prepare: Callable[[threading.Event], dict[str, Any] | None],
        folder: Path,
        *,
        gives_way: bool = False,
    ) -> None:
        super().__init__(worker)
        self.worker = worker
        self.gives_way = gives_way
        self._request = request
        self._prepare = prepare
        self.folder = folder
        self._cancelled = threading.Event()
        self._job: Job | None = None

    def start(self) -> None:
        """Begin; `ended` will be the last signal."""
        create_worker(
            self._prepare,
            self._cancelled,
            _connect={"returned": self._submit, "errored": self._on_unprepared},
        )
        del self._prepare  # and the pixels it knows

    def stop(self) -> None:
        """Stop as soon as it can be done without loss; `ended` follows."""
        self._cancelled.set()
        if self._job is not None:
            self.worker.stop()

    def tell(self, order: dict[str, Any]) -> None:
        """Say something to the work, such as to pause; nothing before it has begun."""
        if self._job is not None:
            self.worker.tell(order)

    def abandon(self) -> None:
        """Remove the pixels now, when no event loop is left to end the job."""
        self._cancelled.set()
        QThreadPool.globalInstance().waitForDone(_PATIENCE)
        remove(self.folder)

    def _submit(self, prepared: dict[str, Any] | None) -> None:
        if prepared is None or self._cancelled.is_set():
            self._end()
            return
        self._job = job = self.worker.submit(
            {**self._request, **prepared}, gives_way=self.gives_way
        )
        job.reported.connect(self.reported)
        job.failed.connect(self.failed)
        job.died.connect(self.died)
        job.ended.connect(self._end)

    def _on_unprepared(self, error: Exception) -> None:
        way_out = "Make room there"
        if self._request["do"] == "train":  # a prediction has no folder to choose
            way_out += ", or choose another run folder"
        if isinstance(error, OSError):
            message = f"could not be written to {self.folder} ({error}). {way_out}."
        else:
            message = f"could not be read ({error}). Open the image again."
        self.failed.emit(f"The pixels {message}")
        self._end()

    def _end(self) -> None:
        self._job = None
        remove(self.folder)
        self.ended.emit()
        self.deleteLater()
