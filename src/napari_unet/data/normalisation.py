"""Grey values of any scale to values around 0 with a spread of 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_unet.data.stack import Stack


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of a whole image, for each channel.

    Attributes
    ----------
    mean, deviation : ndarray of float64, shape (C, 1, 1)
    """

    mean: np.ndarray
    deviation: np.ndarray

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
        if section.dtype.kind == "f":
            np.nan_to_num(normal, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return normal.astype(np.float32, copy=False)


def measure_normalisation(stack: Stack) -> Normalisation:
    """Measure an image, one section in memory at a time.

    Computed over the whole image, never over a tile or a patch, so that the same grey
    value means the same everywhere. Pixels that are not finite do not count; a
    constant channel gets a deviation of 1.
    """
    count = np.zeros(stack.n_channels)
    total = np.zeros(stack.n_channels)
    squares = np.zeros(stack.n_channels)
    shift = None
    for index in range(stack.n_sections):
        pixels = stack.section(index)
        if shift is None:
            shift = _first_mean(pixels)
        for channel, plane in enumerate(pixels):
            values = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
            centred = np.subtract(values, shift[channel], dtype=np.float64).ravel()
            count[channel] += centred.size
            total[channel] += centred.sum()
            squares[channel] += centred @ centred
    assert shift is not None
    count = np.maximum(count, 1)
    offset = total / count
    variance = np.maximum(squares / count - offset**2, 0)
    deviation = np.sqrt(variance)
    deviation[deviation <= 1e-12 * np.maximum(1, np.abs(shift + offset))] = 1
    return Normalisation(_column(shift + offset), _column(deviation))


def _first_mean(pixels: np.ndarray) -> np.ndarray:
    """Return a value near each channel's mean, which keeps the sums exact."""
    planes = pixels.reshape(len(pixels), -1).astype(np.float64)
    planes = np.where(np.isfinite(planes), planes, 0)
    means: np.ndarray = planes.mean(axis=1)
    return means


def _column(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1)
