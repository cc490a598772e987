from __future__ import annotations

import time

import numpy as np
from qtpy.QtCore import Qt

from napari_unet.plugin.objects.table import TableModel
from napari_unet.prediction.table import Table

ASCENDING, DESCENDING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder


def shown(model: TableModel, column: int) -> list[str]:
    return [model.index(row, column).data() for row in range(model.rowCount())]


def test_cells_and_headers_with_units() -> None:
    model = TableModel()
    model.show(
        Table(
            {
                "label": np.array([7, 8]),
                "area_um2": np.array([1 / 3, np.nan]),
                "touches_border": np.array([True, False]),
                "y_px": np.array([1.0, 2.0]),
            }
        )
    )
    heads = [model.headerData(i, Qt.Orientation.Horizontal) for i in range(4)]
    assert heads == ["label", "area (µm²)", "touches border", "y (px)"]
    assert shown(model, 0) == ["7", "8"]
    assert shown(model, 1) == ["0.33333", ""]
    assert shown(model, 2) == ["yes", "no"]


def test_sorting_is_stable_and_keeps_what_is_missing_last() -> None:
    model = TableModel()
    model.show(
        Table({"label": np.arange(5), "mean": np.array([2.0, np.nan, 1.0, 3.0, 2.0])})
    )
    kept = model.index(3, 0)
    from qtpy.QtCore import QPersistentModelIndex

    persistent = QPersistentModelIndex(kept)
    model.sort(1, ASCENDING)
    assert shown(model, 0) == ["2", "0", "4", "3", "1"]
    assert persistent.row() == 3
    model.sort(1, DESCENDING)
    assert shown(model, 0) == ["3", "0", "4", "2", "1"]
    assert persistent.row() == 0  # still the same object
    assert model.place(4) == 2
    assert model.entry(2) == 4


def test_a_hundred_thousand_rows_are_sorted_in_no_more_than_numpy_takes() -> None:
    count = 100_000
    values = np.random.default_rng(0).random(count)
    model = TableModel()
    model.show(Table({"label": np.arange(count), "mean": values}))
    begun = time.perf_counter()
    np.argsort(values, kind="stable")
    alone = time.perf_counter() - begun
    begun = time.perf_counter()
    model.sort(1, DESCENDING)
    assert time.perf_counter() - begun < 20 * alone
    assert float(model.index(0, 1).data()) >= 0.9999
