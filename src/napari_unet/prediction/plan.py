"""Where tiles lie, so that together they equal the whole.

A section, or a volume for a 3-D network, is extended by mirroring it at its true
border, to a canvas that starts a margin before it and ends on the network's grid. The
whole-image prediction is the network applied to that canvas. A tile is a window of the
canvas: it starts on the grid, and around the core it answers for it carries as much
real surrounding as the network can see, or ends where the canvas ends. So its core is
exactly what the whole-image prediction gives there (the overlap-tile strategy of
Ronneberger et al. 2015, figure 2). A network that does not pad answers for the centre
of a window only: its margin is what it crops.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.config import NetworkConfig

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
    """A box of a section or volume: one span per axis."""

    spans: tuple[Span, ...]

    @property
    def core(self) -> tuple[slice, ...]:
        """The core in the image."""
        return tuple(span.core for span in self.spans)

    @property
    def core_in_window(self) -> tuple[slice, ...]:
        """The core in the window."""
        return tuple(span.core_in_window for span in self.spans)


@dataclass(frozen=True)
class Plan:
    """All tiles of a section or volume.

    Attributes
    ----------
    tiles : tuple of Tile
        Their cores cover each pixel exactly once.
    window : tuple of int
        Length of every tile's window along each axis.
    """

    tiles: tuple[Tile, ...]
    window: tuple[int, ...]


def plan_tiles(
    shape: Sequence[int],
    strides: Sequence[int],
    radii: Sequence[int],
    tile: int,
    margins: Sequence[int],
    remainders: Sequence[int] = (0, 0, 0),
) -> Plan:
    """Cut a section or volume into tiles.

    Parameters
    ----------
    shape : sequence of int
        Length of each axis, ``(Y, X)`` or ``(Z, Y, X)``, each at least 1.
    strides, radii : sequence of int
        Geometry of the network (see `napari_unet.networks.Geometry`).
    tile : int
        Largest length of a window along any axis. Where it is too small to hold more
        than the halo, the smallest window that does is taken.
    margins : sequence of int
        Pixels that are mirrored at the true border: see `mirrored`; for a network that
        does not pad, those it crops.
    remainders : sequence of int
        By how many pixels a window is longer than a multiple of the stride.

    Returns
    -------
    Plan
    """
    axes = [
        plan_axis(length, stride, radius, tile, margin, remainder)
        for length, stride, radius, margin, remainder in zip(
            shape, strides, radii, margins, remainders[: len(shape)], strict=True
        )
    ]
    tiles = tuple(Tile(spans) for spans in itertools.product(*axes))
    return Plan(tiles, tuple(spans[0].last - spans[0].first for spans in axes))


def plan_axis(
    length: int, stride: int, radius: int, tile: int, margin: int, remainder: int = 0
) -> list[Span]:
    """Cut one axis of `length` pixels into spans with windows of equal size."""
    canvas = _up(length + 2 * margin - remainder, stride)  # and the remainder
    halo = _up(radius, stride)
    count, core = _cores(canvas, stride, halo, tile - remainder)
    window = min(canvas, core + halo * min(2, count - 1))
    spans = []
    for index in range(count):
        start, stop = index * core, (index + 1) * core
        first = min(max(start - halo, 0), canvas - window)
        if index == count - 1:
            stop = canvas + remainder
        inside = max(start - margin, 0), min(stop - margin, length)
        if inside[0] < inside[1]:
            last = first + window + remainder
            spans.append(Span(*inside, first - margin, last - margin))
    return spans


def mirrored(config: NetworkConfig) -> list[int]:
    """Return how many pixels are mirrored at the true border, along each axis.

    Along Z it is as far, where sections are further apart than pixels.
    """
    in_plane = [MARGIN, MARGIN]
    if config.dims == 2:
        return in_plane
    return [math.ceil(MARGIN / max(1, config.anisotropy)), *in_plane]


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
