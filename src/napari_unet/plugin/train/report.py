"""What the Train widget shows of a training at work."""

from __future__ import annotations

import math
from collections import deque

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.events import (
    Event,
    LabelsRefused,
    LabelsTaken,
    LiveFailed,
    Paused,
    StepDone,
    TrainingFinished,
    TrainingStarted,
    Validated,
)
from napari_unet.plugin.parts.fields import ProgressLine, paragraph
from napari_unet.plugin.train.loss_plot import LossPlot

_PACED = 30  # steps of which the speed is taken
_WHOLE = 10  # steps a second from which on a fraction says nothing


class TrainReport(QWidget):
    """A progress line, the curves, and what there is to say."""

    def __init__(self) -> None:
        super().__init__()
        self._best = ""
        self._ending = False
        self._pace: deque[tuple[int, float]] = deque(maxlen=_PACED)
        self.progress = ProgressLine()
        self.plot = LossPlot()
        self.status = paragraph()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.plot.hide()  # there is nothing to see yet, and the form has more room
        for each in (self.progress, self.plot, self.status):
            column.addWidget(each)

    def begin(self, words: str, *, training: bool = False) -> None:
        """Show that a job of unknown length has begun."""
        self._best, self._ending = "", False
        self._pace.clear()
        if training:
            self.plot.clear()
            self.plot.show()
        self.progress.begin(words)
        self.status.setText("")

    def say_stopping(self) -> None:
        """Show that a stop was asked for; what is still reported does not hide it."""
        self._ending = True
        self.progress.say("Stopping …")

    def show_event(self, event: Event) -> None:
        """Show what the worker reports."""
        if isinstance(event, TrainingStarted):
            self.status.setText(
                f"Training on {event.training}, judged on {event.validation} "
                f"({event.device}, {event.precision}). {event.transfer} {event.remark}"
            )
        elif isinstance(event, StepDone):
            self.plot.add_loss(event.step, event.loss)
            self._pace.append((event.step, event.elapsed))
            if not self._ending:
                text = f"step {event.step}{self._steps_per_second()}{self._best}"
                self.progress.show_share(event.progress, event.remaining, text)
        elif isinstance(event, Paused):
            self.progress.say(f"Paused after step {event.step}.")
        elif isinstance(event, LabelsTaken | LabelsRefused | LiveFailed):
            self.status.setText(event.message)
        elif isinstance(event, Validated) and math.isfinite(event.score):
            self.plot.add_score(event.step, event.score, event.iou)
            if event.best:
                self._best = f" · best {event.smoothed:.3f}"
        elif isinstance(event, TrainingFinished):
            score = "" if event.score is None else f" Score {event.score:.3f}."
            self.status.setText(event.message + score)

    def _steps_per_second(self) -> str:
        """Say how fast it goes, over the last steps."""
        (first, began), (last, now) = self._pace[0], self._pace[-1]
        if now <= began:
            return ""
        pace = (last - first) / (now - began)
        return f" · {pace:.0f}/s" if pace >= _WHOLE else f" · {pace:.2g}/s"

    def end(self) -> None:
        """Show that nothing is at work."""
        self.progress.end()
