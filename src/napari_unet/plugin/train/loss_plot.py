"""A small plot of loss and validation score, alive while a training runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QWidget

from napari_unet.plugin.train.scale import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from qtpy.QtGui import QMouseEvent

    Points = Sequence[tuple[float, float]]

# Two colours that also colour-blind eyes tell apart, on dark and on light ground.
LOSS = (QColor("#e69f00"), QColor("#b25d00"))
SCORE = (QColor("#56b4e9"), QColor("#0066a8"))
_PAUSE = 100  # milliseconds between repaints: smooth to the eye, cheap for the viewer
_MOST_POINTS = 300
_MOST_CLASSES = 6  # of which the score can be read
_HALF = 128  # of the lightness of a colour
_COVER = 225  # of 255: how much of the curves shows through what is read


class LossPlot(QWidget):
    """Loss on the left axis, score from 0 to 1 on the right axis, over steps.

    The mouse reads values off; a double click, or the button, makes the left axis
    logarithmic.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loss: list[tuple[float, float]] = []
        self._score: list[tuple[float, float]] = []
        self._classes: dict[float, dict[str, float]] = {}
        self._mean = RunningMean()
        self._mouse: float | None = None
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self.update)
        self.log = QCheckBox("log", self)
        self.log.setToolTip("<p>Show the loss on a logarithmic axis.</p>")
        self.log.toggled.connect(self.update)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(130)
        self.setMaximumHeight(280)
        self.setAccessibleDescription(
            "Loss: how wrong the network is on the patches it learns from. Score: mean "
            "IoU, or R² of regression, on sections held out from training; 1 is best."
        )

    def sizeHint(self) -> QSize:
        """Prefer a landscape format."""
        return QSize(280, 170)

    def clear(self) -> None:
        """Forget all points."""
        self._loss.clear()
        self._score.clear()
        self._classes.clear()
        self._mean = RunningMean()
        self.update()

    def add_loss(self, step: int, loss: float) -> None:
        """Add the loss of one step."""
        self._loss.append((step, self._mean.add(loss)))
        self._repaint_soon()

    def add_score(
        self, step: int, score: float, classes: Mapping[str, float] | None = None
    ) -> None:
        """Add one validation, and the score of each class."""
        self._score.append((step, score))
        self._classes[step] = dict(classes or {})
        self._repaint_soon()

    def read(self, step: float) -> list[str]:
        """Say in a line or two what the curves are at the step nearest to one."""
        lines = []
        if self._loss:
            at, loss = min(self._loss, key=lambda point: abs(point[0] - step))
            lines = [f"step {at:g} · loss {loss:.3g}"]
        if self._score:
            at, score = min(self._score, key=lambda point: abs(point[0] - step))
            lines.append(f"score {score:.3f} at step {at:g}")
            each = [f"{name} {iou:.2f}" for name, iou in self._classes[at].items()]
            if each:
                lines.append("IoU " + " · ".join(each[:_MOST_CLASSES]))
        return lines

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Read the values where the mouse is."""
        self._mouse = event.position().x()
        self.update()

    def leaveEvent(self, _: Any) -> None:
        """Read no more."""
        self._mouse = None
        self.update()

    def mouseDoubleClickEvent(self, _: QMouseEvent) -> None:
        """Change between a linear and a logarithmic axis."""
        self.log.toggle()

    def _repaint_soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def resizeEvent(self, _: Any) -> None:
        """Keep the button in the middle above the curves."""
        self.log.resize(self.log.sizeHint())
        self.log.move((self.width() - self.log.width()) // 2, -3)

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
        scale = Scale.over([loss for _, loss in curve], log=self.log.isChecked())
        loss, score = self.colours()
        self._draw_axes(painter, frame, last, scale)
        _draw_names(painter, frame, line, loss, score)
        shares = [(step / last, scale.share(value)) for step, value in curve]
        _draw_curve(painter, frame, shares, loss)
        scores = [(step / last, value) for step, value in self._score]
        _draw_curve(painter, frame, scores, score, dots=True)
        if self._mouse is not None and self._loss:
            self._draw_reading(painter, frame, last)
        painter.end()

    def colours(self) -> tuple[QColor, QColor]:
        """Return those of loss and score, which suit the theme."""
        light = self.palette().windowText().color().lightness() < _HALF
        return LOSS[light], SCORE[light]

    def _draw_axes(
        self, painter: QPainter, frame: QRectF, last: float, scale: Scale
    ) -> None:
        text = self.palette().windowText().color()
        faint = QColor(text)
        faint.setAlpha(50)
        left = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        right = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        loss, score = self.colours()
        for share in (0, 0.5, 1):
            y = frame.bottom() - share * frame.height()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(loss)
            box = QRectF(0, y - 10, frame.left() - 5, 20)
            painter.drawText(box, left, f"{scale.value(share):.2g}")
            painter.setPen(score)
            box = QRectF(frame.right() + 5, y - 10, self.width(), 20)
            painter.drawText(box, right, f"{share:g}")
        painter.setPen(text)
        below = QRectF(frame.left(), frame.bottom() + 4, frame.width(), 20)
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "step")
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        if self._loss:
            painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{last:g}")

    def _draw_reading(self, painter: QPainter, frame: QRectF, last: float) -> None:
        assert self._mouse is not None
        x = min(max(self._mouse, frame.left()), frame.right())
        text, ground = (
            self.palette().color(role)
            for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Window)
        )
        painter.setPen(QPen(text, 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        words = "\n".join(self.read((x - frame.left()) / frame.width() * last))
        least = QRectF(0, 0, frame.width() - 12, frame.height())
        wrapped = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignLeft
        box = painter.boundingRect(least, wrapped, words).adjusted(-4, -2, 4, 2)
        before = x > frame.center().x()  # on the side with more room
        box.moveBottom(frame.bottom() - 2)
        box.moveLeft(frame.left() if before else frame.right() - box.width())
        ground.setAlpha(_COVER)
        painter.fillRect(box, ground)
        painter.setPen(text)
        painter.drawText(box.adjusted(4, 2, -4, -2), wrapped, words)


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


def _draw_names(
    painter: QPainter, frame: QRectF, line: float, loss: QColor, score: QColor
) -> None:
    above = QRectF(frame.left(), 0, frame.width(), 1.3 * line)
    painter.setPen(loss)
    painter.drawText(above, Qt.AlignmentFlag.AlignLeft, "loss")
    painter.setPen(score)
    painter.drawText(above, Qt.AlignmentFlag.AlignRight, "validation score")


def _draw_curve(
    painter: QPainter,
    frame: QRectF,
    points: Points,
    colour: QColor,
    *,
    dots: bool = False,
) -> None:
    """Draw points given as shares of the width and the height of the frame."""
    places = [
        QPointF(
            frame.left() + x * frame.width(),
            frame.bottom() - min(max(y, 0), 1) * frame.height(),
        )
        for x, y in points
        if math.isfinite(y)
    ]
    painter.setPen(QPen(colour, 1.8))
    painter.drawPolyline(QPolygonF(places))
    if dots:
        painter.setBrush(colour)
        for place in places:
            painter.drawEllipse(place, 2.2, 2.2)
        painter.setBrush(Qt.BrushStyle.NoBrush)
