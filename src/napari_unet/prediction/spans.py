"""Where tiles lie along one axis.

An axis of the image is extended by mirroring it at its true border, to a canvas that
starts a margin before it and ends on the network's grid. A window is a range of the
canvas that starts on the grid; the core is the part of it that is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


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

    def read(self, length: int) -> tuple[int, int]:
        """Return the pixels of an axis so long that its window is made of.

        Those beyond the border are the mirror image of pixels within.
        """
        places = mirror(self.first, self.last, length)
        return int(places.min()), int(places.max()) + 1


@dataclass(frozen=True)
class Axis:
    """What a plan must know of one axis.

    Attributes
    ----------
    length : int
        Pixels of the image.
    stride, radius : int
        Of the network (see `napari_unet.networks.Geometry`).
    margin : int
        Pixels that are mirrored at the true border.
    remainder : int
        By how many pixels a window is longer than a multiple of the stride.
    bounds : (int, int)
        The pixels that are wanted.
    """

    length: int
    stride: int
    radius: int
    margin: int
    remainder: int
    bounds: tuple[int, int]

    @property
    def canvas(self) -> int:
        """Length of the canvas, less the remainder."""
        return _up(self.length + 2 * self.margin - self.remainder, self.stride)

    @property
    def halo(self) -> int:
        """The radius on the grid."""
        return _up(self.radius, self.stride)

    @property
    def room(self) -> tuple[int, int]:
        """From where to where on the canvas the network looks at what is wanted."""
        start, stop = (each + self.margin for each in self.bounds)
        first = max(start // self.stride * self.stride - self.halo, 0)
        return first, min(_up(stop, self.stride) + self.halo, self.canvas)

    @property
    def least(self) -> int:
        """Pixels of the canvas that any network computes for what is wanted."""
        first, last = self.room
        start = max(first, (self.bounds[0] + self.margin) // self.stride * self.stride)
        stop = min(last, _up(self.bounds[1] + self.margin, self.stride))
        if self.bounds == (0, self.length):
            start, stop = 0, self.canvas
        return stop - start + self.remainder

    def limits(self, *, blended: bool) -> list[int]:
        """Return window lengths worth a look: for one window, for two, and so on."""
        if blended:
            overlap = _up(self.radius + 2 * self.margin, self.stride)
            inner, outer, shortest = self.canvas - overlap, overlap, overlap
        else:
            first, last = self.room
            inner, outer = last - first - 2 * self.halo, 2 * self.halo
            shortest = self.stride
        whole = max(inner, shortest) + outer
        found = [whole]
        count = 2
        while found[-1] > shortest + outer:
            core = _up(math.ceil(inner / count), self.stride)
            found.append(max(core, shortest) + outer)
            count = max(count + 1, -(-inner // max(core - self.stride, self.stride)))
        return [each + self.remainder for each in found]


def plan_axis(axis: Axis, tile: int) -> list[Span]:
    """Cut an axis into spans with windows of equal length, at most `tile` if possible.

    Their cores cover what is wanted with as few windows as possible, and those as
    short as possible.
    """
    (first, last), halo, margin = axis.room, axis.halo, axis.margin
    inner = last - first - 2 * halo
    count = 1
    if inner > axis.stride and last - first + axis.remainder > tile:
        fitting = (tile - axis.remainder) // axis.stride * axis.stride - 2 * halo
        count = -(-inner // max(fitting, axis.stride))
    core = _up(math.ceil(inner / count), axis.stride)
    window = last - first if count == 1 else core + 2 * halo
    start, stop = axis.bounds
    spans = []
    for index in range(1 if count == 1 else -(-inner // core)):
        begin = first + index * core
        end = begin + window - halo - margin if begin + window < last else stop
        spans.append(
            Span(
                max(begin + halo - margin, start) if index else start,
                min(end, stop),
                min(begin, last - window) - margin,
                min(begin, last - window) - margin + window + axis.remainder,
            )
        )
    return spans


def plan_blended_axis(axis: Axis, tile: int) -> list[Span]:
    """Cut an axis into as few windows as overlap by the radius and both their margins.

    A core is all of its window but the margins, which see little but the border.
    """
    canvas, stride, margin = axis.canvas, axis.stride, axis.margin
    overlap = _up(axis.radius + 2 * margin, stride)
    fitting = (tile - axis.remainder) // stride * stride
    window = min(canvas, max(fitting, 2 * overlap))
    steps = -(-(canvas - window) // (window - overlap)) if canvas > window else 0
    spans = []
    for index in range(steps + 1):
        first = (canvas - window) * index // max(1, steps) // stride * stride
        last = first + window + axis.remainder
        stop = min(last - 2 * margin, axis.length)
        spans.append(Span(first, stop, first - margin, last - margin))
    return spans


def ramps(spans: list[Span]) -> list[np.ndarray]:
    """Return weights that fall linearly to where a core ends inside the image.

    They are never 0; together they are 1 everywhere.
    """
    length = spans[-1].stop
    sums = np.zeros(length)
    found = []
    for span in spans:
        ramp = np.full(span.stop - span.start, float(length))
        rising = np.arange(1, len(ramp) + 1)
        if span.start > 0:
            ramp = np.minimum(ramp, rising)
        if span.stop < length:
            ramp = np.minimum(ramp, rising[::-1])
        sums[span.core] += ramp
        found.append(ramp)
    return [
        (ramp / sums[span.core]).astype(np.float32)
        for span, ramp in zip(spans, found, strict=True)
    ]


def clip(
    spans: list[Span], weights: list[np.ndarray], bounds: tuple[int, int]
) -> tuple[list[Span], list[np.ndarray]]:
    """Leave out the cores, and parts of cores, that lie outside some bounds."""
    kept, of_kept = [], []
    for span, ramp in zip(spans, weights, strict=True):
        start, stop = max(span.start, bounds[0]), min(span.stop, bounds[1])
        if start < stop:
            kept.append(Span(start, stop, span.first, span.last))
            of_kept.append(ramp[start - span.start : stop - span.start])
    return kept, of_kept


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


def _up(value: int, stride: int) -> int:
    return math.ceil(value / stride) * stride
