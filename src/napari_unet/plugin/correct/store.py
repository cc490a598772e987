"""Corrections on the disk: saved while one paints, and found again."""

from __future__ import annotations

import json
import logging
import math
import weakref
import zlib
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QThreadPool, QTimer
from qtpy.QtWidgets import QApplication
from superqt.utils import create_worker

from napari_unet.data.read.ome_zarr import open_levels
from napari_unet.data.write.layout import Layout
from napari_unet.data.write.ngff import (
    describe_groups,
    describe_image,
    describe_labels,
)
from napari_unet.plugin import runs
from napari_unet.plugin.correct.layer import Corrections, look_of
from napari_unet.plugin.layers import layer_from_levels, stack_from_layer
from napari_unet.plugin.parts.choices import CORRECTIONS_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari.layers import Image, Labels
    from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)
_PAUSE = 2000  # milliseconds after a stroke before it is saved
_LARGE = 2**27  # bytes from which on the layer's pixels lie on the disk
_CHUNK = 1024  # rows and columns
_LEVEL = "0"
_VERSION = "0.5"  # of OME-Zarr
_PATIENCE = 5000  # milliseconds
_SAVED: weakref.WeakSet[Any] = weakref.WeakSet()  # layers that are saved already


def annotations_folder() -> Path:
    """Return the folder that corrections are saved in; not created."""
    return runs.runs_folder() / "annotations"


def layout_of(image: Image, about: Corrections) -> Layout:
    """Return what the corrections of an image look like."""
    stack = stack_from_layer(image)
    axes = stack.section_axes
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    sizes = {axis: stack.pixel_size[axis] for axis in axes if axis in stack.pixel_size}
    dtype = np.result_type(*(np.min_scalar_type(each) for each in about.values))
    dtype = np.result_type(dtype, np.min_scalar_type(about.unlabelled))
    shape = tuple(lengths[axis] for axis in axes)
    return Layout(axes, shape, str(dtype), sizes, stack.unit)


def new_pixels(layout: Layout, about: Corrections) -> tuple[Any, Path | None]:
    """Make the pixels of a new layer, nothing being annotated.

    Returns
    -------
    ndarray or zarr.Array
    Path or None
        Where they lie on the disk, and are saved as they are painted, if they are many.

    Raises
    ------
    OSError
        If they are to lie on the disk, and cannot.
    """
    if layout.nbytes < _LARGE:
        return np.full(layout.shape, about.unlabelled, layout.dtype), None
    path = _new_path(annotations_folder(), about)
    return make_store(path, layout, about), path


