"""Rows of a table and objects of a layer that select each other."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.plugin.predict.where import in_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_unet.prediction.table import Table

_NAMES = {"T": ("frame",), "Z": ("section", "z_px"), "Y": ("y_px",), "X": ("x_px",)}


class ObjectLink(QObject):
    """Goes to an object of a layer, and tells which one is clicked there.

    The layer may be renamed, moved or removed; then nothing is done any more.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    layer : Labels
    table : Table
        Of `napari_unet.measure_objects`.
    axes : str
        Those of the layer's dimensions.
    """

    picked = Signal(int)
    """The row of the table with the object that was clicked."""

    def __init__(
        self, viewer: ViewerModel, layer: Labels, table: Table, axes: str
    ) -> None:
        super().__init__()
        self._viewer = viewer
        # A plugin gets a proxy, which nobody else keeps.
        self._layer = weakref.ref(getattr(layer, "__wrapped__", layer))
        self._labels = table["label"]
        self._places = _places(table, axes)
        self._outer = [axes.index(axis) for axis in axes if axis not in "YX"]
        viewer.mouse_drag_callbacks.append(self._on_press)
        layer.events.selected_label.connect(self._on_label)

    def end(self) -> None:
        """Listen no longer."""
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        if (layer := self._layer()) is not None:
            layer.events.selected_label.disconnect(self._on_label)

    def go_to(self, entry: int) -> None:
        """Move sliders and camera to the object of a row, and select its label."""
        layer = self._present()
        if layer is None:
            return
        world = in_world(self._viewer, layer, self._places[entry])
        viewer, missing = self._viewer, self._viewer.dims.ndim - layer.ndim
        for axis, value in enumerate(world):
            if axis + missing not in viewer.dims.displayed:
                viewer.dims.set_point(axis + missing, value)
        shown = [axis - missing for axis in viewer.dims.displayed if axis >= missing]
        centre = np.array(viewer.scene.camera.center, float)
        centre[-len(shown) :] = world[shown]
        viewer.scene.camera.center = tuple(centre)
        with layer.events.selected_label.blocker(self._on_label):
            layer.selected_label = int(self._labels[entry])

    def _present(self) -> Labels | None:
        layer = self._layer()
        return layer if layer is not None and layer in self._viewer.layers else None

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """Take a press without a drag for a choice of the object below it."""
        layer = self._present()
        if layer is None or not layer.visible or _paints(viewer):
            return
        yield
        while event.type == "mouse_move":
            if event.dims_displayed is not None and event.is_dragging:
                return
            yield
        value = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        if isinstance(value, tuple):  # of a layer with several levels
            value = value[-1]
        if value:
            self._pick(layer, int(value), event.position)

    def _pick(self, layer: Labels, label: int, position: Any) -> None:
        entries = np.flatnonzero(self._labels == label)
        if not len(entries):
            return
        # A number may be used again in another section: take the nearest.
        here = np.asarray(layer.world_to_data(position[-layer.ndim :]), float)
        gaps = np.abs(self._places[entries][:, self._outer] - here[self._outer])
        entry = int(entries[gaps.sum(axis=1).argmin()])
        with layer.events.selected_label.blocker(self._on_label):
            layer.selected_label = label
        self.picked.emit(entry)

    def _on_label(self) -> None:
        layer = self._present()
        if layer is not None:
            position = self._viewer.dims.point
            label = int(layer.selected_label)
            entries = np.flatnonzero(self._labels == label)
            if len(entries):
                self._pick(layer, label, position)


def _places(table: Table, axes: str) -> NDArray[np.float64]:
    """Return the centroid of each object in pixels, shape (rows, dimensions)."""
    columns = []
    for axis in axes:
        known = [name for name in _NAMES[axis] if name in table.columns]
        columns.append(table[known[0]] if known else np.zeros(len(table)))
    return np.stack(columns, axis=1).astype(float)


def _paints(viewer: Any) -> bool:
    """Whether a click draws in the layer that is active."""
    active = viewer.layers.selection.active
    return getattr(active, "mode", "pan_zoom") not in ("pan_zoom", "transform", "pick")
