"""Where tiles lie, so that together they equal the whole.

A section, or a volume for a 3-D network, is extended by mirroring it at its true
border, to a canvas that starts a margin before it and ends on the network's grid. The
whole-image prediction is the network applied to that canvas. A tile is a window of the
canvas: it starts on the grid, and around the core it answers for it carries as much
real surrounding as the network can see, or ends where the canvas ends. So its core is
exactly what the whole-image prediction gives there (the overlap-tile strategy of
Ronneberger et al. 2015, figure 2). A network that does not pad answers for the centre
of a window only: its margin is what it crops.

A network that sees all of a tile has no such cores. Its tiles overlap, and each answers
for all of its window but a margin, with weights that fall towards the neighbours: see
`plan_blended_axis`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import reduce
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
    """A box of a section or volume: one span per axis.

    Attributes
    ----------
    spans : tuple of Span
    ramps : tuple of ndarray of float32, or ()
        The weights of its core along each axis, where tiles are blended.
    """

    spans: tuple[Span, ...]
    ramps: tuple[np.ndarray, ...] = field(default=(), compare=False)

    @property
    def core(self) -> tuple[slice, ...]:
        """The core in the image."""
        return tuple(span.core for span in self.spans)

    @property
    def core_in_window(self) -> tuple[slice, ...]:
        """The core in the window."""
        return tuple(span.core_in_window for span in self.spans)

    @property
    def weights(self) -> np.ndarray:
        """The weights of its core, which all tiles together bring to 1 everywhere."""
        return reduce(np.multiply.outer, self.ramps)


@dataclass(frozen=True)
class Plan:
    """All tiles of a section or volume.

    Attributes
    ----------
    tiles : tuple of Tile
        Their cores cover each pixel exactly once; or at least once, and by weights,
        where they are blended.
    window : tuple of int
        Length of every tile's window along each axis.
    blended : bool
    """

    tiles: tuple[Tile, ...]
    window: tuple[int, ...]
    blended: bool = False


def plan_tiles(
    shape: Sequence[int],
    strides: Sequence[int],
    radii: Sequence[int],
    tile: int,
    margins: Sequence[int],
    remainders: Sequence[int] = (0, 0, 0),
    *,
    blended: bool = False,
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
    blended : bool
        Whether tiles overlap and are averaged; `radii` then say how far they overlap.

    Returns
    -------
    Plan
    """
    cut = plan_blended_axis if blended else plan_axis
    axes = [
        cut(length, stride, radius, tile, margin, remainder)
        for length, stride, radius, margin, remainder in zip(
            shape, strides, radii, margins, remainders[: len(shape)], strict=True
        )
    ]
    window = tuple(spans[0].last - spans[0].first for spans in axes)
    boxes = itertools.product(*axes)
    if not blended:
        return Plan(tuple(map(Tile, boxes)), window)
    weights = itertools.product(*map(_ramps, axes))
    return Plan(tuple(map(Tile, boxes, weights)), window, blended=True)


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


def plan_blended_axis(
    length: int, stride: int, radius: int, tile: int, margin: int, remainder: int = 0
) -> list[Span]:
    """Cut one axis into as few windows as overlap by `radius` and both their margins.

    A core is all of its window but the margins, which see little but the border.
    """
    canvas = _up(length + 2 * margin - remainder, stride)  # and the remainder
    overlap = _up(radius + 2 * margin, stride)
    fitting = (tile - remainder) // stride * stride
    window = min(canvas, max(fitting, 2 * overlap))
    steps = -(-(canvas - window) // (window - overlap)) if canvas > window else 0
    spans = []
    for index in range(steps + 1):
        first = (canvas - window) * index // max(1, steps) // stride * stride
        last = first + window + remainder
        stop = min(last - 2 * margin, length)
        spans.append(Span(first, stop, first - margin, last - margin))
    return spans


def _ramps(spans: list[Span]) -> list[np.ndarray]:
    """Return weights that fall linearly to where a core ends inside the image.

    They are never 0; together they are 1 everywhere.
    """
    length = spans[-1].stop
    sums = np.zeros(length)
    ramps = []
    for span in spans:
        ramp = np.full(span.stop - span.start, float(length))
        rising = np.arange(1, len(ramp) + 1)
        if span.start > 0:
            ramp = np.minimum(ramp, rising)
        if span.stop < length:
            ramp = np.minimum(ramp, rising[::-1])
        sums[span.core] += ramp
        ramps.append(ramp)
    return [
        (ramp / sums[span.core]).astype(np.float32)
        for span, ramp in zip(spans, ramps, strict=True)
    ]


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
