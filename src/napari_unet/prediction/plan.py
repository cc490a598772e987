"""Where tiles lie, so that together they equal the whole.

A section is extended by mirroring it at its true border, to a canvas that starts
`MARGIN` pixels before it and ends on the network's grid. The whole-image prediction
is the network applied to that canvas. A tile is a window of the canvas: it starts on
the grid, and around the core it answers for it carries as much real surrounding as
the network can see, or ends where the canvas ends. So its core is exactly what the
whole-image prediction gives there (the overlap-tile strategy of Ronneberger et al.
2015, figure 2, with the halo of a padded network).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

MARGIN = 4
"""Mirrored pixels at the true border. Measured on EM sections, errors at the border are
fewest with 4 to 8 of them: all that the network can see is worse, none worst."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of the image.

    Attributes
    ----------
    start, stop : int
        The core, written to the result.
    first, last : int
        The window ``first:last`` given to the network; it may reach beyond the image,
        where the image is mirrored.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def core(self) -> slice:
        """The core in the image."""
        return slice(self.start, self.stop)

    @property
    def core_in_window(self) -> slice:
        """The core in the window."""
        return slice(self.start - self.first, self.stop - self.first)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a section: its rows and its columns."""

    rows: Span
    columns: Span


@dataclass(frozen=True)
class Plan:
    """All tiles of a section.

    Attributes
    ----------
    tiles : tuple of Tile
        Their cores cover each pixel of the section exactly once.
    window : tuple of int
        Rows and columns of every tile's window.
    """

    tiles: tuple[Tile, ...]
    window: tuple[int, int]


def plan_tiles(shape: tuple[int, int], stride: int, radius: int, tile: int) -> Plan:
    """Cut a section into tiles.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the section, each at least 1.
    stride, radius : int
        Geometry of the network (see `napari_unet.networks.Geometry`).
    tile : int
        Largest rows and columns of a window. Where it is too small to hold more than
        the halo, the smallest window that does is taken.

    Returns
    -------
    Plan
    """
    rows, columns = (plan_axis(length, stride, radius, tile) for length in shape)
    tiles = tuple(Tile(*spans) for spans in itertools.product(rows, columns))
    window = (rows[0].last - rows[0].first, columns[0].last - columns[0].first)
    return Plan(tiles, window)


def plan_axis(length: int, stride: int, radius: int, tile: int) -> list[Span]:
    """Cut one axis of `length` pixels into spans with windows of equal size."""
    canvas = _up(length + 2 * MARGIN, stride)
    halo = _up(radius, stride)
    count, core = _cores(canvas, stride, halo, tile)
    window = min(canvas, core + halo * min(2, count - 1))
    spans = []
    for index in range(count):
        start, stop = index * core, min((index + 1) * core, canvas)
        first = min(max(start - halo, 0), canvas - window)
        inside = max(start - MARGIN, 0), min(stop - MARGIN, length)
        if inside[0] < inside[1]:
            spans.append(Span(*inside, first - MARGIN, first - MARGIN + window))
    return spans


def _cores(canvas: int, stride: int, halo: int, tile: int) -> tuple[int, int]:
    """Return the fewest cores of equal size whose windows fit `tile`, and that size."""
    for count in range(1, canvas // stride + 1):
        core = _up(math.ceil(canvas / count), stride)
        if core + halo * min(2, count - 1) <= tile:
            return math.ceil(canvas / core), core
    return math.ceil(canvas / stride), stride


def _up(value: int, stride: int) -> int:
    return math.ceil(value / stride) * stride


def mirror(first: int, last: int, length: int) -> np.ndarray:
    """Return which pixel stands at each place from `first` to `last` (exclusive).

    The image is mirrored about its outermost pixels, which are not repeated, as often
    as is needed; an axis of one pixel repeats it.

    Examples
    --------
    >>> mirror(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    if length == 1:
        return np.zeros(last - first, dtype=np.intp)
    period = 2 * (length - 1)
    place = np.arange(first, last) % period
    return np.minimum(place, period - place)
