"""Corrections that are saved while one paints."""

from __future__ import annotations

import logging
import shutil
import weakref
import zlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QThreadPool, QTimer
from qtpy.QtWidgets import QApplication
from superqt.utils import create_worker

from napari_unet.data.write.zarr_store import part_of
from napari_unet.errors import UNetError
from napari_unet.plugin.correct.layer import Corrections
from napari_unet.plugin.correct.store import (
    LEVEL,
    annotations_folder,
    make_store,
    new_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_unet.data.write.layout import Index, Layout

_LOG = logging.getLogger(__name__)
_PAUSE = 2000  # milliseconds after a stroke before it is saved
_PATIENCE = 5000  # milliseconds
_SAVED: weakref.WeakSet[Any] = weakref.WeakSet()  # layers that are saved already


def autosave(layer: Labels, layout: Layout, path: Path | None, parent: QObject) -> None:
    """Save a layer from now on, unless it is saved already; see `Autosave`."""
    own = getattr(layer, "__wrapped__", layer)
    if own not in _SAVED:
        _SAVED.add(own)
        Autosave(own, layout, path, parent)


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
        self._sums: dict[Index, int] = {}
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
            except (OSError, UNetError) as error:
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
        nothing = np.full(pixels.shape[-2:], self._about.unlabelled, pixels.dtype)
        empty = _checksum(nothing)
        kind = pixels.shape, str(pixels.dtype)
        if kind != (self._layout.shape, self._layout.dtype):  # turned, or replaced
            self._layout = replace(self._layout, shape=kind[0], dtype=kind[1])
            self.path = None  # what was saved before stays as it is
        if self.path is not None and not self.path.exists():
            self.path = None
        if self.path is None:
            self._sums.clear()
        changed = {
            index: found
            for index, found in _checksums(pixels)
            if found != self._sums.get(index, empty)
        }
        if not changed:
            return
        if self.path is None:
            self.path = self._write_new(pixels, changed)
        else:
            _put(self.path, pixels, changed)
        self._sums |= changed

    def _write_new(self, pixels: NDArray[Any], changed: Iterable[Index]) -> Path:
        """Write a new store, which gets its name when all of it is there."""
        from napari_unet.data.write.flushed import FlushedStore

        path = new_path(self._folder, self._about)
        part = part_of(path)
        try:
            make_store(FlushedStore(part), self._layout, self._about)
            _put(part, pixels, changed)
            return part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)

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


def _put(path: Path, pixels: NDArray[Any], changed: Iterable[Index]) -> None:
    """Write sections, each file of them whole or not at all."""
    import zarr

    from napari_unet.data.write.flushed import FlushedStore

    array = zarr.open_array(FlushedStore(path), path=LEVEL, mode="r+")
    for index in changed:
        array[index] = pixels[index]


def _checksums(pixels: NDArray[Any]) -> Iterator[tuple[Index, int]]:
    """Yield index and checksum of each section."""
    for index in np.ndindex(*pixels.shape[:-2]):
        yield index, _checksum(pixels[index])


def _checksum(section: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(section).data)
