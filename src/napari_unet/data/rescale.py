"""Pixels on another grid: averaged where it is coarser, interpolated where finer.

Both grids cover the same extent. A value depends on its place in the whole image only,
so that a window is what a crop of the whole would be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.read.lazy import full_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_unet.data.axes import PixelArray
    from napari_unet.data.stack import Stack


@dataclass(frozen=True, eq=False)
class Weights:
    """What each pixel of a new grid is made of, along one axis.

    Attributes
    ----------
    index : ndarray of int, shape (N, K)
        Old pixels, in ascending order.
    share : ndarray of float64, shape (N, K)
        Of each, together 1.
    """

    index: NDArray[np.intp]
    share: NDArray[np.float64]

    def __getitem__(self, pixels: slice) -> Weights:
        """Return those of some of the new pixels."""
        return Weights(self.index[pixels], self.share[pixels])

    def along(self, axis: int, pixels: NDArray[Any], first: int = 0) -> NDArray[Any]:
        """Put float pixels, of which `first` is the first, on the new grid."""
        shape = [1] * pixels.ndim
        shape[axis] = -1
        shares = self.share.astype(pixels.dtype)
        total: NDArray[Any] = np.take(pixels, self.index[:, 0] - first, axis)
        total *= shares[:, 0].reshape(shape)
        for index, share in zip(self.index.T[1:], shares.T[1:], strict=True):
            total += np.take(pixels, index - first, axis) * share.reshape(shape)
        return total


def weigh(old: int, new: int, pixels: NDArray[np.intp]) -> Weights:
    """Return what pixels are made of where `old` of them become `new`.

    Fewer are means over their extent; more are interpolated linearly between the
    centres of the old ones, and constant beyond the first and last.

    Parameters
    ----------
    old, new : int
        Number of pixels along the axis.
    pixels : ndarray of int, shape (N,)
        Which of the new ones.
    """
    size = old / new
    if new < old:
        start, stop = pixels * size, (pixels + 1) * size
        first = np.floor(start).astype(np.intp)
        index = first[:, None] + np.arange(int(np.ceil(size)) + 1)
        covered = np.minimum(index + 1, stop[:, None]) - np.maximum(
            index, start[:, None]
        )
        share = np.maximum(covered, 0)
    else:
        centre = np.clip((pixels + 0.5) * size - 0.5, 0, old - 1)
        first = np.floor(centre).astype(np.intp)
        index = first[:, None] + np.arange(2)
        share = np.stack([1 - (centre - first), centre - first], axis=1)
    share[index >= old] = 0
    # What has no share is not read: it may be NaN, or lie beyond the border.
    index = np.where(share > 0, index, first[:, None])
    return Weights(index, share / share.sum(axis=1, keepdims=True))


def nearest(old: int, new: int, pixels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the old pixel in which the centre of each new one lies."""
    found: NDArray[np.intp] = ((2 * pixels + 1) * old) // (2 * new)
    return found


class Resampled:
    """Pixels on another grid, computed where they are asked for.

    Parameters
    ----------
    pixels : PixelArray
    shape : tuple of int
        Its lengths on the new grid.
    """

    def __init__(self, pixels: PixelArray, shape: tuple[int, ...]) -> None:
        self._pixels = pixels
        self.shape = shape
        self.ndim = len(shape)
        stored = np.dtype(pixels.dtype)
        exact = stored.itemsize <= 2 or stored.str[1:] == "f4"
        self.dtype = np.dtype(np.float32 if exact else np.float64)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the pixels that indices and slices select, as NumPy would."""
        whole = full_key(key, self.ndim)
        read: list[slice] = []
        weights: dict[int, Weights] = {}
        for axis, part in enumerate(whole):
            old, new = self._pixels.shape[axis], self.shape[axis]
            if old == new:
                read.append(part if isinstance(part, slice) else _only(part, new))
                continue
            wanted = np.atleast_1d(np.arange(new)[part])
            weights[axis] = weigh(old, new, wanted)
            index = weights[axis].index
            first, last = index.min(initial=old), index.max(initial=-1)
            read.append(slice(int(first), int(last) + 1))
        pixels: NDArray[Any] = np.asarray(self._pixels[tuple(read)]).astype(self.dtype)
        for axis, each in weights.items():
            pixels = each.along(axis, pixels, read[axis].start)
        return pixels[tuple(slice(None) if isinstance(p, slice) else 0 for p in whole)]


def _only(index: int, length: int) -> slice:
    place = range(length)[index]
    return slice(place, place + 1)


def resample(stack: Stack, lengths: Mapping[str, int]) -> Stack:
    """Put a stack on another grid; nothing is read yet.

    Parameters
    ----------
    stack : Stack
    lengths : mapping of str to int
        Number of pixels along some of the axes.

    Returns
    -------
    Stack
        Of float32, or float64 where that is needed to hold the values.
    """
    shape = tuple(
        lengths.get(axis, length)
        for axis, length in zip(stack.axes, stack.shape, strict=True)
    )
    grown = {
        axis: old / new
        for axis, old, new in zip(stack.axes, stack.shape, shape, strict=True)
    }
    sizes = {axis: size * grown[axis] for axis, size in stack.pixel_size.items()}
    return replace(stack, pixels=Resampled(stack.pixels, shape), pixel_size=sizes)
