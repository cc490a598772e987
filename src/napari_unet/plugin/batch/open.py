"""An image of a batch and its results as layers that lie on each other."""

from __future__ import annotations

import contextlib
import weakref
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import create_worker

from napari_unet.data import open_stack
from napari_unet.data.read.lazy import Chunked, is_zarr
from napari_unet.data.read.ome_zarr import open_levels
from napari_unet.data.read.tiff import stem
from napari_unet.data.region import find_region
from napari_unet.errors import UNetError
from napari_unet.model import read_info
from napari_unet.plugin.layers import layer_from_levels, layer_from_stack
from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.data import Stack
    from napari_unet.plugin.batch.rows import Row

    LayerData = tuple[Any, dict[str, Any], str]

_LARGE = 2**28  # bytes from which on pixels stay in the file until they are looked at
_TURN = 20  # milliseconds the window has between two new layers, each a stall of napari
_RESULTS = ("probabilities", "uncertainty", "prediction", "labels", "objects")
_HIDDEN = {"visible": False, "blending": "additive"}
_LOOKS: dict[str, dict[str, Any]] = {
    "probabilities": {**_HIDDEN, "contrast_limits": (0, 1)},
    "uncertainty": {**_HIDDEN, "contrast_limits": (0, 1), "colormap": "inferno"},
    "labels": {"opacity": 0.5},
    "objects": {"opacity": 0.5},
}


@dataclass(frozen=True)
class Place:
    """Where an image and its results are.

    Attributes
    ----------
    out : Path
        The output folder.
    axes : str or None
        Of the image, where its file does not say.
    model : Path or None
        What it was predicted with.
    """

    out: Path
    axes: str | None
    model: Path | None


def read_layers(row: Row, place: Place) -> tuple[list[LayerData], str]:
    """Open an image, from the lowest layer to the highest; for a background thread.

    Returns
    -------
    layers : list of layer data tuples
    remark : str
        What could not be opened, and why.
    """
    remarks: list[str] = []
    layers: list[LayerData] = []
    starts: dict[str, int] = {}
    try:
        image = open_stack(row.item.image, axes=place.axes)
        region = find_region(image, row.item.region)
        ranges = zip(region.axes, region.bounds, strict=True)
        starts = {axis: first for axis, (first, _) in ranges}
        layers.append(_layer(image, "image", row.item.image, place.axes))
    except (UNetError, OSError) as error:
        remarks.append(str(error))
    known = {**_known(place.model), "prediction": uuid4().hex}
    for what in filter(row.files.__contains__, _RESULTS):
        try:
            data, meta, kind = _result(row, place, what, starts)
        except (UNetError, OSError) as error:
            remarks.append(str(error))
            continue
        first = [starts.get(axis.upper(), 0) for axis in meta["axis_labels"]]
        about = {**known, "what": what, "start": first}
        tags = {MODEL_KEY: str(place.model or ""), RESULT_KEY: about}
        meta["metadata"] = meta.get("metadata", {}) | tags
        layers.append((data, meta, kind))
    return layers, " ".join(remarks)


def _result(row: Row, place: Place, what: str, starts: Mapping[str, int]) -> LayerData:
    """Open a result; that of a region lies where this is in the image."""
    path = place.out / row.files[what]
    stack = replace(open_stack(path), name=f"{stem(row.item.image)} {what}")
    kind = "labels" if what in ("labels", "objects") else "image"
    data, meta, kind = _layer(stack, kind, path)
    sizes = zip(meta["axis_labels"], meta["scale"], strict=True)
    shifts = [starts.get(axis.upper(), 0) * size for axis, size in sizes]
    return data, {**meta, "translate": shifts, **_LOOKS.get(what, {})}, kind


