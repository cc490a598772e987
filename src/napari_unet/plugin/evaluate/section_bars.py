"""A bar for each section, to see which is worst and to go there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

if TYPE_CHECKING:
    from napari_unet.evaluation.section_scores import SectionScores

_BAR, _CHOSEN = QColor("#56b4e9"), QColor("#e69f00")
_STEPS = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}


class SectionBars(QWidget):
    """The score of each section; a click or the arrow keys choose one."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._scores: SectionScores | None = None
        self._at = -1
        self.setFixedHeight(92)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setToolTip("<p>Click a section, or use the arrow keys, to go there.</p>")

    def sizeHint(self) -> QSize:
        """Prefer a landscape format."""
        return QSize(280, 92)

    def show_scores(self, scores: SectionScores) -> None:
        """Draw these from now on."""
        self._scores, self._at = scores, -1
        self.setAccessibleName(f"{scores.name} of each section")
        self.update()

    def choose(self, index: int) -> None:
        """Mark a section, and tell that it is chosen."""
        if self._scores is None or not 0 <= index < len(self._scores.values):
            return
        self._at = index
        self.update()
        self.chosen.emit(index)

    def place_of(self, index: int) -> QRectF:
        """Return where the column of a section is."""
        count = len(self._scores.values) if self._scores else 1
        frame = self._frame()
        width = frame.width() / count
        return QRectF(frame.left() + index * width, frame.top(), width, frame.height())

    def words(self, index: int) -> str:
        """Say what the score of a section is."""
        if self._scores is None:
            return ""
        value = self._scores.values[index]
        score = "nothing to score" if value is None else f"{value:.4f}"
        return f"section {index}: {score}"

    def mousePressEvent(self, event: Any) -> None:
        """Choose the section that is clicked."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.choose(self._under(event.position().x()))

    def mouseMoveEvent(self, event: Any) -> None:
        """Show the score below the mouse."""
        index = self._under(event.position().x())
        if index >= 0:
            QToolTip.showText(event.globalPosition().toPoint(), self.words(index), self)

    def keyPressEvent(self, event: Any) -> None:
        """Go to the section before or after."""
        if event.key() in _STEPS:
            self.choose(self._at + _STEPS[event.key()] if self._at >= 0 else 0)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _: Any) -> None:
        """Draw bars, the line of 0, and what they are."""
        if self._scores is None:
            return
        painter = QPainter(self)
        text = self.palette().windowText().color()
        line = painter.fontMetrics().height()
        known = [value for value in self._scores.values if value is not None]
        top = max(known, default=1.0) if self._scores.lower_is_better else 1.0
        for index, value in enumerate(self._scores.values):
            place = self.place_of(index)
            tall = min(max((value or 0.0) / (top or 1.0), 0), 1) * place.height()
            gap = min(2.0, 0.2 * place.width())
            bar = QRectF(
                place.left(), place.bottom() - tall, max(place.width() - gap, 1), tall
            )
            painter.fillRect(bar, _CHOSEN if index == self._at else _BAR)
        faint = QColor(text)
        faint.setAlpha(90)
        painter.setPen(faint)
        frame = self._frame()
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        painter.drawLine(frame.topLeft(), frame.topRight())
        painter.setPen(text)
        above = QRectF(0, 0, self.width(), line)
        painter.drawText(above, Qt.AlignmentFlag.AlignLeft, self._scores.name)
        painter.drawText(above, Qt.AlignmentFlag.AlignRight, f"{top:.3g}")
        if self._at >= 0:
            below = QRectF(0, frame.bottom() + 1, self.width(), line)
            painter.drawText(below, Qt.AlignmentFlag.AlignLeft, self.words(self._at))
        if self.hasFocus():
            painter.setPen(_CHOSEN)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _frame(self) -> QRectF:
        line = self.fontMetrics().height()
        return QRectF(self.rect()).adjusted(2, line + 2, -2, -line - 2)

    def _under(self, x: float) -> int:
        """Return the section at a place; -1 where there is none."""
        if self._scores is None:
            return -1
        frame = self._frame()
        share = (x - frame.left()) / max(frame.width(), 1)
        count = len(self._scores.values)
        return min(max(int(share * count), 0), count - 1)
