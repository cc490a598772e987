"""What an array of results looks like, and how pieces of it become whole chunks."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Index = tuple[int, ...]
"""Which chunk, along each axis."""


@dataclass(frozen=True)
class Layout:
    """An array of results, such as labels.

    Attributes
    ----------
    axes : str
        One letter per dimension out of ``TZCYX``, the last two being ``YX``.
    shape : tuple of int
    dtype : str
    pixel_size : mapping of str to float
        Size of a pixel along each axis for which it is known.
    unit : str or None
        Unit of `pixel_size` along Z, Y and X; along T it is seconds.
    channel_names : tuple of str
        One name per entry of C, or empty.
    start : mapping of str to int
        First pixel along each axis, where it is a region of a larger image.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: str
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    channel_names: tuple[str, ...] = ()
    start: Mapping[str, int] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels, uncompressed."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def room_needed(written: int, share: float) -> str:
    """Say how much room the rest of a file takes, judged by what is written of it.

    Parameters
    ----------
    written : int
        Bytes, compressed.
    share : float
        Share of the pixels they hold, 0 to 1.
    """
    if not share:
        return ""
    more = written * (1 - share) / share
    return (
        f" {written / 1e9:.3f} GB are written, about {more / 1e9:.3f} GB are missing."
    )


class Gathering:
    """Puts pieces of an array together to the chunks of a grid.

    Each chunk is given once, when the last of its pixels has come. Pieces may come from
    several threads, in any order. Memory is that of the chunks begun.

    Parameters
    ----------
    shape, chunk : sequence of int
        Of the array, and of its chunks but those at the end of an axis.
    dtype : dtype
    """

    def __init__(self, shape: Sequence[int], chunk: Sequence[int], dtype: str) -> None:
        self.shape = tuple(shape)
        self.chunk = tuple(chunk)
        self._dtype = np.dtype(dtype)
        self._begun: dict[Index, tuple[NDArray[Any], int]] = {}
        self._lock = Lock()

    def box(self, index: Index) -> tuple[slice, ...]:
        """Return where a chunk lies in the array."""
        return tuple(
            slice(number * edge, min((number + 1) * edge, length))
            for number, edge, length in zip(index, self.chunk, self.shape, strict=True)
        )

    def reached(self, place: Sequence[int | slice]) -> Iterator[Index]:
        """Give the chunks that a piece reaches into."""
        return itertools.product(
            *(
                range(part.start // edge, -(-part.stop // edge))
                for part, edge in zip(self._slices(place), self.chunk, strict=True)
            )
        )

    def add(
        self,
        place: Sequence[int | slice],
        pixels: NDArray[Any],
        wanted: Callable[[Index], bool] = lambda index: True,
    ) -> Iterator[tuple[Index, NDArray[Any]]]:
        """Take a piece; give each chunk that is whole now, if it is wanted.

        Parameters
        ----------
        place : sequence of int and slice
            Where the piece lies, in the order of the axes.
        pixels : ndarray
            With an axis for each slice of `place`.
        wanted : callable
            Says of a chunk whether it is; the others are left out.
        """
        piece = self._slices(place)
        pixels = pixels.reshape([part.stop - part.start for part in piece])
        for index in filter(wanted, self.reached(place)):
            box = self.box(index)
            common = [
                slice(max(a.start, b.start), min(a.stop, b.stop))
                for a, b in zip(piece, box, strict=True)
            ]
            part = pixels[_shifted(common, piece)]
            whole = self._store(index, box, _shifted(common, box), part)
            if whole is not None:
                yield index, whole

    def _store(
        self,
        index: Index,
        box: tuple[slice, ...],
        inside: tuple[slice, ...],
        part: NDArray[Any],
    ) -> NDArray[Any] | None:
        shape = tuple(each.stop - each.start for each in box)
        if part.shape == shape:
            return part
        with self._lock:
            begun = self._begun.pop(index, None)
            chunk, missing = begun or (np.empty(shape, self._dtype), math.prod(shape))
            chunk[inside] = part
            if missing == part.size:
                return chunk
            self._begun[index] = chunk, missing - part.size
        return None

    def _slices(self, place: Sequence[int | slice]) -> list[slice]:
        whole = [
            slice(part, part + 1) if isinstance(part, int) else part for part in place
        ]
        return [
            slice(*part.indices(length)[:2])
            for part, length in zip(whole, self.shape, strict=True)
        ]


def _shifted(box: Sequence[slice], origin: Sequence[slice]) -> tuple[slice, ...]:
    return tuple(
        slice(part.start - zero.start, part.stop - zero.start)
        for part, zero in zip(box, origin, strict=True)
    )
