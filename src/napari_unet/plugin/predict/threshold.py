"""The slider that labels a prediction anew from its probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QPoint, QSignalBlocker, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPolygon
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSlider,
    QStyle,
    QVBoxLayout,
    QWidget,
)

from napari_unet.plugin.parts.choices import RESULT_KEY
from napari_unet.plugin.predict.relabelling import (
    Relabelling,
    find_shares,
    thresholds_of,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_HINT = (
    "<p>How probable this class must be where it is labelled: to the left more pixels "
    "become it, to the right fewer; at 0.5 the most probable class is taken. What you "
    "have painted stays.</p>"
)
_STEPS = 100
_MARK = 4  # half the width of the mark of the best threshold


class ThresholdSlider(QWidget):
    """Changes the labels of a prediction whose probabilities are in the viewer, too.

    It is not seen where there is none. It follows the active layer, and stays with a
    prediction while another layer is active.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._labels = ""  # `unique_id` of the layer
        self.relabelling = Relabelling(viewer, self)
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.classes = QComboBox()
        self.classes.setToolTip("<p>The class whose threshold is moved.</p>")
        self.slider = MarkedSlider()
        self.number = QDoubleSpinBox(minimum=0.01, maximum=0.99, singleStep=0.01)
        for each in (self.slider, self.number):
            each.setToolTip(_HINT)
        self._lay_out()
        self.slider.valueChanged.connect(self._on_slider)
        self.slider.sliderPressed.connect(self._on_pressed)
        self.slider.sliderReleased.connect(self._on_released)
        self.number.valueChanged.connect(self._on_number)
        self.classes.currentIndexChanged.connect(self._show_number)
        self.relabelling.failed.connect(show_error)
        viewer.layers.selection.events.active.connect(self.follow)
        self.follow()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.slider, 1)
        row.addWidget(self.number)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.title)
        column.addWidget(self.classes)
        column.addLayout(row)

    @property
    def labels(self) -> Labels | None:
        """The layer whose labels are changed."""
        here = (e for e in self._viewer.layers if str(e.unique_id) == self._labels)
        return next(here, None)

    def follow(self, _: Any = None) -> None:
        """Find the prediction to change: the active, the last, or the topmost one."""
        layers = [self._viewer.layers.selection.active, self.labels]
        layers += reversed(self._viewer.layers)
        found = next(
            (e for e in layers if e is not None and find_shares(self._viewer, e)), None
        )
        self.setVisible(found is not None)
        if found is None:
            self._labels = ""
        else:
            self._show(found)

    def _show(self, labels: Labels) -> None:
        known = labels.metadata[RESULT_KEY]
        names = known["names"]
        several = len(names) > 2
        which = "a class" if several else names[1]
        self.title.setText(f"Threshold of {which} in {labels.name!r}")
        if str(labels.unique_id) == self._labels:
            return
        self._labels = str(labels.unique_id)
        with QSignalBlocker(self.classes):
            self.classes.clear()
            for number, name in enumerate(names):
                if several or number == 1:
                    self.classes.addItem(name, number)
        self.classes.setVisible(several)
        best = known.get("best_threshold")
        said = (
            "" if best is None else f"<p>{best:.2f} suited the held-out part best.</p>"
        )
        self.slider.setToolTip(_HINT + said)
        self.slider.mark(best)
        self._show_number()

    def _show_number(self, _: int = 0) -> None:
        labels = self.labels
        if labels is None:
            return
        wanted = thresholds_of(labels).wanted[self.classes.currentData()]
        for field, value in (
            (self.slider, round(wanted * _STEPS)),
            (self.number, wanted),
        ):
            with QSignalBlocker(field):
                field.setValue(value)

    def _on_pressed(self) -> None:
        self.relabelling.held = True

    def _on_released(self) -> None:
        self.relabelling.held = False
        self.relabelling.go_on()

    def _on_slider(self, value: int) -> None:
        self.number.setValue(value / _STEPS)

    def _on_number(self, value: float) -> None:
        labels = self.labels
        if labels is None:
            return
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(value * _STEPS))
        state = thresholds_of(labels)
        wanted = list(state.wanted)
        wanted[self.classes.currentData()] = value
        state.wanted = tuple(wanted)
        self.relabelling.start(labels)


class MarkedSlider(QSlider):
    """A slider from 0.01 to 0.99 that can mark the value known to be best."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setRange(1, _STEPS - 1)
        self.setPageStep(10)
        self.setMinimumHeight(24)
        self._best: float | None = None

    def mark(self, best: float | None) -> None:
        """Mark a value, or none."""
        self._best = best
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the slider, and a small triangle above the mark."""
        super().paintEvent(event)
        if self._best is None:
            return
        margin = self.style().pixelMetric(QStyle.PixelMetric.PM_SliderLength) // 2
        room = self.width() - 2 * margin
        share = (self._best * _STEPS - 1) / (_STEPS - 2)
        x = margin + round(share * room)
        tip = QPolygon([QPoint(x - _MARK, 0), QPoint(x + _MARK, 0), QPoint(x, _MARK)])
        painter = QPainter(self)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.palette().text())
        painter.drawPolygon(tip)
