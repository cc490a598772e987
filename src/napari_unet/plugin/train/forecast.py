"""What will happen in a training, told before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from superqt import QCollapsible

from napari_unet.errors import UNetError
from napari_unet.events import Event, Probe
from napari_unet.plugin.parts.fields import paragraph

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.plugin.pixel_job import PixelJob
    from napari_unet.plugin.session import Session

_PAUSE = 600  # milliseconds after a change before it is told anew


class Forecast(QCollapsible):
    """Unfolded, it says what a training would do, and says it anew when asked to.

    Parameters
    ----------
    session : Session
    make_job : callable
        Makes the job that probes the training, or raises `UNetError`.
    """

    def __init__(self, session: Session, make_job: Callable[[], PixelJob]) -> None:
        super().__init__("What will happen", expandedIcon="▾", collapsedIcon="▸")
        self._session, self._make_job = session, make_job
        self._job: PixelJob | None = None
        self.words = paragraph()
        self.addWidget(self.words)
        self.collapse(animate=False)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.setToolTip("<p>Steps, memory and time, from a training of a second.</p>")
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._tell)
        self.toggled.connect(self.refresh)

    def refresh(self) -> None:
        """Tell soon what will happen, if that is asked for."""
        if self.isExpanded():
            self._timer.start()
        else:
            self._timer.stop()

    def _tell(self) -> None:
        try:
            self._session.check_free()
        except UNetError:
            self.words.setText("This is told when the worker has no other work.")
            return
        try:
            job = self._make_job()
        except UNetError as error:
            self.words.setText(str(error))
            return
        if not self.words.text():
            self.words.setText("Trying it for a second …")
        self._job = job
        self._session.start(
            job,
            reported=self._on_event,
            failed=self.words.setText,
            ended=self._on_ended,
        )

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Probe):
            rows = [
                f"<tr><td>{name.replace('_', ' ').capitalize()}&nbsp;</td>"
                f"<td>{fact}</td></tr>"
                for name, fact in event.facts().items()
            ]
            self.words.setText(f"<table>{''.join(rows)}</table>")

    def _on_ended(self) -> None:
        self._job = None