def make_store(path: Path, layout: Layout, about: Corrections) -> Any:
    """Make an OME-Zarr image of labels of which nothing is annotated.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    import zarr

    group = zarr.open_group(path, mode="w-", zarr_format=3)
    shape = layout.shape
    array = group.create_array(
        _LEVEL,
        shape=shape,
        chunks=(*(1 for _ in shape[:-2]), *(min(_CHUNK, each) for each in shape[-2:])),
        dtype=layout.dtype,
        fill_value=about.unlabelled,
    )
    name = f"{about.name} corrections"
    image = describe_image(layout, layout.axes, [_LEVEL], name, _VERSION)
    image |= describe_labels(None, _VERSION)
    groups = describe_groups({"": image}, _VERSION)
    group.attrs.put({**groups[""], **about.metadata()})
    return array


def open_saved(path: Path) -> tuple[Any, dict[str, Any], str]:
    """Open saved corrections as a layer to go on painting; small ones are read.

    Raises
    ------
    UNetError, OSError, KeyError, ValueError
        If they are gone or damaged.
    """
    import zarr

    about = describe_store(path)
    _, meta, kind = layer_from_levels(open_levels(path), "labels")
    array = zarr.open_array(path / _LEVEL, mode="r+")
    large = math.prod(array.shape) * array.dtype.itemsize >= _LARGE
    look = look_of(about)
    known = {**meta.get("metadata", {}), **look["metadata"]}
    return array if large else array[...], {**meta, **look, "metadata": known}, kind


def is_saved(path: Path) -> bool:
    """Whether a folder holds corrections that were saved."""
    try:
        describe_store(path)
    except (OSError, KeyError, ValueError, TypeError):
        return False
    return True


def autosave(layer: Labels, layout: Layout, path: Path | None, parent: QObject) -> None:
    """Save a layer from now on, unless it is saved already; see `Autosave`."""
    own = getattr(layer, "__wrapped__", layer)
    if own not in _SAVED:
        _SAVED.add(own)
        Autosave(own, layout, path, parent)


def describe_store(path: Path) -> Corrections:
    """Say what saved corrections are of.

    Raises
    ------
    OSError, KeyError, ValueError
        If they are gone, damaged or none of ours.
    """
    attributes = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
    known = dict(attributes[CORRECTIONS_KEY])
    known["values"], known["names"] = tuple(known["values"]), tuple(known["names"])
    return Corrections(**known)


def find_saved(name: str, shape: tuple[int, ...]) -> Path | None:
    """Return the last corrections of an image of that name and shape, or None."""
    for path in sorted(annotations_folder().glob("*.zarr"), reverse=True):
        try:
            about = describe_store(path)
            level = json.loads((path / _LEVEL / "zarr.json").read_text("utf-8"))
        except (OSError, KeyError, ValueError, TypeError):
            continue  # being made, or not ours
        if about.name == name and tuple(level["shape"]) == shape:
            return path
    return None


class Autosave(QObject):
    """Saves a layer of corrections soon after each change, in a thread.

    Of each section a checksum is kept, and those that have changed are written, whole
    or not at all. What cannot be saved is said once.

    Parameters
    ----------
    layer : Labels
        Not held: the pixels are, while they are not saved.
    layout : Layout
    path : Path, optional
        Where it was saved before.
    parent : QObject
    """

    def __init__(
        self,
        layer: Labels,
        layout: Layout,
        path: Path | None,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.path = path
        self._about = Corrections.from_layer(layer)
        self._layout = layout
        self._folder = annotations_folder()
        self._sums: dict[tuple[int, ...], int] = {}
        self._changed: Any = None  # pixels that are not saved yet
        self._saving = self._warned = False
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._save)
        if isinstance(layer.data, np.ndarray):  # others are on the disk already
            if path is not None:
                self._sums = dict(_checksums(layer.data))
            for name in ("paint", "set_data", "data"):  # an undo sets data only
                getattr(layer.events, name).connect(self._on_change)
            QApplication.instance().aboutToQuit.connect(self.finish)

    def finish(self) -> None:
        """Save now what is not saved yet."""
        if self._saving:
            QThreadPool.globalInstance().waitForDone(_PATIENCE)
        if self._changed is not None:
            pixels, self._changed = self._changed, None
            try:
                self._write(pixels)
            except OSError as error:
                _LOG.error("%s", error)

    def _on_change(self, event: Any) -> None:
        self._changed = event.source.data
        if not self._timer.isActive():
            self._timer.start()

    def _save(self) -> None:
        if self._changed is None:
            return
        if self._saving:
            self._timer.start()
            return
        pixels, self._changed = self._changed, None
        self._saving = True
        failed = partial(self._on_failed, pixels)
        create_worker(
            self._write,
            pixels,
            _connect={"errored": failed, "finished": self._on_saved},
        )

    def _write(self, pixels: NDArray[Any]) -> None:
        """Write the sections that have changed."""
        import zarr

        empty = _checksum(
            np.full(pixels.shape[-2:], self._about.unlabelled, pixels.dtype)
        )
        changed = [
            (index, found)
            for index, found in _checksums(pixels)
            if found != self._sums.get(index, empty)
        ]
        if not changed:
            return
        if self.path is None or not self.path.exists():
            self.path = _new_path(self._folder, self._about)
            self._sums.clear()
            make_store(self.path, self._layout, self._about)
            changed = [each for each in _checksums(pixels) if each[1] != empty]
        array = zarr.open_array(self.path / _LEVEL, mode="r+")
        for index, found in changed:
            array[index] = pixels[index]
            self._sums[index] = found

    def _on_saved(self) -> None:
        self._saving = False

    def _on_failed(self, pixels: NDArray[Any], error: Exception) -> None:
        _LOG.error("%s", error)
        if self._changed is None:  # tried again after the next stroke, and at the end
            self._changed = pixels
        if not self._warned:
            self._warned = True
            show_warning(
                f"The corrections of {self._about.name!r} could not be saved in "
                f"{self._folder} ({error}). They are in the window, and you "
                "can go on painting: make room, or save the layer with File ▸ Save "
                "Selected Layers."
            )


def _checksums(pixels: NDArray[Any]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield index and checksum of each section."""
    for index in np.ndindex(*pixels.shape[:-2]):
        yield index, _checksum(pixels[index])


def _checksum(section: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(section).data)


def _new_path(folder: Path, about: Corrections) -> Path:
    now = datetime.now().astimezone()
    first = runs.new_run(f"{about.name} corrections", now, folder)
    path, count = first.with_name(f"{first.name}.zarr"), 1
    while path.exists():
        count += 1
        path = first.with_name(f"{first.name} {count}.zarr")
    return path
