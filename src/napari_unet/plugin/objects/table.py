"""Measurements of objects as a table that goes together with their layer."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_unet.errors import UNetError
from napari_unet.plugin.objects.link import ObjectLink
from napari_unet.plugin.parts.fields import button, paragraph
from napari_unet.plugin.parts.table import SortedModel, docked_below, table_view
from napari_unet.prediction.table import Table, write_table

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

_UNITS = {"px": "px", "um": "µm", "nm": "nm", "mm": "mm", "unit": "unit"}
_POWERS = {"2": "²", "3": "³"}
_LOOKED_AT = 200  # rows from which the width of a column is told


class TableModel(SortedModel):
    """The columns of a `Table`."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table({})
        self._names: list[str] = []
        self._columns: list[NDArray[Any]] = []

    def show(self, table: Table) -> None:
        """Show another table."""
        self.beginResetModel()
        self.table = table
        self._names = list(table.columns)
        self._columns = list(table.columns.values())
        self.lay_out(len(table), len(self._names))
        self.endResetModel()

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if role == Qt.ItemDataRole.DisplayRole:
            value = self._columns[index.column()][self.entry(index.row())]
            return _words(value)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the name of a column with its unit."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if orientation == Qt.Orientation.Vertical:
            return str(section + 1)
        name, _, unit = self._names[section].rpartition("_")
        if (known := _UNITS.get(unit.rstrip("23"))) is None:
            return self._names[section].replace("_", " ")
        return f"{name.replace('_', ' ')} ({known}{_POWERS.get(unit[-1], '')})"

    def in_order(
        self, column: int, entries: NDArray[np.intp], *, descending: bool
    ) -> NDArray[np.intp]:
        """Return the entries sorted by a column; NaN comes last either way."""
        values = self._columns[column][entries]
        keys = -values.astype(float) if descending else values
        return entries[np.argsort(keys, kind="stable")]


def _words(value: Any) -> str:
    if isinstance(value, np.bool_ | bool):
        return "yes" if value else "no"
    if isinstance(value, np.floating | float):
        return "" if value != value else f"{value:.5g}"
    return str(value)


class MeasurementsView(QWidget):
    """A table, sorted by a click on a header, and its layer: each selects in the other.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    saved = Signal(str)
    """The path of the file that the table was saved to."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._link: ObjectLink | None = None
        self._selecting = False
        self.model = TableModel()
        hint = "A click on a row goes to its object."
        self.view = table_view(self.model, hint, _LOOKED_AT)
        self.view.setMinimumHeight(52)  # or a small window would grow
        self.words = paragraph()
        self.save = button("&Save CSV …", "Save the table, in the order it came in.")
        self.save.clicked.connect(self._on_save)
        self.view.selectionModel().currentRowChanged.connect(self._on_row)
        self._name = "objects"
        row = QHBoxLayout()
        row.addWidget(self.words, 1)
        row.addWidget(self.save)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(row)
        layout.addWidget(self.view, 1)

    def show_table(self, table: Table, layer: Labels, axes: str) -> None:
        """Show the measurements of a layer, whose dimensions are `axes`."""
        self._unlink()
        self.model.show(table)
        self.view.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.view.resizeColumnsToContents()
        self._name = layer.name
        count = f"{len(table)} objects of “{layer.name}”"
        self.words.setText(" · ".join([count, *table.remarks]))
        self._link = ObjectLink(self._viewer, layer, table, axes)
        self._link.picked.connect(self.select)

    def select(self, entry: int) -> None:
        """Select the row of an object, and scroll to it."""
        self._selecting = True
        row = self.model.place(entry)
        self.view.selectRow(row)
        self.view.scrollTo(self.model.index(row, 0))
        self._selecting = False

    def event(self, event: Any) -> bool:
        """Leave the layer alone once the dock is closed."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._unlink()
        return bool(super().event(event))

    def _unlink(self) -> None:
        if self._link is not None:
            self._link.end()
            self._link = None

    def _on_row(self, index: QModelIndex) -> None:
        if index.isValid() and not self._selecting and self._link is not None:
            self._link.go_to(self.model.entry(index.row()))

    def _on_save(self) -> None:
        from napari.utils.notifications import show_error

        path, _ = QFileDialog.getSaveFileName(
            self, "Save measurements", f"{self._name}.csv", "Tables (*.csv *.parquet)"
        )
        if not path:
            return
        if not path.lower().endswith((".csv", ".parquet")):
            path += ".csv"
        try:
            # The dialog has asked whether to replace a file.
            write_table(path, self.model.table, overwrite=True)
        except UNetError as error:
            show_error(str(error))
            return
        self.words.setText(f"Saved {path}")
        self.saved.emit(path)


_VIEWS: weakref.WeakValueDictionary[int, MeasurementsView]
_VIEWS = weakref.WeakValueDictionary()


def measurements_of(viewer: ViewerModel) -> MeasurementsView:
    """Return the table of a viewer, docked below the canvas; there is one for each."""
    make = partial(MeasurementsView, viewer)
    return docked_below(viewer, _VIEWS, make, "Measurements")
