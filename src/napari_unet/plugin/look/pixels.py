"""How the worker comes by the pixels of the tiles that are looked at."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.normalisation import measure_normalisation
from napari_unet.plugin.pixels import write_part
from napari_unet.plugin.predict.handover import same_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data import Stack

    Tile = tuple[tuple[int, int], ...]
    """First pixel and the one after the last along each axis of the labels."""


@dataclass(frozen=True)
class LookPixels:
    """Reads an image in background threads, as far as the worker cannot.

    Parameters
    ----------
    stack : Stack
    files : tuple of Path
        Those the pixels may come from; see `files_of`.
    folder : Path
        Where excerpts go for the time that they are needed.
    seen : Stack
        The image at the pixel size at which the network sees it: its grey values are
        those to normalise by.
    """

    stack: Stack
    files: tuple[Path, ...]
    folder: Path
    seen: Stack

    def open(self) -> dict[str, Any]:
        """Return what the request says of the image: its file, or what it is like."""
        for file in self.files:
            if same_pixels(file, self.stack):
                return {"image": str(file)}
        return {
            "image": None,
            "nothing": {"shape": self.stack.shape, "dtype": self.stack.dtype.str},
            "normalisation": measure_normalisation(self.seen).to_dict(),
        }

    def cut(
        self, tiles: Sequence[Tile], axes: str, reach: Sequence[int]
    ) -> list[dict[str, Any]]:
        """Write an excerpt for each tile, so far as it is read for it, and name it.

        Raises
        ------
        OSError
            If the disk is full or the folder cannot be written to.
        """
        found = []
        for tile in tiles:
            name = "_".join(str(start) for start, _ in tile)
            path = self.folder / f"image-{name}.npy"
            bounds = []
            for axis, length in zip(self.stack.axes, self.stack.shape, strict=True):
                place = axes.find(axis)
                first, last = (0, length) if place < 0 else tile[place]
                far = 0 if place < 0 else reach[place]
                bounds.append((max(0, first - far), min(length, last + far)))
            write_part(path, self.stack, threading.Event(), bounds)
            starts = [start for start, _ in bounds]
            found.append({"bounds": tile, "image": str(path), "starts": starts})
        return found

    def forget(self, tiles: Sequence[dict[str, Any]]) -> None:
        """Remove the excerpts of tiles."""
        for tile in tiles:
            if "image" in tile:
                with contextlib.suppress(OSError):  # the folder goes in the end
                    Path(tile["image"]).unlink()


class TileFiles:
    """The tiles that were predicted, in files; the oldest go when there are too many.

    Parameters
    ----------
    most : int
        Bytes that they may take on the disk.
    """

    def __init__(self, most: int = 2**31) -> None:
        self._most = most
        self._taken = 0
        self._files: OrderedDict[Tile, tuple[list[Path], int]] = OrderedDict()

    def __contains__(self, tile: Tile) -> bool:
        return tile in self._files

    def __len__(self) -> int:
        return len(self._files)

    def add(self, tile: Tile, *paths: Path) -> None:
        """Keep the files of a tile."""
        self.drop(tile)
        size = sum(path.stat().st_size for path in paths)
        self._files[tile] = [*paths], size
        self._taken += size
        while self._taken > self._most and len(self._files) > 1:
            oldest = next(iter(self._files))
            for path in self._files[oldest][0]:
                path.unlink(missing_ok=True)
            self.drop(oldest)

    def read(self, tile: Tile) -> list[NDArray[Any]]:
        """Map the labels or values of a tile, and what else there is of it."""
        self._files.move_to_end(tile)
        return [np.load(path, mmap_mode="r") for path in self._files[tile][0]]

    def drop(self, tile: Tile) -> None:
        """Forget a tile, if it is known."""
        _, size = self._files.pop(tile, ([], 0))
        self._taken -= size
