"""Shows the classes that a labels layer holds, and counts them in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QToolButton, QWidget
from superqt.utils import create_worker

from napari_unet.data.masks.annotations import read_annotations
from napari_unet.data.masks.classes import share
from napari_unet.errors import UNetError
from napari_unet.plugin.layers import mask_from_layer
from napari_unet.plugin.train.pixel_watch import PixelWatch

if TYPE_CHECKING:
    from napari_unet.data import Classes, Stack

    Counted = tuple[Classes, dict[int, int]]

NAMES_KEY = "napari-unet names"
"""In a labels layer's metadata: what the user calls its values."""

_PAUSE = 400  # milliseconds after a stroke of the brush before counting again
_MOST_ROWS = 8


class ClassesView(QWidget):
    """One row per mask value: its colour, its value, its name, its share."""

    counted = Signal()
    """They were counted, or cannot be: `values` is empty then."""
    picked = Signal(int)
    """The value whose colour was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._layer: Any = None
        self._watch: PixelWatch | None = None
        self._options: dict[str, Any] = {}
        self._round = 0
        self._rows: list[_Row] = []
        self.counts: dict[int, int] = {}
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._count)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(2, 1)
        self._say("Choose a labels layer.")

    @property
    def values(self) -> tuple[int, ...]:
        """The mask values found, ascending."""
        return tuple(self.counts)

    def names(self) -> dict[int, str]:
        """Return what the user calls the values; not those that have no own name."""
        if self._layer is None or self._options.get("objects", "no") != "no":
            return {}
        called = self._layer.metadata.get(NAMES_KEY, {})
        return {value: called[value] for value in self.values if value in called}

    def follows(self, layer: Any) -> bool:
        """Tell whether it is the layer that is shown; napari hands out proxies."""
        return (layer is None) == (self._layer is None) and layer == self._layer

    def follow(self, layer: Any) -> None:
        """Show the classes of `layer`, now and whenever it is painted on."""
        if self.follows(layer):
            return
        if self._watch is not None:
            self._watch.end()
            self._watch = None
            self._layer.events.colormap.disconnect(self._on_change)
        self._layer = layer
        self._round += 1
        if layer is None:
            self._timer.stop()
            self._say("Choose a labels layer.")
            return
        self._watch = PixelWatch(layer, self._on_change)
        layer.events.colormap.connect(self._on_change)
        self._say("Counting …")
        self._count()

    def set_options(self, **options: Any) -> None:
        """Count with other options of `read_annotations` from now on."""
        if options != self._options:
            self._options = options
            self._count()

    def text(self) -> str:
        """Return all that is shown, a line per row."""
        if not self._rows:
            return str(self._grid.itemAt(0).widget().text())
        lines = [each.text() for each in self._rows]
        hidden = len(self.counts) - len(lines)
        return "\n".join([*lines, f"… and {hidden} more"] if hidden else lines)

    def name_field(self, value: int) -> QLineEdit:
        """Return where the name of a value is written."""
        return next(each.name for each in self._rows if each.value == value)

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
        """List the values; rows that are there stay, for one may be written in."""
        shown = list(counts)[:_MOST_ROWS]
        if [each.value for each in self._rows] != shown:
            self._empty()
            self._rows = [_Row(self, value) for value in shown]
            for line, row in enumerate(self._rows):
                for column, cell in enumerate(row.cells):
                    self._grid.addWidget(cell, line, column)
            if len(counts) > len(shown):
                more = QLabel(f"… and {len(counts) - len(shown)} more")
                self._grid.addWidget(more, len(shown), 2)
        self.counts = counts
        total = sum(counts.values())
        own = self.names()
        for row in self._rows:
            colour = self._layer.get_color(row.value)
            row.fill(classes, colour, share(counts[row.value], total), own)
            row.name.setReadOnly(self._options.get("objects", "no") != "no")

    def rename(self, value: int, name: str) -> bool:
        """Call a value so, or as by default where there is no name; False if taken."""
        taken = {row.called() for row in self._rows if row.value != value}
        if self._layer is None or (name and name in taken):
            return False
        names = {**self._layer.metadata.get(NAMES_KEY, {}), value: name}
        self._layer.metadata[NAMES_KEY] = {v: n for v, n in names.items() if n}
        return True

    def _say(self, text: str) -> None:
        self._empty()
        label = QLabel(text)
        label.setWordWrap(True)
        self._grid.addWidget(label, 0, 0, 1, 4)

    def _empty(self) -> None:
        self.counts, self._rows = {}, []
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().hide()  # it goes for good only when the event loop runs
            item.widget().deleteLater()


class _Row:
    """One value of the list."""

    def __init__(self, view: ClassesView, value: int) -> None:
        self.value = value
        self._view = view
        self._listed = ""  # the name in a classes.yaml
        self._swatch = QToolButton()
        self._swatch.setFixedSize(16, 16)
        self._swatch.setToolTip("<p>Paint with this value.</p>")
        self._swatch.clicked.connect(lambda: view.picked.emit(value))
        self.name = QLineEdit()
        self.name.setFrame(False)
        self.name.editingFinished.connect(self._on_edited)
        self._share = QLabel()
        self.cells = (self._swatch, QLabel(str(value)), self.name, self._share)

    def fill(
        self, classes: Classes, colour: Any, share: str, own: dict[int, str]
    ) -> None:
        """Show what was found out."""
        ignored = self.value in classes.ignore
        index = None if ignored else classes.values.index(self.value)
        listed = str(self.value) if index is None else classes.names[index]
        usual = "not annotated" if ignored else f"class {index}"
        self._listed = "" if listed == str(self.value) else listed
        self.name.setPlaceholderText(usual)
        self.name.setEnabled(not ignored)
        self.name.setToolTip(
            "<p>Not annotated: it is neither trained nor scored.</p>"
            if ignored
            else f"<p>Name of class {index}; the model keeps it, and its results "
            "are called so.</p>"
        )
        if not self.name.hasFocus():
            self.name.setText("" if ignored else own.get(self.value, self._listed))
        self._share.setText(share)
        self._swatch.setStyleSheet(_style(colour))

    def called(self) -> str:
        """Return the name of the value, which is the value itself by default."""
        return str(self.name.text()).strip() or str(self.value)

    def text(self) -> str:
        """Return what is seen."""
        name = self.name.text() or self.name.placeholderText()
        return f"{self.value} {name} {self._share.text()}"

    def _on_edited(self) -> None:
        name = self.name.text().strip()
        if not self._view.rename(self.value, "" if name == self._listed else name):
            self.name.setText(self._view.names().get(self.value, self._listed))
            self.name.setPlaceholderText("each needs a name of its own")


def _count(
    stack: Stack, options: dict[str, Any], which: int
) -> tuple[int, Counted | UNetError]:
    try:
        found = read_annotations([stack], **options)
        return which, (found.classes, found.counts)
    except UNetError as error:
        return which, error


def _style(colour: Any) -> str:
    """Paint a square in a label's colour, empty where the label is transparent."""
    rgba = "transparent"
    if colour is not None and colour[3] > 0:
        rgba = "rgb({}, {}, {})".format(*(round(255 * float(c)) for c in colour[:3]))
    return f"background: {rgba}; border: 1px solid grey;"
