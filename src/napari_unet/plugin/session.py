"""What the widgets of one viewer share: worker processes and the last model."""

from __future__ import annotations

import atexit
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_unet.errors import UNetError
from napari_unet.model import MODEL_FILE
from napari_unet.plugin.parts.fields import ScrollingColumn
from napari_unet.plugin.parts.keyboard import focus_style, press
from napari_unet.plugin.settings import PLUGIN
from napari_unet.plugin.worker_client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel
    from qtpy.QtWidgets import QAbstractButton

    from napari_unet.plugin.pixel_job import PixelJob

_SESSIONS: dict[int, Session] = {}  # by the id of the viewer
_ALL: weakref.WeakSet[Session] = weakref.WeakSet()


class Session(QObject):
    """The worker processes of a viewer and the models trained with them.

    They end with the last that uses them, a widget or a layer that is predicted where
    it is looked at, or with the application.

    Attributes
    ----------
    worker : WorkerClient
        Has torch, and trains and predicts.
    side : WorkerClient
        A light process for what needs no network: it is there while `worker` trains.
    model : Path or None
        The one that is suggested for prediction.
    """

    model_trained = Signal(object)
    """The `Path` of the run folder or file of a model that was just finished."""

    def __init__(self) -> None:
        app = QApplication.instance()
        super().__init__(app)  # lives on while the worker of a closed viewer ends
        self.worker = WorkerClient(parent=self)
        self.side = WorkerClient(parent=self, light=True)
        self.model: Path | None = None
        self.models: list[Path] = []  # run folders and files, the newest first
        self._jobs: dict[WorkerClient, PixelJob] = {}
        self._users: set[int] = set()
        app.aboutToQuit.connect(self.close)
        _ALL.add(self)

    def announce(self, model: Path) -> None:
        """Make `model` the one that is suggested for prediction."""
        self.model = path = model.parent if model.name == MODEL_FILE else model
        self.models = [path, *(each for each in self.models if each != path)]
        self.model_trained.emit(model)

    def start(
        self,
        job: PixelJob,
        *,
        reported: Callable[[Any], object] | None = None,
        failed: Callable[[str], object] | None = None,
        died: Callable[[str], object] | None = None,
        ended: Callable[[], object] | None = None,
    ) -> None:
        """Start a job; the caller has made sure with `check_free` that it can.

        Parameters
        ----------
        job : PixelJob
        reported, failed, died, ended : callable, optional
            What hears of it, by the signals of these names; `failed` also where it
            died, unless that has a hearer of its own.
        """
        for signal, heard in (
            (job.reported, reported),
            (job.failed, failed),
            (job.died, died or failed),
            (job.ended, ended),
        ):
            if heard is not None:
                signal.connect(heard)
        if before := self._jobs.get(job.worker):
            before.stop()  # it gives way
        self._jobs[job.worker] = job
        job.ended.connect(partial(self._on_ended, job))
        job.start()

    def check_free(self, worker: WorkerClient | None = None) -> None:
        """Raise `UNetError` while a job that does not give way is at work.

        Parameters
        ----------
        worker : WorkerClient, optional
            `worker` or `side`; by default `worker`.
        """
        job = self._jobs.get(worker or self.worker)
        if job is not None and not job.gives_way:
            raise UNetError(
                "The worker is busy with another job. Wait for its end, or stop it in "
                "its widget."
            )

    def join(self, user: QObject, *, side: bool = False) -> None:
        """Count a widget or a layer in, and warm one of the workers up."""
        self._users.add(id(user))
        user.destroyed.connect(partial(self._leave, id(user)))
        (self.side if side else self.worker).start()

    def leave(self, user: QObject) -> None:
        """Count it out; after the last one the workers end."""
        self._leave(id(user))

    def close(self) -> None:
        """End the workers now, a run that is at work kept."""
        self._users.clear()
        for job in [*self._jobs.values()]:
            job.stop()
        self.side.shutdown()  # while the other one is waited for
        for worker in (self.worker, self.side):
            worker.shutdown(wait=True)
        for job in [*self._jobs.values()]:  # its pixels were still being written
            job.abandon()

    def _on_ended(self, job: PixelJob) -> None:
        if self._jobs.get(job.worker) is job:
            del self._jobs[job.worker]

    def _leave(self, user: int, _: object = None) -> None:
        self._users.discard(user)
        if not self._users:
            self.worker.shutdown()
            self.side.shutdown()


def session_of(viewer: ViewerModel) -> Session:
    """Return the session of a viewer; there is one for each."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy
    key = id(viewer)
    if key not in _SESSIONS:
        _SESSIONS[key] = Session()
        weakref.finalize(viewer, _SESSIONS.pop, key, None)
    return _SESSIONS[key]


def open_widget(viewer: Any, name: str) -> Any:
    """Open a widget of ours in front of the others, with which it shares a place.

    napari leaves one that is open already behind their tabs.
    """
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    dock.raise_()
    return widget


@atexit.register
def _close_all() -> None:
    """End the workers of a script that never ran the application's event loop."""
    for session in _ALL:
        session.close()


class DockedWidget(QWidget):
    """A widget that notices when its dock is opened and closed.

    napari tells a widget nothing when the user closes its dock: it takes it out of the
    window and forgets it, and its work would go on unseen.

    Attributes
    ----------
    light : bool
        Whether its work is for the side worker.
    """

    light = False

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._viewer = viewer
        self._docked = False
        self._start: QAbstractButton | None = None
        self._cancel: QAbstractButton | None = None
        self._column = ScrollingColumn()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._column)

    def column(self) -> QVBoxLayout:
        """Return the layout to fill; it scrolls, so that no window is too small."""
        return QVBoxLayout(self._column.widget())

    def use_keys(
        self, start: QAbstractButton, cancel: QAbstractButton | None = None
    ) -> None:
        """Have Enter press one button, and Escape another one."""
        self._start, self._cancel = start, cancel

    def keyPressEvent(self, event: Any) -> None:
        """Press what Enter and Escape mean."""
        if not press(event, self._start, self._cancel):
            super().keyPressEvent(event)

    def event(self, event: Any) -> bool:
        """Follow the dock, and the theme."""
        if event.type() == QEvent.Type.StyleChange:
            style = focus_style(self._viewer.theme)
            if style != self.styleSheet():
                self.setStyleSheet(style)
        elif event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None and not self._docked:
                self._docked = True
                self._column.spare_from_wheel()
                self.session.join(self, side=self.light)
            elif self.parent() is None and self._docked:
                self._docked = False
                self.on_closed()
                self.session.leave(self)
        return bool(super().event(event))

    def on_closed(self) -> None:
        """Stop what is at work; called when the dock was closed."""
