"""Arrays of a zarr store, written chunk by chunk with all their resolutions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.data.write.layout import Gathering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.write.layout import Index, Layout
    from napari_unet.data.write.ledger import Ledger

CHUNK = 512
"""Rows and columns of a chunk, about."""

_ORDER = "TCZYX"  # the one that OME-Zarr wants


@dataclass(frozen=True)
class Level:
    """One resolution of an array.

    Attributes
    ----------
    path : str
        Its folder in the store.
    shape, chunk : tuple of int
    dtype : str
    prefix : str
        What the path of a chunk starts with: ``"c/"`` in zarr 3, nothing in zarr 2.
    """

    path: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    prefix: str

    @property
    def grid(self) -> Iterator[Index]:
        """All chunks."""
        return itertools.product(*map(range, self.counts))

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        lengths = zip(self.shape, self.chunk, strict=True)
        return tuple(-(-size // edge) for size, edge in lengths)

    def name(self, index: Index) -> str:
        """Return the path of a chunk in the store."""
        return f"{self.path}/{self.prefix}{'/'.join(map(str, index))}"

    def below(self, index: Index) -> Iterator[list[Index]]:
        """Give the rows of chunks, 2 by 2, that one of the next level is made of."""
        first, last = (
            range(2 * place, min(2 * place + 2, count))
            for place, count in zip(index[-2:], self.counts[-2:], strict=True)
        )
        for row in first:
            yield [(*index[:-2], row, column) for column in last]

    def encode(self, pixels: NDArray[Any]) -> bytes:
        """Return what the file of a chunk holds; it is filled up with zeros."""
        import imagecodecs

        if pixels.shape != self.chunk:
            missing = np.subtract(self.chunk, pixels.shape)
            pixels = np.pad(pixels, [(0, each) for each in missing])
        stored = np.dtype(self.dtype).newbyteorder("<")
        how = compression(stored)
        encoded = imagecodecs.blosc_encode(
            pixels.astype(stored, copy=False).tobytes(),
            how.level,
            compressor=how.name,
            shuffle=how.shuffle,
            typesize=stored.itemsize,
            numthreads=1,  # with more, the bytes are not the same each time
        )
        return bytes(encoded)

    def decode(self, encoded: bytes) -> NDArray[Any]:
        """Return the pixels of a chunk, those beyond the array's end included."""
        import imagecodecs

        stored = np.dtype(self.dtype).newbyteorder("<")
        content = imagecodecs.blosc_decode(encoded)
        return np.frombuffer(content, stored).reshape(self.chunk)


class Compression(NamedTuple):
    """A compressor of Blosc, its level, and whether it sorts bytes (1) or bits (2)."""

    name: str
    level: int
    shuffle: int


def compression(dtype: np.dtype[Any]) -> Compression:
    """Return how chunks are compressed.

    Labels take 0.2 ms for 512² pixels and half the room of plain zstd, which takes
    twice as long; probabilities hardly shrink, which lz4 finds out the soonest.
    """
    if dtype.kind == "f":
        return Compression("lz4", 5, 1)
    return Compression("zstd", 1, 2 if dtype.itemsize == 1 else 1)


