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

from napari_unet.prediction.spans import clip, plan_axis, plan_blended_axis, ramps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.config import NetworkConfig
    from napari_unet.prediction.spans import Span

MARGIN = 4
"""Mirrored pixels at the true border. Measured on EM sections, errors at the border are
fewest with 4 to 8 of them: all that the network can see is worse, none worst."""


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
    blended : bool
    """

    tiles: tuple[Tile, ...]
    window: tuple[int, ...]
    bounds: tuple[tuple[int, int], ...]
    blended: bool = False

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
    shape: Sequence[int],
    strides: Sequence[int],
    radii: Sequence[int],
    tile: int | Sequence[int],
    margins: Sequence[int],
    remainders: Sequence[int] = (0, 0, 0),
    *,
    blended: bool = False,
    bounds: Sequence[tuple[int, int]] | None = None,
) -> Plan:
    """Cut a section or volume, or a region of it, into tiles.

    Parameters
    ----------
    shape : sequence of int
        Length of each axis, ``(Y, X)`` or ``(Z, Y, X)``, each at least 1.
    strides, radii : sequence of int
        Geometry of the network (see `napari_unet.networks.Geometry`).
    tile : int or sequence of int
        Largest length of a window along any axis, or along each. Where it is too small
        to hold more than the halo, the smallest window that does is taken.
    margins : sequence of int
        Pixels that are mirrored at the true border: see `mirrored`; for a network that
        does not pad, those it crops.
    remainders : sequence of int
        By how many pixels a window is longer than a multiple of the stride.
    blended : bool
        Whether tiles overlap and are averaged; `radii` then say how far they overlap.
    bounds : sequence of (int, int), optional
        The region whose pixels are wanted; windows carry its real surroundings.

    Returns
    -------
    Plan
    """
    bounds = tuple(bounds or ((0, length) for length in shape))
    limits = [tile] * len(shape) if isinstance(tile, int) else tile
    rules = [
        (
            shape[axis],
            strides[axis],
            radii[axis],
            limits[axis],
            margins[axis],
            remainders[axis],
        )
        for axis in range(len(shape))
    ]
    if blended:
        return _plan_blended([plan_blended_axis(*each) for each in rules], bounds)
    axes = [plan_axis(*each, along) for each, along in zip(rules, bounds, strict=True)]
    return Plan(tuple(map(Tile, itertools.product(*axes))), _window(axes), bounds)


def _plan_blended(axes: list[list[Span]], bounds: tuple[tuple[int, int], ...]) -> Plan:
    """Take the tiles of the whole that reach into a region."""
    clipped = [
        clip(spans, ramps(spans), along)
        for spans, along in zip(axes, bounds, strict=True)
    ]
    boxes = itertools.product(*(spans for spans, _ in clipped))
    weights = itertools.product(*(weights for _, weights in clipped))
    return Plan(tuple(map(Tile, boxes, weights)), _window(axes), bounds, blended=True)


def _window(axes: list[list[Span]]) -> tuple[int, ...]:
    return tuple(spans[0].last - spans[0].first for spans in axes)


def mirrored(config: NetworkConfig) -> list[int]:
    """Return how many pixels are mirrored at the true border, along each axis.

    Along Z it is as far, where sections are further apart than pixels.
    """
    in_plane = [MARGIN, MARGIN]
    if config.dims == 2:
        return in_plane
    return [math.ceil(MARGIN / max(1, config.anisotropy)), *in_plane]
