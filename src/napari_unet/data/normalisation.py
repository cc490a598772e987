"""Grey values of any scale to values around 0 with a spread of 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_unet.data.stack import Stack

_ALL = 2**28  # pixels of an image that is measured as a whole
_SAMPLED = 2**26  # pixels that are measured of a larger one
_SECTIONS = 64  # sections that they come from at least
_BLOCK = 512  # rows and columns of a block of them, about
_WINDOW = 2**22  # pixels read at once
_PART = 2**16  # values summed at once: as many as the processor keeps at hand

Window = tuple[int, slice, slice]

_overflow_is_fine = np.errstate(over="ignore", invalid="ignore")  # it gives 0


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of a whole image, for each channel.

    Attributes
    ----------
    mean, deviation : ndarray of float64, shape (C, 1, 1)
    """

    mean: np.ndarray
    deviation: np.ndarray

    @_overflow_is_fine
    def __call__(self, section: np.ndarray) -> np.ndarray:
        """Normalise a section ``(C, Y, X)`` of any dtype to float32.

        Pixels that are not finite become 0, the mean.
        """
        # float32 holds these exactly; wider types would lose a small contrast in it.
        exact = section.dtype.itemsize <= 2 or section.dtype == np.float32
        kind: Any = np.float32 if exact else np.float64
        normal = section.astype(kind)
        normal -= self.mean.astype(kind)
        normal /= self.deviation.astype(kind)
        if section.dtype.kind == "f" and not math.isfinite(float(normal.sum())):
            np.nan_to_num(normal, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return normal.astype(np.float32, copy=False)

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain numbers, one per channel, that JSON can hold."""
        return {n: getattr(self, n).ravel().tolist() for n in ("mean", "deviation")}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Sequence[float]]) -> Self:
        """Build it from `to_dict`'s result."""
        return cls(*(_column(np.array(stored[n])) for n in ("mean", "deviation")))


@_overflow_is_fine
def measure_normalisation(stack: Stack) -> Normalisation:
    """Measure an image, a few rows in memory at a time.

    Computed over the whole image, never over a tile or a patch, so that the same grey
    value means the same everywhere. Of an image of more than 2²⁸ pixels (268 million)
    a fixed sample of about 2²⁶ is measured, so that a volume larger than memory starts
    at once: blocks of some 512 × 512 pixels on a regular grid in at least 64 sections,
    evenly spread from the first to the last. Neither how the file is stored nor how
    the image is tiled matters to them.

    Pixels that are not finite do not count; a constant channel, or one without any
    number, gets a deviation of 1.
    """
    count, shift, total, squares = np.zeros((4, stack.n_channels))
    for number, window in enumerate(_windows(stack)):
        pixels = stack.section(*window)
        for channel, plane in enumerate(pixels.reshape(len(pixels), -1)):
            if number == 0:  # a value near the mean keeps the sums exact
                shift[channel] = _mean(plane)
            for start in range(0, plane.size, _PART):
                sums = _sums(plane[start : start + _PART], float(shift[channel]))
                count[channel] += sums[0]
                total[channel] += sums[1]
                squares[channel] += sums[2]
    count = np.maximum(count, 1)
    offset = total / count
    deviation = np.sqrt(np.maximum(squares / count - offset**2, 0))
    deviation[deviation <= 1e-12 * np.maximum(1, np.abs(shift + offset))] = 1
    return Normalisation(_column(shift + offset), _column(deviation))


def _windows(stack: Stack) -> Iterator[Window]:
    """Yield what is to be measured: all, or blocks from all over a large image."""
    rows, columns = stack.section_shape
    if stack.n_sections * rows * columns > _ALL:
        yield from _blocks(stack.n_sections, rows, columns)
        return
    step = max(1, _WINDOW // columns)
    for index in range(stack.n_sections):
        for row in range(0, rows, step):
            yield index, slice(row, min(row + step, rows)), slice(0, columns)


def _blocks(sections: int, rows: int, columns: int) -> Iterator[Window]:
    wanted = min(sections, max(_SECTIONS, _SAMPLED // (rows * columns)))
    edge = math.sqrt(_SAMPLED / wanted)  # of the square taken from each section
    grid = max(1, round(edge / _BLOCK))
    height, width = (min(int(edge / grid), max(1, n // grid)) for n in (rows, columns))
    for index in _spread(sections - 1, wanted):
        for row in _spread(rows - height, grid):
            for column in _spread(columns - width, grid):
                yield index, slice(row, row + height), slice(column, column + width)


def _spread(last: int, count: int) -> list[int]:
    """Return whole numbers from 0 to `last`, evenly spread; one is in the middle."""
    if count == 1:
        return [last // 2]
    return [round(last * i / (count - 1)) for i in range(count)]


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    mean = finite.mean(dtype=np.float64) if finite.size else 0.0
    return float(np.float32(mean))  # a difference to it is exact in float32 too


def _sums(values: np.ndarray, shift: float) -> tuple[int, float, float]:
    """Return count, sum and sum of squares of values less `shift`."""
    exact = values.dtype.kind in "bui" and values.dtype.itemsize <= 2
    centred: np.ndarray = values.astype(np.float32 if exact else np.float64)
    centred -= shift
    total = float(centred.sum())
    if not math.isfinite(total):
        centred = centred[np.isfinite(centred)]
        total = float(centred.sum())
    # Not a dot product: that depends on how many threads BLAS has.
    return centred.size, total, float(np.square(centred, out=centred).sum())


def _column(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1)
