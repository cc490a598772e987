"""A part of an image that answers to the indices of the whole, or to its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.axes import Key, PixelArray


class Excerpt:
    """Pixels of which only a box is there, for a prediction that needs no others.

    Parameters
    ----------
    part : PixelArray
        The pixels of the box.
    shape : sequence of int
        Of the whole image.
    starts : sequence of int
        Where the box begins in it, along each axis.
    """

    def __init__(
        self, part: PixelArray, shape: Sequence[int], starts: Sequence[int]
    ) -> None:
        self._part = part
        self._starts = tuple(starts)
        self.shape = tuple(shape)
        self.dtype = part.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: Key) -> Any:
        """Return the pixels under one index or slice of the whole per dimension.

        Raises
        ------
        IndexError
            If some of them are not there.
        """
        inner: list[int | slice] = []
        for axis, (each, start) in enumerate(zip(key, self._starts, strict=True)):
            numbers = each if isinstance(each, slice) else slice(each, each + 1)
            wanted = range(self.shape[axis])[numbers]
            first, last = wanted.start - start, wanted.stop - start
            if first < 0 or last > self._part.shape[axis]:
                raise IndexError(
                    f"{key} of an image of shape {self.shape}, of which only the box "
                    f"of shape {self._part.shape} from {self._starts} on is there."
                )
            inner.append(slice(first, last) if isinstance(each, slice) else first)
        return self._part[tuple(inner)]


class Window:
    """A box of pixels that are not to be read yet, counted from its own corner.

    Parameters
    ----------
    pixels : PixelArray
    bounds : sequence of (int, int)
        First pixel and the one after the last along each dimension.
    """

    def __init__(self, pixels: PixelArray, bounds: Sequence[tuple[int, int]]) -> None:
        self._pixels = pixels
        self._ranges = tuple(range(*each) for each in bounds)
        self.shape = tuple(len(each) for each in self._ranges)
        self.dtype = pixels.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: Key) -> Any:
        """Return the pixels under one index or slice per dimension."""
        found = [numbers[each] for numbers, each in zip(self._ranges, key, strict=True)]
        return self._pixels[
            tuple(
                slice(each.start, each.stop, each.step)
                if isinstance(each, range)
                else each
                for each in found
            )
        ]
