"""Pixels that are decoded when they are asked for."""

from __future__ import annotations

import math
from contextlib import contextmanager
from itertools import product
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.axes import Key


@contextmanager
def as_format_error(path: Path) -> Iterator[None]:
    """Turn whatever tifffile and the codecs raise into `StackFormatError`."""
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


class Lazy:
    """Pixels decoded in blocks over the leading axes; the last block is kept."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], leading: int, dtype: np.dtype[Any]
    ) -> None:
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.ndim = len(shape)
        self._path = path
        self._leading = leading
        self._kept: tuple[int, NDArray[Any]] | None = None
        self._lock = Lock()

    def check_first(self, limit: int) -> None:
        """Decode the first block, if it has no more bytes than `limit`."""
        size = math.prod(self.shape[self._leading :]) * self.dtype.itemsize
        if size <= limit:
            self.block(0)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the pixels that indices and slices select, as NumPy would."""
        whole = _full_key(key, self.ndim)
        outer, inner = whole[: self._leading], whole[self._leading :]
        chosen = [
            np.atleast_1d(np.arange(length)[each])
            for each, length in zip(outer, self.shape[: self._leading], strict=True)
        ]
        places = list(product(*chosen))
        kept = [
            len(numbers)
            for numbers, each in zip(chosen, outer, strict=True)
            if isinstance(each, slice)
        ]
        if not kept:
            return self._block_at(places[0])[inner]
        lead = np.empty((1, *self.shape[self._leading :]), self.dtype)
        out = np.empty((len(places), *lead[(0, *inner)].shape), self.dtype)
        for index, place in enumerate(places):
            out[index] = self._block_at(place)[inner]
        return out.reshape(*kept, *out.shape[1:])

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Decode everything."""
        make = np.array if copy else np.asarray
        return make(self[...], dtype or self.dtype)

    def _block_at(self, place: tuple[int, ...]) -> NDArray[Any]:
        lengths = self.shape[: self._leading]
        return self.block(int(np.ravel_multi_index(place, lengths)) if place else 0)

    def block(self, number: int) -> NDArray[Any]:
        """Decode one block, or return it if it was the last one asked for."""
        with self._lock:
            if self._kept is None or self._kept[0] != number:
                self._kept = None  # before decoding: never two blocks in memory
                with as_format_error(self._path):
                    self._kept = number, self._checked(self._decode(number))
            return self._kept[1]

    def _checked(self, decoded: NDArray[Any]) -> NDArray[Any]:
        expected = self.shape[self._leading :]
        if decoded.size != math.prod(expected):
            raise StackFormatError(
                f"{self._path} has a plane of shape {decoded.shape} where {expected} "
                "was expected. Export the image again."
            )
        decoded = decoded.reshape(expected).astype(self.dtype, copy=False)
        decoded.flags.writeable = False  # it is shared by all who ask for it
        return decoded

    def _decode(self, number: int) -> NDArray[Any]:
        raise NotImplementedError


def _full_key(key: Any, ndim: int) -> Key:
    """One index or slice per dimension."""
    parts = key if isinstance(key, tuple) else (key,)
    place = next((i for i, each in enumerate(parts) if each is ...), len(parts))
    before, after = parts[:place], parts[place + 1 :]
    between = (slice(None),) * (ndim - len(before) - len(after))
    return (*before, *between, *after)
