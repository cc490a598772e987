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


def plan_axis(
    length: int,
    stride: int,
    radius: int,
    tile: int,
    margin: int,
    remainder: int = 0,
    bounds: tuple[int, int] | None = None,
) -> list[Span]:
    """Cut one axis of `length` pixels into spans with windows of equal size.

    Their cores cover `bounds`, or all of it, with as few windows as possible, and
    those as short as possible.
    """
    start, stop = bounds or (0, length)
    canvas = _up(length + 2 * margin - remainder, stride)  # and the remainder
    halo = _up(radius, stride)
    first = max((start + margin) // stride * stride - halo, 0)
    last = min(_up(stop + margin, stride) + halo, canvas)
    room, inner = last - first, last - first - 2 * halo
    count = 1
    if inner > stride and room + remainder > tile:
        fitting = (tile - remainder) // stride * stride - 2 * halo
        count = -(-inner // max(fitting, stride))
    core = _up(math.ceil(inner / count), stride)
    window = room if count == 1 else core + 2 * halo
    spans = []
    for index in range(1 if count == 1 else -(-inner // core)):
        begin = first + index * core
        end = begin + window - halo - margin if begin + window < last else stop
        spans.append(
            Span(
                max(begin + halo - margin, start) if index else start,
                min(end, stop),
                min(begin, last - window) - margin,
                min(begin, last - window) - margin + window + remainder,
            )
        )
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
