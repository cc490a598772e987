"""The list of unsure places, and how the view gets to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_unet.plugin.layers import placement
from napari_unet.plugin.predict.where import in_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

    from napari_unet.prediction.unsure import Place

FRAME_KEY = "napari-unet frame"
"""In the metadata of a Shapes layer: it frames an unsure place."""

_SHOWN = 4  # times as long as a place is what is seen around it
_HEADS = ("done", "section", "row, column", "score")
_ROWS = 6  # seen at once


class PlacesTable(QTableWidget):
    """A row for each place: whether it is done, where it is, and its score.

    The arrow keys, Enter and a click go to a place; the space bar ticks it.
    """

    chosen = Signal(object)
    """The `Place` to go to."""

    def __init__(self) -> None:
        super().__init__(0, len(_HEADS))
        self._places: list[Place] = []
        self.setHorizontalHeaderLabels(_HEADS)
        self.verticalHeader().hide()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        line = self.fontMetrics().height() + 8
        self.verticalHeader().setDefaultSectionSize(line)
        self.setMinimumHeight((_ROWS + 1) * line + 8)
        self.setToolTip(
            "<p>Places where the model is least sure: a click, the arrow keys or Enter "
            "go there, and the space bar ticks what is done.</p>"
        )
        self.currentCellChanged.connect(self._on_row)
        self.itemClicked.connect(lambda item: self._go(item.row()))

    @property
    def place(self) -> Place | None:
        """The place that is looked at, or None."""
        row = self.currentRow()
        return self._places[row] if 0 <= row < len(self._places) else None

    def show_places(self, places: Sequence[Place], axes: str) -> None:
        """List places, whose positions are along `axes`; none is gone to yet."""
        self.setRowCount(0)  # the current row becomes none
        self._places = list(places)
        self.setRowCount(len(places))
        for row, place in enumerate(places):
            known = dict(zip(axes, place.position, strict=True))
            y, x = known.pop("Y"), known.pop("X")
            number = ", ".join(map(str, known.values())) or "–"
            for column, text in enumerate(
                ("", number, f"{y}, {x}", f"{place.score:.2f}")
            ):
                item = QTableWidgetItem(text)
                item.setFlags(
                    Qt.ItemFlag.ItemIsEnabled
                    | Qt.ItemFlag.ItemIsSelectable
                    | Qt.ItemFlag.ItemIsUserCheckable
                )
                self.setItem(row, column, item)
            self.item(row, 0).setCheckState(Qt.CheckState.Unchecked)

    def step(self, by: int) -> None:
        """Go to the next place that is not done, or with -1 to the one before."""
        count = len(self._places)
        row = self.currentRow()
        start = row if row >= 0 or by > 0 else count
        rows = [start + by * i for i in range(1, count + 1)]
        for each in rows:
            if 0 <= each < count and not self.is_done(each):
                self.setCurrentCell(each, 1)
                return

    def is_done(self, row: int) -> bool:
        """Whether a place is ticked."""
        return bool(self.item(row, 0).checkState() == Qt.CheckState.Checked)

    def tick(self) -> None:
        """Tick the place that is looked at."""
        if self.place is not None:
            self.item(self.currentRow(), 0).setCheckState(Qt.CheckState.Checked)

    def keyPressEvent(self, event: Any) -> None:
        """Go with Enter, tick with the space bar."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._go(self.currentRow())
        elif event.key() == Qt.Key.Key_Space and self.place is not None:
            item = self.item(self.currentRow(), 0)
            done = self.is_done(self.currentRow())
            state = Qt.CheckState.Unchecked if done else Qt.CheckState.Checked
            item.setCheckState(state)
        else:
            super().keyPressEvent(event)

    def _on_row(self, row: int, _: int, before: int, __: int) -> None:
        if row != before:
            self._go(row)

    def _go(self, row: int) -> None:
        if 0 <= row < len(self._places):
            self.chosen.emit(self._places[row])


def go_to(
    viewer: ViewerModel, image: Image, position: Sequence[int], size: int
) -> None:
    """Move sliders and camera to a pixel of an image, and frame what is around it.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : Image
    position : sequence of int
        Along the dimensions of the image.
    size : int
        Pixels of the frame's sides.
    """
    missing = viewer.dims.ndim - image.ndim
    corners = _corners(viewer, image, position, size)
    world = np.array([in_world(viewer, image, each) for each in corners])
    middle = in_world(viewer, image, position)
    for axis, value in enumerate(middle):
        if axis + missing not in viewer.dims.displayed:
            viewer.dims.set_point(axis + missing, value)
    shown = [axis - missing for axis in viewer.dims.displayed if axis >= missing]
    centre = np.array(viewer.scene.camera.center, float)
    centre[-len(shown) :] = middle[shown]
    viewer.scene.camera.center = tuple(centre)
    extent = np.ptp(world[:, shown[-2:]], axis=0).max()
    if extent > 0:
        canvas = min(viewer.canvas.viewbox_size(viewer.layers))
        viewer.scene.camera.zoom = canvas / (_SHOWN * extent)
    _frame(viewer, image, corners, size)


def remove_frame(viewer: ViewerModel) -> None:
    """Remove the frame, if there is one."""
    for layer in [each for each in viewer.layers if FRAME_KEY in each.metadata]:
        viewer.layers.remove(layer)


def _corners(
    viewer: ViewerModel, image: Image, position: Sequence[int], size: int
) -> np.ndarray:
    """Return the corners of the frame, in the plane that is displayed, in pixels."""
    missing = viewer.dims.ndim - image.ndim
    shown = [axis - missing for axis in viewer.dims.displayed if axis >= missing][-2:]
    corners = np.repeat(np.array(position, float)[None], 4, axis=0)
    half = size / 2
    corners[:, shown] += [(-half, -half), (-half, half), (half, half), (half, -half)]
    return corners


def _frame(viewer: ViewerModel, image: Image, corners: np.ndarray, size: int) -> None:
    """Draw the frame; it is no rectangle to predict in, and takes no selection."""
    kept = [i for i, label in enumerate(image.axis_labels) if label.upper() != "C"]
    corners = corners[:, kept]
    frame = next((each for each in viewer.layers if FRAME_KEY in each.metadata), None)
    if frame is not None and frame.ndim != len(kept):
        viewer.layers.remove(frame)
        frame = None
    if frame is None:
        frame = _add_frame(viewer, image, len(kept), size)
    for name, value in placement(image).items():  # the image may have been moved
        setattr(frame, name, value)
    frame.name = f"{image.name} unsure place"
    frame.data = []
    frame.add(corners, shape_type="polygon")


def _add_frame(viewer: ViewerModel, image: Image, ndim: int, size: int) -> Shapes:
    active = viewer.layers.selection.active
    # Without its place at once the sliders would be moved to fit in what has none.
    frame = viewer.add_shapes(
        **placement(image),
        ndim=ndim,
        face_color="transparent",
        edge_color="#ffd23f",
        edge_width=max(1, size / 24),
        metadata={FRAME_KEY: True},
    )
    frame.editable = False
    if active is not None:
        viewer.layers.selection.active = active
    return frame
