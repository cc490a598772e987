"""What is known of a prediction so far, at several resolutions, in bounded memory.

A layer of napari that has such levels as its data asks for what the view needs, at
once and as often as it likes: it gets what is known, and `unknown` everywhere else.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import UNetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Bounds = Sequence[tuple[int, int]]
    """First pixel and the one after the last along each axis."""

PARTIAL = (
    "This layer is computed only where it is looked at, so there is no whole to be "
    "saved. Choose another part under Where, such as the whole image, and press "
    "Predict."
)

BLOCK = 512
"""Rows and columns that are kept or forgotten together."""

KEPT = 2**28
"""Bytes that all levels keep together: several times what a large screen shows."""


class Level:
    """A result at one resolution: every `stride`-th row and column of it.

    It is what napari takes for an array: slices of it are read when they become arrays.

    Parameters
    ----------
    shape : tuple of int
        Of the full resolution; rows and columns are the last two axes.
    dtype : dtype
    unknown : int or float
        Stands where nothing is known.
    stride : int
    order : sequence of int
        Which axis of `shape` each axis of the layer is.
    blocks : dict
        Those of all levels, by stride, section, row and column; used last come last.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        unknown: float,
        stride: int,
        order: Sequence[int],
        blocks: OrderedDict[tuple[int, ...], NDArray[Any]],
    ) -> None:
        self.stride = stride
        self.lengths = (*shape[:-2], *(-(-length // stride) for length in shape[-2:]))
        self.order = tuple(order)
        self.shape = tuple(self.lengths[axis] for axis in order)
        self.dtype = dtype
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)
        self._unknown = unknown
        self._blocks = blocks
        self._whole: NDArray[Any] | None = None  # the block that napari keeps

    def __getitem__(self, key: Any) -> Slice:
        """Select a part; nothing is read yet."""
        return Slice(self, tuple(range(length) for length in self.shape))[key]

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Give the level itself, which what is put in changes, if it is one block.

        Of an image of one section napari keeps the smallest level for good.

        Raises
        ------
        UNetError
            If it is more than that: it cannot be saved as a whole.
        """
        if self.ndim > 2 or max(self.shape) > BLOCK:
            raise UNetError(PARTIAL)
        rows, columns = self.lengths
        self._whole = self._block((0, 0))
        return self._whole[:rows, :columns].transpose(self.order)

    def put(self, index: tuple[int, ...], start: Sequence[int], plane: Any) -> None:
        """Store a piece of a section, of which every pixel is given."""
        offsets = [-first % self.stride for first in start]
        sample = plane[offsets[0] :: self.stride, offsets[1] :: self.stride]
        if not sample.size:
            return
        first = [-(-each // self.stride) for each in start]
        for key, there, here in _pieces(first, sample.shape):
            self._block((*index, *key))[there] = sample[here]

    def read(self, bounds: Bounds) -> NDArray[Any]:
        """Read a box of the level, its axes in the order of the result."""
        found = np.full([stop - start for start, stop in bounds], self._unknown)
        found = found.astype(self.dtype)
        first = [start for start, _ in bounds[-2:]]
        pieces = list(_pieces(first, found.shape[-2:]))
        for index in itertools.product(*(range(*each) for each in bounds[:-2])):
            plane = found[tuple(i - b[0] for i, b in zip(index, bounds, strict=False))]
            for key, there, here in pieces:
                block = self._known((*index, *key))
                if block is not None:
                    plane[here] = block[there]
        return found

    def is_unknown(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell where pixels of this level are not known."""
        unknown = self._unknown
        found = np.isnan(pixels) if math.isnan(unknown) else pixels == unknown
        return np.asarray(found)

    def _known(self, key: tuple[int, ...]) -> NDArray[Any] | None:
        if self._whole is not None:
            return self._whole
        block = self._blocks.get((self.stride, *key))
        if block is not None:
            self._blocks.move_to_end((self.stride, *key))
        return block

    def _block(self, key: tuple[int, ...]) -> NDArray[Any]:
        block = self._known(key)
        if block is None:
            block = np.full((BLOCK, BLOCK), self._unknown, self.dtype)
            self._blocks[self.stride, *key] = block
        return block


class Slice:
    """A part of a `Level`, read when it becomes an array."""

    def __init__(self, level: Level, places: tuple[range | int, ...]) -> None:
        self._level = level
        self._places = places
        self.shape = tuple(len(each) for each in places if isinstance(each, range))
        self.ndim = len(self.shape)
        self.dtype = level.dtype
        self.size = math.prod(self.shape)

    def __getitem__(self, key: Any) -> Slice:
        """Select a part of it, by whole numbers, slices and an ellipsis."""
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        given = iter(keys)
        places = (
            each[next(given, slice(None))] if isinstance(each, range) else each
            for each in self._places
        )
        return Slice(self._level, tuple(places))

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Read what is known of it."""
        level = self._level
        if not self.size:
            return np.empty(self.shape, self.dtype)
        spans = [
            each if isinstance(each, range) else range(each, each + 1)
            for each in self._places
        ]
        inverse = np.argsort(level.order)
        bounds = [(min(spans[i]), max(spans[i]) + 1) for i in inverse]
        box = level.read(bounds).transpose(level.order)
        picked = box[tuple(slice(None, None, each.step) for each in spans)]
        found = picked.reshape(self.shape)
        return found if dtype is None else found.astype(dtype)


class Levels:
    """The resolutions of a result, each with half the rows and columns of the last.

    Parameters
    ----------
    shape : tuple of int
        Of the full resolution; rows and columns are the last two axes.
    dtype : dtype
    unknown : int or float
        Stands where nothing is known; it is no value of the result.
    order : sequence of int, optional
        Which axis of `shape` each axis of the layer is; the same by default.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        unknown: float,
        order: Sequence[int] | None = None,
    ) -> None:
        order = range(len(shape)) if order is None else order
        halvings = max(1, math.ceil(math.log2(max(shape[-2:]) / BLOCK)))
        self._blocks: OrderedDict[tuple[int, ...], NDArray[Any]] = OrderedDict()
        self._most = KEPT // (BLOCK * BLOCK * dtype.itemsize)
        self.levels = [
            Level(shape, dtype, unknown, 2**power, order, self._blocks)
            for power in range(halvings + 1)
        ]

    def put(self, bounds: Bounds, pixels: NDArray[Any], level: int = 0) -> None:
        """Store a box of the full resolution in a level and those above it."""
        start = [first for first, _ in bounds]
        for within in np.ndindex(*pixels.shape[:-2]):
            index = tuple(i + first for i, first in zip(within, start, strict=False))
            for each in self.levels[level:]:
                each.put(index, start[-2:], pixels[within])
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)

    def missing(
        self, level: int, bounds: Bounds, cuts: Sequence[Sequence[int]]
    ) -> list[tuple[tuple[int, int], ...]]:
        """List the tiles of which something in view is not known, the nearest first.

        Parameters
        ----------
        level : int
            What the view shows.
        bounds : sequence of (int, int)
            The view in pixels of that level.
        cuts : sequence of sequence of int
            Where tiles begin and the last one ends, at full resolution, for each axis.

        Returns
        -------
        list of tuple of (int, int)
            Bounds of tiles at full resolution, those nearest to the middle of the view
            first. A tile of which the level holds no pixel is not among them.
        """
        shown = self.levels[level]
        unknown = shown.is_unknown(shown.read(bounds))
        strides = [1] * (len(bounds) - 2) + [shown.stride] * 2
        spans = []
        for axis, (view, stride) in enumerate(zip(bounds, strides, strict=True)):
            edges = np.ceil(np.asarray(cuts[axis]) / stride).astype(int)
            starts = np.clip(edges[:-1], *view)
            inside = np.flatnonzero(starts < np.clip(edges[1:], *view))
            if unknown.shape[axis] > 1:
                begins = starts[inside] - view[0]
                unknown = np.logical_or.reduceat(unknown, begins, axis)
            along = list(pairwise(cuts[axis]))
            spans.append([along[i] for i in inside.tolist()])
        centre = [
            stride * (start + stop) / 2
            for (start, stop), stride in zip(bounds, strides, strict=True)
        ]

        def distance(tile: Bounds) -> float:
            return math.dist(centre, [(start + stop) / 2 for start, stop in tile])

        tiles = (
            tuple(along[i] for along, i in zip(spans, index, strict=True))
            for index in np.argwhere(unknown).tolist()
        )
        return sorted(tiles, key=distance)


def _pieces(
    first: Sequence[int], shape: Sequence[int]
) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
    """Cut a box at the blocks: the block's number, the place in it and in the box."""
    along = [
        [
            (
                number,
                slice(
                    max(start, number * BLOCK) - number * BLOCK,
                    min(start + length, (number + 1) * BLOCK) - number * BLOCK,
                ),
                slice(
                    max(start, number * BLOCK) - start,
                    min(start + length, (number + 1) * BLOCK) - start,
                ),
            )
            for number in range(start // BLOCK, -(-(start + length) // BLOCK))
        ]
        for start, length in zip(first, shape, strict=True)
    ]
    for row, column in itertools.product(*along):
        yield (row[0], column[0]), (row[1], column[1]), (row[2], column[2])
