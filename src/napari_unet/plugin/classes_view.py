"""Shows the classes that a labels layer holds, and counts them in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget
from superqt.utils import create_worker

from napari_unet.data.masks.annotations import read_annotations
from napari_unet.errors import UNetError
from napari_unet.plugin.layers import mask_from_layer

if TYPE_CHECKING:
    from napari_unet.data import Classes, Stack

    Counted = tuple[Classes, dict[int, int]]

_PAUSE = 400  # milliseconds after a stroke of the brush before counting again
_MOST_ROWS = 8


class ClassesView(QWidget):
    """One row per mask value: its colour, its value, what it means, its share."""

    counted = Signal()
    """They were counted, or cannot be: `values` is empty then."""

    def __init__(self) -> None:
        super().__init__()
        self._layer: Any = None
        self._options: dict[str, Any] = {}
        self._round = 0
        self.values: tuple[int, ...] = ()
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._count)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(2, 1)
        self._say("Choose a labels layer.")

    def follow(self, layer: Any) -> None:
        """Show the classes of `layer`, now and whenever it is painted on."""
        if layer is self._layer:
            return
        if self._layer is not None:
            for name in ("data", "labels_update", "colormap"):
                getattr(self._layer.events, name).disconnect(self._on_change)
        self._layer = layer
        self._round += 1
        if layer is None:
            self._timer.stop()
            self._say("Choose a labels layer.")
            return
        for name in ("data", "labels_update", "colormap"):
            getattr(layer.events, name).connect(self._on_change)
        self._say("Counting …")
        self._count()

    def set_options(self, **options: Any) -> None:
        """Count with other options of `read_annotations` from now on."""
        if options != self._options:
            self._options = options
            self._count()

    def text(self) -> str:
        """Return all that is shown, a line per row."""
        rows: dict[int, list[str]] = {}
        for index in range(self._grid.count()):
            row, *_ = self._grid.getItemPosition(index)
            text = self._grid.itemAt(index).widget().text()
            rows.setdefault(row, []).extend([text] if text else [])
        return "\n".join(" ".join(texts) for texts in rows.values())

    def _on_change(self, _: Any = None) -> None:
        self._timer.start()

    def _count(self) -> None:
        if self._layer is None:
            return
        self._round += 1
        try:
            stack = mask_from_layer(self._layer)
        except UNetError as error:
            self._say(str(error))
            self.counted.emit()
            return
        create_worker(
            _count,
            stack,
            dict(self._options),
            self._round,
            _connect={"returned": self._show},
        )

    def _show(self, result: tuple[int, Counted | UNetError]) -> None:
        which, found = result
        if which != self._round or self._layer is None:
            return  # the layer has changed in the meantime
        if isinstance(found, UNetError):
            self._say(str(found))
        else:
            self._list(*found)
        self.counted.emit()

    def _list(self, classes: Classes, counts: dict[int, int]) -> None:
        self._empty()
        self.values = tuple(counts)
        total = sum(counts.values())
        for row, (value, count) in enumerate(list(counts.items())[:_MOST_ROWS]):
            swatch = _swatch(self._layer.get_color(value))
            cells = (swatch, QLabel(str(value)), QLabel(_meaning(classes, value)))
            for column, cell in enumerate((*cells, QLabel(f"{count / total:.1%}"))):
                self._grid.addWidget(cell, row, column)
        if len(counts) > _MOST_ROWS:
            more = QLabel(f"… and {len(counts) - _MOST_ROWS} more")
            self._grid.addWidget(more, _MOST_ROWS, 2)

    def _say(self, text: str) -> None:
        self._empty()
        self.values = ()
        label = QLabel(text)
        label.setWordWrap(True)
        self._grid.addWidget(label, 0, 0, 1, 4)

    def _empty(self) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().hide()  # it goes for good only when the event loop runs
            item.widget().deleteLater()


def _count(
    stack: Stack, options: dict[str, Any], which: int
) -> tuple[int, Counted | UNetError]:
    try:
        found = read_annotations([stack], **options)
        return which, (found.classes, found.counts)
    except UNetError as error:
        return which, error


def _meaning(classes: Classes, value: int) -> str:
    if value in classes.ignore:
        return "not annotated"
    index = classes.values.index(value)
    name = classes.names[index]
    return f"class {index}" + ("" if name == str(value) else f", {name}")


def _swatch(colour: Any) -> QLabel:
    """Paint a square in a label's colour, empty where the label is transparent."""
    swatch = QLabel()
    swatch.setFixedSize(14, 14)
    rgba = "transparent"
    if colour is not None and colour[3] > 0:
        rgba = "rgb({}, {}, {})".format(*(round(255 * float(c)) for c in colour[:3]))
    swatch.setStyleSheet(f"background: {rgba}; border: 1px solid grey;")
    return swatch
