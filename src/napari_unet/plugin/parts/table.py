"""What the tables below the canvas have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

    from napari.components import ViewerModel
    from numpy.typing import ArrayLike, NDArray

W = TypeVar("W", bound=QWidget)


class SortedModel(QAbstractTableModel):
    """Entries that are shown in any order, without moving them."""

    def __init__(self) -> None:
        super().__init__()
        self._width = 0
        self._arrange([])

    def in_order(
        self, column: int, entries: NDArray[np.intp], *, descending: bool
    ) -> Sequence[int] | NDArray[np.intp]:
        """Return the entries sorted by a column; of alike ones the order stays."""
        raise NotImplementedError

    def lay_out(self, entries: int, columns: int) -> None:
        """Show so many, unsorted; for between `beginResetModel` and `endResetModel`."""
        self._width = columns
        self._arrange(np.arange(entries))

    def entry(self, place: int) -> int:
        """Return which entry is shown in a row."""
        return int(self._order[place])

    def place(self, entry: int) -> int:
        """Return the row in which an entry is shown."""
        return int(self._places[entry])

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of entries."""
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else self._width

    def sort(
        self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder
    ) -> None:
        """Sort by a column."""
        if not 0 <= column < self._width:
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        entries = [self.entry(index.row()) for index in before]
        descending = order == Qt.SortOrder.DescendingOrder
        self._arrange(self.in_order(column, self._order, descending=descending))
        after = [
            self.index(self.place(entry), index.column())
            for entry, index in zip(entries, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _arrange(self, order: ArrayLike) -> None:
        self._order = np.asarray(order, np.intp)
        self._places = np.argsort(self._order)


def table_view(model: QAbstractTableModel, hint: str, looked_at: int) -> QTableView:
    """Return a view of a model: one row is selected, a click on a header sorts.

    Parameters
    ----------
    model : QAbstractTableModel
    hint : str
    looked_at : int
        Rows from which the width of a column is told.
    """
    view = QTableView()
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setSortingEnabled(True)
    view.setToolTip(f"<p>{hint}</p>")
    view.verticalHeader().setDefaultSectionSize(22)
    header = view.horizontalHeader()
    header.setResizeContentsPrecision(looked_at)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    return view


def docked_below(
    viewer: ViewerModel, known: MutableMapping[int, W], make: Callable[[], W], name: str
) -> W:
    """Return the widget of a viewer, docked below the canvas; there is one for each.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    known : mutable mapping
        The widgets there are, by the id of their viewer.
    make : callable
        Makes one for a viewer that has none, or whose dock was closed.
    name : str
        Title of the dock.
    """
    key = id(getattr(viewer, "__wrapped__", viewer))
    widget = known.get(key)
    if widget is None or not _is_docked(widget):
        widget = known[key] = make()
        window = cast("Any", viewer).window
        window.add_dock_widget(widget, name=name, area="bottom")
    return widget


def _is_docked(widget: QWidget) -> bool:
    try:
        return widget.parent() is not None
    except RuntimeError:  # Qt has deleted it with its window
        return False
