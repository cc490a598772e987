"""What can be done with a training while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from napari_unet.events import Event, Paused, Resumed, TrainingStarted

if TYPE_CHECKING:
    from napari_unet.plugin.pixel_job import PixelJob


class PauseButton(QPushButton):
    """Lets a training rest, and go on."""

    def __init__(self) -> None:
        super().__init__("Pause")
        self.setToolTip("<p>Let the training rest, its clock too, until Resume.</p>")
        self.setEnabled(False)
        self._job: PixelJob | None = None
        self._paused = False
        self.clicked.connect(self._on_clicked)

    def follow(self, job: PixelJob) -> None:
        """Serve a training from its first step to its end."""
        self._job = job
        job.reported.connect(self._on_event)
        job.ended.connect(self._on_ended)

    def _on_clicked(self) -> None:
        if self._job is not None:
            self.setEnabled(False)  # until the worker answers
            self.setText("Resuming …" if self._paused else "Pausing …")
            self._job.tell({"do": "resume" if self._paused else "pause"})

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TrainingStarted | Paused | Resumed):
            self._show(paused=isinstance(event, Paused))
            self.setEnabled(True)

    def _on_ended(self) -> None:
        self._job = None
        self._show(paused=False)
        self.setEnabled(False)

    def _show(self, *, paused: bool) -> None:
        self._paused = paused
        self.setText("Resume" if paused else "Pause")
