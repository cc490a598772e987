"""A small plot of loss and validation score, alive while a training runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Points = Sequence[tuple[float, float]]

LOSS = QColor("#e69f00")  # two colours that also colour-blind eyes tell apart
SCORE = QColor("#56b4e9")
_PAUSE = 100  # milliseconds between repaints: smooth to the eye, cheap for the viewer
_MOST_POINTS = 300


class LossPlot(QWidget):
    """Loss on the left axis, score from 0 to 1 on the right axis, over steps."""

    def __init__(self) -> None:
        super().__init__()
        self._loss: list[tuple[float, float]] = []
        self._score: list[tuple[float, float]] = []
        self._mean = RunningMean()
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self.update)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(130)
        self.setMaximumHeight(280)
        self.setToolTip(
            "<p>Loss: how wrong the network is on the patches it learns from. "
            "Score: mean IoU, or R² of regression, on sections held out from training; "
            "1 is perfect.</p>"
        )

    def sizeHint(self) -> QSize:
        """Prefer a landscape format."""
        return QSize(280, 190)

    def clear(self) -> None:
        """Forget all points."""
        self._loss.clear()
        self._score.clear()
        self._mean = RunningMean()
        self.update()

    def add_loss(self, step: int, loss: float) -> None:
        """Add the loss of one step."""
        self._loss.append((step, self._mean.add(loss)))
        self._repaint_soon()

    def add_score(self, step: int, score: float) -> None:
        """Add one validation."""
        self._score.append((step, score))
        self._repaint_soon()

    def _repaint_soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def paintEvent(self, _: Any) -> None:
        """Draw axes, both curves and what they are."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(font.pointSizeF() * 0.85)
        painter.setFont(font)
        line = painter.fontMetrics().height()
        frame = QRectF(self.rect()).adjusted(
            2.6 * line, 1.6 * line, -1.8 * line, -1.8 * line
        )
        curve = thin(self._loss, _MOST_POINTS)
        last = max([step for step, _ in (*curve, *self._score)], default=1)
        top = nice_ceiling(max((loss for _, loss in curve), default=1))
        self._draw_axes(painter, frame, last, top)
        self._draw_names(painter, frame, line)
        _draw_curve(painter, frame, curve, LOSS, last, top)
        _draw_curve(painter, frame, self._score, SCORE, last, 1, dots=True)
        painter.end()

    def _draw_axes(
        self, painter: QPainter, frame: QRectF, last: float, top: float
    ) -> None:
        text = self.palette().windowText().color()
        faint = QColor(text)
        faint.setAlpha(50)
        left = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        right = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for share in (0, 0.5, 1):
            y = frame.bottom() - share * frame.height()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(LOSS)
            box = QRectF(0, y - 10, frame.left() - 5, 20)
            painter.drawText(box, left, f"{share * top:.3g}")
            painter.setPen(SCORE)
            box = QRectF(frame.right() + 5, y - 10, self.width(), 20)
            painter.drawText(box, right, f"{share:g}")
        painter.setPen(text)
        below = QRectF(frame.left(), frame.bottom() + 4, frame.width(), 20)
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "step")
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        if self._loss:
            painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{last:g}")

    @staticmethod
    def _draw_names(painter: QPainter, frame: QRectF, line: float) -> None:
        above = QRectF(frame.left(), 0, frame.width(), 1.3 * line)
        painter.setPen(LOSS)
        painter.drawText(above, Qt.AlignmentFlag.AlignLeft, "loss")
        painter.setPen(SCORE)
        painter.drawText(above, Qt.AlignmentFlag.AlignRight, "validation score")


class RunningMean:
    """Average over about the last `span` values, without a bias at the start."""

    def __init__(self, span: int = 20) -> None:
        self._keep = 1 - 1 / span
        self._weight = 0.0
        self._mean = 0.0

    def add(self, value: float) -> float:
        """Take one more value in, and return the average."""
        if math.isfinite(value):
            self._weight = self._weight * self._keep + 1
            self._mean += (value - self._mean) / self._weight
        return self._mean


def thin(points: Points, most: int) -> Points:
    """Keep at most about `most` of the points, the last one among them."""
    stride = math.ceil(len(points) / most) or 1
    return points if stride == 1 else points[::-stride][::-1]


def nice_ceiling(value: float) -> float:
    """Round up to 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten."""
    if not 0 < value < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    factors = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return power * next(each for each in factors if each * power >= value)


def _draw_curve(
    painter: QPainter,
    frame: QRectF,
    points: Points,
    colour: QColor,
    last: float,
    top: float,
    *,
    dots: bool = False,
) -> None:
    places = [
        QPointF(
            frame.left() + step / last * frame.width(),
            frame.bottom() - min(max(value / top, 0), 1) * frame.height(),
        )
        for step, value in points
        if math.isfinite(value)
    ]
    painter.setPen(QPen(colour, 1.8))
    painter.drawPolyline(QPolygonF(places))
    if dots:
        painter.setBrush(colour)
        for place in places:
            painter.drawEllipse(place, 2.2, 2.2)
        painter.setBrush(Qt.BrushStyle.NoBrush)
