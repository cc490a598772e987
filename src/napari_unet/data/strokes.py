"""Strokes as a person paints them on a few sections, made from a whole mask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.stack import Stack

    Mask = NDArray[np.bool_]

_REACH = 1 / 16  # of the shorter side: how far a stroke goes from where it begins
_ATTEMPTS = 1000


def draw_strokes(
    labels: Stack,
    sections: Sequence[int],
    *,
    share: float = 0.015,
    seed: int = 0,
) -> Stack:
    """Paint strokes along the middle of what a mask shows.

    Parameters
    ----------
    labels : Stack
        A mask (Z, Y, X) or (Y, X), one value per pixel.
    sections : sequence of int
        Those that are painted on.
    share : float
        Of the pixels of these sections; at most that many are painted, as many for
        each value.
    seed : int
        The same seed gives the same strokes.

    Returns
    -------
    Stack
        Of the shape of `labels`, uint8: 0 where nothing is painted, and 1, 2, … for its
        values in ascending order.
    """
    random = np.random.default_rng(seed)
    mask = np.asarray(labels)
    painted = np.zeros(mask.shape, np.uint8)
    planes, strokes = (each.reshape(-1, *each.shape[-2:]) for each in (mask, painted))
    values = np.unique(planes[list(sections)])
    budget = int(share * planes[0].size / len(values))
    for index in sections:
        for number, value in enumerate(values, start=1):
            strokes[index][_strokes(planes[index] == value, budget, random)] = number
    name = f"{labels.name.removesuffix(' labels')} strokes"
    return replace(labels, pixels=painted, name=name, source=None)


def _strokes(region: Mask, budget: int, random: np.random.Generator) -> Mask:
    """Paint inside of a region, (Y, X), until the next stroke would be too much."""
    from scipy.ndimage import binary_dilation
    from skimage.morphology import skeletonize

    middle = skeletonize(region)
    places = np.argwhere(middle)
    rows, columns = np.ogrid[: region.shape[0], : region.shape[1]]
    painted = np.zeros_like(region)
    for _ in range(_ATTEMPTS if len(places) else 0):
        row, column = random.choice(places)
        distance = np.hypot(rows - row, columns - column)
        piece = middle & (distance < _REACH * min(region.shape))
        more = painted | (binary_dilation(piece, np.ones((3, 3), bool)) & region)
        if more.sum() > budget:
            break
        painted = more
    return painted