class PyramidWriter:
    """An array that is written in pieces, each resolution from the one before.

    Every chunk is written once, as a whole. One of a lower resolution is made as soon
    as the chunks are there that it is made of, from their files, so that memory is that
    of a few chunks.

    Parameters
    ----------
    layout : Layout
    path : str
        The array's group in the store: its levels are ``path/0`` and so on.
    ledger : Ledger
        Of the store.
    prefix : str
        See `Level`.
    reduce : callable
        Halves rows and columns, both even: `mode_of_four` or `mean_of_four`.
    """

    def __init__(
        self,
        layout: Layout,
        path: str,
        ledger: Ledger,
        prefix: str,
        reduce: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> None:
        self._order = [
            layout.axes.index(axis) for axis in _ORDER if axis in layout.axes
        ]
        self.axes = "".join(layout.axes[place] for place in self._order)
        shape = tuple(layout.shape[place] for place in self._order)
        self.nbytes = layout.nbytes
        self.levels = list(_levels(path, shape, layout.dtype, prefix))
        self._gathering = Gathering(shape, self.levels[0].chunk, layout.dtype)
        self._ledger = ledger
        self._reduce = reduce
        self._lock = Lock()
        # A byte for each chunk: names would take a hundred times as much.
        self._done = [_found(level, ledger) for level in self.levels]
        self._begun = [done.copy() for done in self._done]

    def has(self, place: Sequence[int | slice]) -> bool:
        """Return whether all chunks are written that a piece reaches into."""
        ordered = [place[axis] for axis in self._order]
        return not any(self._lacks(index) for index in self._gathering.reached(ordered))

    def put(self, place: Sequence[int | slice], pixels: NDArray[Any]) -> None:
        """Write a piece, or the chunks that are whole with it."""
        kept = [axis for axis, part in enumerate(place) if isinstance(part, slice)]
        order = [kept.index(axis) for axis in self._order if axis in kept]
        ordered = [place[axis] for axis in self._order]
        chunks = self._gathering.add(ordered, pixels.transpose(order), self._lacks)
        for index, chunk in chunks:
            self._write(0, index, chunk)

    def finish(self) -> None:
        """Make the chunks of lower resolutions that an earlier process did not."""
        for number, level in enumerate(self.levels[1:], start=1):
            for index in level.grid:
                self._make(number, index)

    @property
    def share(self) -> float:
        """Share of the full resolution that is written, 0 to 1."""
        return float(self._done[0].mean())

    def _lacks(self, index: Index) -> bool:
        return not self._done[0][index]

    def _write(self, number: int, index: Index, pixels: NDArray[Any]) -> None:
        level = self.levels[number]
        encoded, name = level.encode(pixels), level.name(index)
        path = self._ledger.folder / name
        try:
            path.write_bytes(encoded)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded)
        self._ledger.add(name, encoded)
        self._done[number][index] = True
        if number + 1 < len(self.levels):
            self._make(number + 1, (*index[:-2], index[-2] // 2, index[-1] // 2))

    def _make(self, number: int, index: Index) -> None:
        """Make a chunk of a lower resolution, if what it is made of is there."""
        above, done = self.levels[number - 1], self._done[number - 1]
        below = list(above.below(index))
        if not all(done[each] for row in below for each in row):
            return
        with self._lock:  # two threads may have written the last two of them
            if self._begun[number][index]:
                return
            self._begun[number][index] = True
        whole = np.block([[self._read(above, each) for each in row] for row in below])
        rows, columns = (
            min(2 * edge, size - 2 * edge * place)
            for edge, size, place in zip(
                above.chunk[-2:], above.shape[-2:], index[-2:], strict=True
            )
        )
        whole = whole[..., :rows, :columns]
        pad = [(0, 0)] * (whole.ndim - 2) + [(0, rows % 2), (0, columns % 2)]
        self._write(number, index, self._reduce(np.pad(whole, pad, mode="edge")))

    def _read(self, level: Level, index: Index) -> NDArray[Any]:
        return level.decode((self._ledger.folder / level.name(index)).read_bytes())


def _found(level: Level, ledger: Ledger) -> NDArray[np.bool_]:
    """Return which chunks an earlier process has written."""
    found = np.zeros(level.counts, bool)
    for index in level.grid if ledger.found else ():
        found[index] = level.name(index) in ledger.found
    return found


def _levels(
    path: str, shape: tuple[int, ...], dtype: str, prefix: str
) -> Iterator[Level]:
    """Give the resolutions of an array, down to one chunk a section."""
    chunk = (*[1] * (len(shape) - 2), *(_edge(length) for length in shape[-2:]))
    for number in itertools.count():
        yield Level(f"{path}/{number}".lstrip("/"), shape, chunk, dtype, prefix)
        if shape[-2] <= chunk[-2] and shape[-1] <= chunk[-1]:
            return
        shape = (*shape[:-2], *(-(-length // 2) for length in shape[-2:]))


def _edge(length: int) -> int:
    """Cut a length into about equal parts of about `CHUNK`."""
    return -(-length // max(1, round(length / CHUNK)))


def mean_of_four(pixels: NDArray[Any]) -> NDArray[Any]:
    """Halve rows and columns, both even, by the mean."""
    a, b, c, d = _four(pixels)
    mean: NDArray[Any] = (a + b + c + d) / pixels.dtype.type(4)
    return mean


def mode_of_four(pixels: NDArray[Any]) -> NDArray[Any]:
    """Halve rows and columns, both even, by the most frequent value.

    Where two or four are equally frequent it is the one that comes first.
    """
    a, b, c, d = _four(pixels)
    others = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    return np.where((a == b) | (a == c) | (a == d), a, others)


def _four(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    return [pixels[..., row::2, column::2] for row in (0, 1) for column in (0, 1)]
