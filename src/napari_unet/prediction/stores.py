"""What holds the results of a prediction: arrays in memory, or files."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from napari_unet.data.write.layout import room_needed
from napari_unet.data.write.tiles import TileWriter
from napari_unet.errors import UNetError
from napari_unet.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.write.layout import Layout

    Where = Sequence[int | slice]


class Store(Protocol):
    """Takes pieces of named results, from several threads."""

    def has(self, name: str, place: Where) -> bool:
        """Return whether a piece is there, from an earlier process."""

    def put(self, name: str, place: Where, pixels: NDArray[Any]) -> None:
        """Take a piece."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """What an earlier process has noted."""

    def note(self, name: str, value: Any) -> None:
        """Note a plain value for a process that may have to go on."""


class _NotResumed:
    """A store that begins anew each time."""

    notes: Mapping[str, Any] = {}

    def has(self, name: str, place: Where) -> bool:
        """Return false."""
        return False

    def note(self, name: str, value: Any) -> None:
        """Forget it."""


class ArrayStore(_NotResumed):
    """Arrays by name, each of its result's shape."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = arrays

    def put(self, name: str, place: Where, pixels: NDArray[Any]) -> None:
        """Store a piece."""
        self.arrays[name][tuple(place)] = pixels


class TiffStore(_NotResumed):
    """TIFF files by name: see `open_tiffs`."""

    def __init__(self, paths: Mapping[str, Path], writers: dict[str, TileWriter]):
        self._paths = paths
        self._writers = writers

    def put(self, name: str, place: Where, pixels: NDArray[Any]) -> None:
        """Write a piece.

        Raises
        ------
        UNetError
            If the disk is full.
        """
        with self._telling(name):
            self._writers[name].put(place, pixels)

    def finish(self) -> None:
        """Complete the files, which lack only their names then."""
        for name, writer in self._writers.items():
            with self._telling(name):
                writer.close()

    @contextlib.contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        writer = self._writers[name]
        try:
            yield
        except OSError as error:
            needed = room_needed(writer.written, writer.share)
            raise UNetError(
                f"{self._paths[name]} could not be written ({error.strerror or error})."
                f"{needed} Nothing of it was left behind: make room, choose another "
                "folder, or write OME-Zarr, which goes on where it stopped."
            ) from error


@contextlib.contextmanager
def open_tiffs(
    paths: Mapping[str, Path], layouts: Mapping[str, Layout]
) -> Iterator[TiffStore]:
    """Open TIFF files that appear, all of them, when the body has ended well.

    Raises
    ------
    UNetError
        If the disk is full or the folder cannot be written to.
    """
    writers: dict[str, TileWriter] = {}
    with contextlib.ExitStack() as files:
        try:
            for name, path in paths.items():
                part = files.enter_context(replacing(path))
                writers[name] = TileWriter(part, layouts[name])
            store = TiffStore(paths, writers)
            yield store
            store.finish()
        finally:
            for writer in writers.values():
                writer.abandon()
