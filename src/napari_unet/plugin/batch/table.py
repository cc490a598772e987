"""The table of a batch's images, docked below the canvas."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (
    QEvent,
    QModelIndex,
    QObject,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.plugin.batch.rows import AT_WORK, FAILED, RESULTS, WAITING, Column, Row
from napari_unet.plugin.parts.table import SortedModel, docked_below, table_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from napari.components import ViewerModel
    from numpy.typing import NDArray

_LOOKED_AT = 100  # rows from which the width of a column is told
_WIDTHS = 80, 320  # least and most pixels of a column at first
_SIZE = QSize(400, 150)  # which leaves room for the widget beside it in a small window
_RED = QColor("#d64a44")  # to be read on dark and on light


class BatchModel(SortedModel):
    """Rows that change one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.columns: Sequence[Column] = RESULTS
        self._entries: dict[str, int] = {}  # of `rows`, by name

    def show(self, rows: list[Row], columns: Sequence[Column]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.rows, self.columns = rows, columns
        self._entries = {row.item.name: entry for entry, row in enumerate(rows)}
        self.lay_out(len(rows), len(columns))
        self.endResetModel()

    def find(self, name: str) -> Row | None:
        """Return the row of an image."""
        entry = self._entries.get(name)
        return None if entry is None else self.rows[entry]

    def touch(self, row: Row) -> None:
        """Have a row drawn anew."""
        place = self.place(self._entries[row.item.name])
        last = self.index(place, len(self.columns) - 1)
        self.dataChanged.emit(self.index(place, 0), last)

    def rest(self) -> None:
        """Show that nothing is at work any more."""
        for row in self.rows:
            if row.state == AT_WORK:
                row.state = WAITING
                self.touch(row)

    def row_at(self, place: int) -> Row:
        """Return the row that is shown there."""
        return self.rows[self.entry(place)]

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        row, column = self.row_at(index.row()), self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            if not index.column():
                return row.item.name
            value = column.value(row)
            return "" if value is None else column.words(value)
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.more(row) or None
        if role == Qt.ItemDataRole.ForegroundRole and row.state == FAILED:
            return _RED
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the title of a column."""
        if orientation == Qt.Orientation.Vertical:
            return section + 1 if role == Qt.ItemDataRole.DisplayRole else None
        column = self.columns[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.hint
        return column.title if role == Qt.ItemDataRole.DisplayRole else None

    def in_order(
        self, column: int, entries: NDArray[np.intp], *, descending: bool
    ) -> list[int]:
        """Return the entries sorted by a column, what is not known last."""
        values = [self.columns[column].value(row) for row in self.rows]
        known = [entry for entry in entries.tolist() if values[entry] is not None]
        known.sort(key=values.__getitem__, reverse=descending)
        unknown = [entry for entry in entries.tolist() if values[entry] is None]
        return known + unknown


class BatchTable(QWidget):
    """A row for each image, of which a double click or Enter opens the results."""

    opened = Signal(object)
    """The `Row` that is to be opened."""

    def __init__(self) -> None:
        super().__init__()
        self.model = BatchModel()
        hint = "A double click, or Enter, opens an image with its results."
        self.view = table_view(self.model, hint, _LOOKED_AT)
        self.view.setWordWrap(False)
        self.view.setTabKeyNavigation(False)
        self.view.horizontalHeader().setStretchLastSection(True)
        self.view.doubleClicked.connect(self._open)
        self.view.installEventFilter(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.view)

    def show_rows(self, rows: list[Row], columns: Sequence[Column]) -> None:
        """Show other rows, in the order they come in."""
        self.model.show(rows, columns)
        header = self.view.horizontalHeader()
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.fit()

    def fit(self) -> None:
        """Make columns as wide as what they show."""
        header = self.view.horizontalHeader()
        self.view.resizeColumnsToContents()
        least, most = _WIDTHS
        for column in range(header.count() - 1):
            width = header.sectionSize(column)
            header.resizeSection(column, min(max(width, least), most))

    def sizeHint(self) -> QSize:
        """Return how large it is at first."""
        return _SIZE

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Open what is selected by Enter."""
        pressed = isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress
        if pressed and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open(self.view.currentIndex())
            return True
        return bool(super().eventFilter(watched, event))

    def _open(self, index: QModelIndex) -> None:
        if index.isValid():
            self.opened.emit(self.model.row_at(index.row()))


_TABLES: weakref.WeakValueDictionary[int, BatchTable]
_TABLES = weakref.WeakValueDictionary()


def table_of(viewer: ViewerModel) -> BatchTable:
    """Return the table of a viewer, docked below the canvas; there is one for each."""
    return docked_below(viewer, _TABLES, BatchTable, "Batch images")
