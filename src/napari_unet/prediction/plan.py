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
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.prediction.spans import clip, plan_axis, plan_blended_axis, ramps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.config import NetworkConfig
    from napari_unet.prediction.spans import Axis, Span

MARGIN = 4
"""Mirrored pixels at the true border. Measured on EM sections, errors at the border are
fewest with 4 to 8 of them: all that the network can see is worse, none worst."""

START = 2**14
"""Pixels that a pass of the network costs beside those of its window."""


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
    bounds : tuple of (int, int)
        The pixels that the cores cover, along each axis: the image, or a region of it.
    halo : tuple of int
        How far a window reaches beyond its core along each axis, inside the image.
    least : int
        Pixels that any plan computes: those of the canvas.
    blended : bool
    batch : int
        Windows that are given to the network at once.
    memory : int
        Bytes that a prediction is expected to take at most; 0 where not measured.
    frames : int
        How many sections, or volumes, are cut so.
    """

    tiles: tuple[Tile, ...]
    window: tuple[int, ...]
    bounds: tuple[tuple[int, int], ...]
    halo: tuple[int, ...]
    least: int
    blended: bool = False
    batch: int = 1
    memory: int = 0
    frames: int = 1

    @property
    def twice(self) -> float:
        """Pixels that are computed again for other tiles, as a share of the canvas."""
        return len(self.tiles) * math.prod(self.window) / self.least - 1

    def to_dict(self) -> dict[str, Any]:
        """Return what a user may want to know, as plain values."""
        return {
            "tiles": len(self.tiles) * self.frames,
            "tile": list(self.window),
            "tiles_at_once": self.batch,
            "halo": list(self.halo),
            "computed_twice": round(self.twice, 4),
            "memory_mb": round(self.memory / 2**20),
            "exact": not self.blended or len(self.tiles) == 1,
        }

    def read(self, shape: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Return the pixels of a section or volume that its windows are made of."""
        axes = zip(*(tile.spans for tile in self.tiles), strict=True)
        both = [
            [span.read(length) for span in set(spans)]
            for spans, length in zip(axes, shape, strict=True)
        ]
        return tuple(
            (min(first for first, _ in each), max(last for _, last in each))
            for each in both
        )


def plan_tiles(
    axes: Sequence[Axis], tile: int | Sequence[int], *, blended: bool = False
) -> Plan:
    """Cut a section or volume, or a region of it, into tiles.

    Parameters
    ----------
    axes : sequence of Axis
        ``(Y, X)`` or ``(Z, Y, X)``.
    tile : int or sequence of int
        Largest length of a window along any axis, or along each. Where it is too small
        to hold more than the halo, the smallest window that does is taken.
    blended : bool
        Whether tiles overlap and are averaged; radii then say how far they overlap.

    Returns
    -------
    Plan
    """
    limits = [tile] * len(axes) if isinstance(tile, int) else tile
    cut = plan_blended_axis if blended else plan_axis
    spans = [cut(axis, limit) for axis, limit in zip(axes, limits, strict=True)]
    boxes = map(Tile, itertools.product(*spans))
    if blended:
        clipped = [
            clip(each, ramps(each), axis.bounds)
            for each, axis in zip(spans, axes, strict=True)
        ]
        weights = itertools.product(*(ramps for _, ramps in clipped))
        boxes = map(Tile, itertools.product(*(kept for kept, _ in clipped)), weights)
    return Plan(
        tuple(boxes),
        tuple(each[0].last - each[0].first for each in spans),
        tuple(axis.bounds for axis in axes),
        tuple(axis.halo for axis in axes),
        math.prod(axis.least for axis in axes),
        blended,
    )


def join(plan: Plan, parts: Sequence[Plan]) -> Plan:
    """Return a plan of the tiles of other plans, for parts of what this one is for."""
    return replace(
        plan,
        tiles=tuple(tile for part in parts for tile in part.tiles),
        window=tuple(map(max, zip(*(part.window for part in parts), strict=True))),
        batch=1,
    )


def best_window(
    axes: Sequence[Axis], pixels: int, *, longest: int | None, blended: bool = False
) -> tuple[int, ...] | None:
    """Return the window that computes the fewest pixels in all, or None if none fits.

    Parameters
    ----------
    axes : sequence of Axis
    pixels : int
        Most pixels of a window.
    longest : int or None
        Longest window along any axis.
    blended : bool
        Whether tiles overlap and are averaged.
    """
    cut = plan_blended_axis if blended else plan_axis
    options = []
    for axis in axes:
        limits = axis.limits(blended=blended)
        fitting = [each for each in limits if longest is None or each <= longest]
        spans = [cut(axis, each) for each in fitting or limits[-1:]]
        options.append([(len(each), each[0].last - each[0].first) for each in spans])
    found = _fewest(options, pixels)
    return None if found is None else tuple(found)


def _fewest(options: list[list[tuple[int, int]]], pixels: int) -> list[int] | None:
    """Choose a window out of (count, length) along each axis."""
    shape = [len(each) for each in options]
    grids = [
        np.array(each, np.int64)[index]
        for each, index in zip(options, np.indices(shape), strict=True)
    ]
    counts = math.prod(grid[..., 0] for grid in grids)
    sizes = math.prod(grid[..., 1] for grid in grids)
    costs = np.where(sizes <= pixels, counts * (sizes + START), np.inf)
    best = np.unravel_index(int(costs.argmin()), costs.shape)
    if not np.isfinite(costs[best]):
        return None
    return [each[i][1] for each, i in zip(options, best, strict=True)]


def mirrored(config: NetworkConfig) -> list[int]:
    """Return how many pixels are mirrored at the true border, along each axis.

    Along Z it is as far, where sections are further apart than pixels.
    """
    in_plane = [MARGIN, MARGIN]
    if config.dims == 2:
        return in_plane
    return [math.ceil(MARGIN / max(1, config.anisotropy)), *in_plane]
