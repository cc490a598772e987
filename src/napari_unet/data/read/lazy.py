"""Pixels that are decoded when they are asked for."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict
from contextlib import contextmanager
from itertools import accumulate, product
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.axes import Key

    _Place = tuple[int, ...]
    _Part = tuple[_Place, tuple[slice, ...], tuple[slice, ...]]

KEPT = 2**26
"""Bytes of decoded chunks that an image keeps; the ones in use are kept anyhow."""


ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")
"""Files of which each zarr array or group has one."""


def is_zarr(path: Path) -> bool:
    """Whether a path is a zarr array or group, of version 2 or 3, or is named so."""
    named = path.suffix.lower() == ".zarr" and path.is_dir()
    return named or any((path / mark).is_file() for mark in ZARR_MARKS)


@contextmanager
def as_format_error(path: str | Path) -> Iterator[None]:
    """Turn whatever libraries and codecs raise into `StackFormatError`."""
    try:
        yield
    except StackFormatError:
        raise
    except Exception as error:
        cause = str(error).strip().rstrip(".") or type(error).__name__
        raise StackFormatError(
            f"{path} cannot be read: {cause}. {_remedy(error)}"
        ) from error


def _remedy(error: Exception) -> str:
    if "imagecodecs" in str(error):
        return "Install the package imagecodecs (pip install imagecodecs)."
    if isinstance(error, MemoryError):
        return "There is not enough memory for it: open a smaller part."
    if isinstance(error, OSError) and error.errno is not None:
        return "Check that the file is still there and that you may read it."
    return "The file is damaged or no image: export or copy it again."


class Chunked:
    """Pixels that are decoded chunk by chunk; the latest chunks are kept.

    Parameters
    ----------
    source : str or Path
        What messages call it.
    shape : tuple of int
    edges : sequence of sequence of int
        Along each axis where its chunks begin, and where the last one ends.
    dtype : dtype
    """

    def __init__(
        self,
        source: str | Path,
        shape: tuple[int, ...],
        edges: Sequence[Sequence[int]],
        dtype: np.dtype[Any],
    ) -> None:
        self.shape = shape
        self.dtype = dtype if dtype.isnative else dtype.newbyteorder("=")
        self.ndim = len(shape)
        self._source = source
        self._edges = edges
        self._kept: OrderedDict[_Place, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    @property
    def chunk_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Lengths of the chunks along each axis, as dask has them."""
        return tuple(
            tuple(np.diff(np.minimum(edges, length)).tolist())
            for edges, length in zip(self._edges, self.shape, strict=True)
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out, for another process, the chunks that are kept and their lock."""
        return {**self.__dict__, "_kept": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= {**state, "_lock": Lock()}

    def check_first(self, limit: int) -> None:
        """Decode the first chunk, if it has no more bytes than `limit`."""
        first = (0,) * self.ndim
        if math.prod(self._chunk_shape(first)) * self.dtype.itemsize <= limit:
            self._chunks([first])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the pixels that indices and slices select, as NumPy would."""
        whole = full_key(key, self.ndim)
        chosen = [
            _indices(each, length)
            for each, length in zip(whole, self.shape, strict=True)
        ]
        forward = [each if each.step > 0 else each[::-1] for each in chosen]
        pixels = self._read(forward)
        back = (slice(None, None, 1 if each.step > 0 else -1) for each in chosen)
        parts = zip(whole, back, strict=True)
        return pixels[tuple(b if isinstance(w, slice) else 0 for w, b in parts)]

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Decode everything."""
        make = np.array if copy else np.asarray
        return make(self[...], dtype or self.dtype)

    def _read(self, chosen: Sequence[range]) -> NDArray[Any]:
        """Return what ranges, of positive steps, select along each axis."""
        along = [
            list(_parts(each, edges))
            for each, edges in zip(chosen, self._edges, strict=True)
        ]
        parts = [tuple(zip(*each, strict=True)) for each in product(*along)]
        if len(parts) == 1:
            place, within, _ = parts[0]
            chunk: NDArray[Any] = self._chunks([place])[place][within]
            return chunk
        out = np.empty([len(each) for each in chosen], self.dtype)
        step = max(1, KEPT // self._size([parts[0][0]])) if parts else 1
        for start in range(0, len(parts), step):
            self._copy(parts[start : start + step], out)
        return out

    def _copy(self, parts: list[_Part], out: NDArray[Any]) -> None:
        chunks = self._chunks([place for place, _, _ in parts])
        for place, within, where in parts:
            out[where] = chunks[place][within]

    def _chunks(self, places: list[_Place]) -> dict[_Place, NDArray[Any]]:
        with self._lock:
            found = {at: self._kept.pop(at) for at in places if at in self._kept}
            missing = [at for at in places if at not in found]
            if missing:
                self._shrink(KEPT - self._size(missing) - _bytes(found))
                with as_format_error(self._source):
                    for at, decoded in self._decode_all(missing):
                        found[at] = self._checked(at, decoded)
            self._kept |= found  # the latest ones come last
            return found

    def _size(self, places: list[_Place]) -> int:
        sizes = (math.prod(self._chunk_shape(each)) for each in places)
        return sum(sizes) * self.dtype.itemsize

    def _shrink(self, limit: int) -> None:
        """Forget the oldest chunks, before others are decoded: they take memory."""
        total = _bytes(self._kept)
        while self._kept and total > limit:
            total -= self._kept.popitem(last=False)[1].nbytes

    def _chunk_shape(self, place: _Place) -> tuple[int, ...]:
        return tuple(
            min(edges[at + 1], length) - edges[at]
            for at, edges, length in zip(place, self._edges, self.shape, strict=True)
        )

    def _checked(self, place: _Place, decoded: NDArray[Any]) -> NDArray[Any]:
        expected = self._chunk_shape(place)
        if decoded.size != math.prod(expected):
            raise StackFormatError(
                f"{self._source} has a part of shape {decoded.shape} where {expected} "
                "was expected. Export the image again."
            )
        decoded = decoded.reshape(expected).astype(self.dtype, copy=False).view()
        decoded.flags.writeable = False  # it is shared by all who ask for it
        return decoded

    def _decode_all(
        self, places: list[_Place]
    ) -> Iterator[tuple[_Place, NDArray[Any]]]:
        for place in places:
            yield place, self._decode(place)

    def _decode(self, place: _Place) -> NDArray[Any]:
        raise NotImplementedError


class Lazy(Chunked):
    """Pixels decoded in blocks, numbered over the leading axes."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], leading: int, dtype: np.dtype[Any]
    ) -> None:
        sizes = (1,) * leading + shape[leading:]
        super().__init__(path, shape, even_edges(shape, sizes), dtype)
        self._path = path
        self._leading = leading

    def _decode(self, place: _Place) -> NDArray[Any]:
        return self._decode_block(number_of(place, self.shape, self._leading))

    def _decode_block(self, number: int) -> NDArray[Any]:
        raise NotImplementedError