def _layer(stack: Stack, kind: str, path: Path, axes: str | None = None) -> LayerData:
    """Read a small stack; of a large one say what part of it is where."""
    size = stack.dtype.itemsize * np.prod(stack.shape, dtype=float)
    if size <= _LARGE or not isinstance(stack.pixels, Chunked):
        layer = layer_from_stack(stack, kind)
        sample = layer[0]
    else:
        levels = [stack]
        if is_zarr(path) and axes is None:
            levels = [replace(each, name=stack.name) for each in open_levels(path)]
        layer = layer_from_levels(levels, kind)
        sample = levels[-1].section(levels[-1].n_sections // 2)
    if kind == "image" and not {"rgb", "channel_axis"} & layer[1].keys():
        # napari would look for them while the window waits.
        lowest, highest = float(np.nanmin(sample)), float(np.nanmax(sample))
        layer[1]["contrast_limits"] = (lowest, max(highest, lowest + 1e-6))
    return layer


def _known(model: Path | None) -> dict[str, Any]:
    """Return the values and names of a model's classes."""
    with contextlib.suppress(UNetError):
        return dict((model and read_info(model)["classes"]) or {})
    return {}


def _read(asked: int, row: Row, place: Place) -> tuple[int, str, list[LayerData], str]:
    return asked, row.item.name, *read_layers(row, place)


class Opener(QObject):
    """Opens images of a batch in a viewer, one after the other.

    What it opened before is hidden, not removed: it may have been worked on.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QObject
    """

    said = Signal(str)
    """What was opened, or why it was not."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._asked = 0
        self._coming: deque[LayerData] = deque()
        self._opened: dict[str, list[weakref.ref[Layer]]] = {}
        self._adder = QTimer(self, interval=_TURN)
        self._adder.timeout.connect(self._add_next)

    def open(self, row: Row, place: Place) -> None:
        """Show an image and its results as soon as they are read."""
        self._asked += 1
        self._coming.clear()
        if layers := self._present(row.item.name):
            self._show_only(row.item.name)
            self.said.emit(f"Showing the {len(layers)} layers of {row.item.name}.")
            return
        self.said.emit(f"Reading {row.item.name} …")
        create_worker(
            _read,
            self._asked,
            row,
            place,
            # Methods, and no partials, which would outlive the widget.
            _connect={"returned": self._on_read, "errored": self._on_error},
        )

    def _on_read(self, found: tuple[int, str, list[LayerData], str]) -> None:
        asked, name, layers, remark = found
        if asked != self._asked:
            return  # another one was asked for meanwhile
        self._opened[name] = []
        self._image = ""
        self._show_only(name)
        self._coming.extend(layers)
        self._adder.start()
        self._name, self._remark = name, remark

    def _on_error(self, error: Exception) -> None:
        self.said.emit(f"It could not be opened: {error}")

    def _add_next(self) -> None:
        if not self._coming:
            self._adder.stop()
            count = len(self._present(self._name))
            words = [f"Opened {self._name} in {count} layers."] if count else []
            self.said.emit(" ".join([*words, self._remark]).strip())
            return
        data, meta, kind = self._coming.popleft()
        added = getattr(self._viewer, f"add_{kind}")(data, **meta)
        for index, layer in enumerate(added if isinstance(added, list) else [added]):
            if RESULT_KEY in layer.metadata:
                more = {"image": self._image, "class": index}
                layer.metadata[RESULT_KEY] = {**layer.metadata[RESULT_KEY], **more}
            else:
                self._image = str(layer.unique_id)
            # What the viewer hands out is a proxy that is gone in a moment.
            real = getattr(layer, "__wrapped__", layer)
            self._opened[self._name].append(weakref.ref(real))

    def _show_only(self, name: str) -> None:
        for other in self._opened:
            for layer in self._present(other):
                layer.visible = other == name

    def _present(self, name: str) -> list[Layer]:
        """Return the layers of an image that are there still."""
        layers = [each() for each in self._opened.get(name, ())]
        return [each for each in layers if each in self._viewer.layers]