class Foreign(Chunked):
    """The pixels of an array in chunks, such as one of dask, zarr or h5py."""

    def __init__(self, array: Any, source: str | Path) -> None:
        shape = tuple(int(length) for length in array.shape)
        edges: Sequence[Sequence[int]] = (
            [list(accumulate(sizes, initial=0)) for sizes in array.chunks]
            if shape and isinstance(array.chunks[0], tuple)
            else even_edges(shape, array.chunks)
        )
        super().__init__(source, shape, edges, np.dtype(array.dtype))
        self._array = array

    def _decode_all(
        self, places: list[_Place]
    ) -> Iterator[tuple[_Place, NDArray[Any]]]:
        """Read chunks that fill a box at once: its library decodes them in threads."""
        low = [min(along) for along in zip(*places, strict=True)]
        high = [max(along) + 1 for along in zip(*places, strict=True)]
        if math.prod(np.subtract(high, low).tolist()) != len(places):
            yield from super()._decode_all(places)
            return
        box = self._read_box(low, high)
        first = [edges[at] for at, edges in zip(low, self._edges, strict=True)]
        for place in places:
            part = tuple(
                slice(edges[at] - start, edges[at + 1] - start)
                for at, edges, start in zip(place, self._edges, first, strict=True)
            )
            # A copy, lest one part that is kept should keep the whole box.
            yield place, box if len(places) == 1 else box[part].copy()

    def _decode(self, place: _Place) -> NDArray[Any]:
        return self._read_box(place, [at + 1 for at in place])

    def _read_box(self, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        key = tuple(
            slice(edges[start], min(edges[stop], length))
            for start, stop, edges, length in zip(
                low, high, self._edges, self.shape, strict=True
            )
        )
        return np.asarray(self._array[key])


def even_edges(shape: Sequence[int], sizes: Sequence[int]) -> list[range]:
    """Return the edges of chunks that all have one size."""
    return [
        range(0, length + size, size) for length, size in zip(shape, sizes, strict=True)
    ]


def number_of(place: _Place, shape: Sequence[int], leading: int) -> int:
    """Return the number of a place in C order over the leading axes."""
    if not leading:
        return 0
    return int(np.ravel_multi_index(place[:leading], tuple(shape[:leading])))


def full_key(key: Any, ndim: int) -> Key:
    """One index or slice per dimension."""
    parts = key if isinstance(key, tuple) else (key,)
    place = next((i for i, each in enumerate(parts) if each is ...), len(parts))
    before, after = parts[:place], parts[place + 1 :]
    between = (slice(None),) * (ndim - len(before) - len(after))
    return (*before, *between, *after)


def _indices(part: Any, length: int) -> range:
    if isinstance(part, slice):
        return range(*part.indices(length))
    index = range(length)[part]
    return range(index, index + 1)


def _parts(chosen: range, edges: Sequence[int]) -> Iterator[tuple[int, slice, slice]]:
    """Yield each chunk that is touched, what of it, and where that belongs."""
    done = 0
    while done < len(chosen):
        chunk = bisect_right(edges, chosen[done]) - 1
        left = edges[chunk + 1] - chosen[done]
        stop = min(len(chosen), done + math.ceil(left / chosen.step))
        first, end = chosen[done] - edges[chunk], chosen[stop - 1] + 1 - edges[chunk]
        yield chunk, slice(first, end, chosen.step), slice(done, stop)
        done = stop


def _bytes(chunks: dict[_Place, NDArray[Any]]) -> int:
    return sum(each.nbytes for each in chunks.values())
