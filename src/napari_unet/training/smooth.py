"""Smoothness: blur, and what lies between the random values of a coarse grid."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

SPACING = 64
"""Pixels between the random values that vary smoothly over a patch."""


def blur_radius(deviation: float) -> int:
    """Return how far `gaussian` looks, in pixels."""
    return math.ceil(3 * deviation)


def gaussian(planes: torch.Tensor, deviation: float) -> torch.Tensor:
    """Blur planes ``(..., Y, X)``; their outermost pixels are repeated outwards."""
    radius = blur_radius(deviation)
    if radius == 0:
        return planes
    taps = torch.arange(-radius, radius + 1) / deviation
    weights = functional.softmax(-(taps**2) / 2, dim=0).tolist()
    flat = planes.reshape(1, -1, *planes.shape[-2:])
    flat = functional.pad(flat, [radius] * 4, mode="replicate")
    for axis in (-2, -1):
        length = flat.shape[axis] - 2 * radius
        blurred = weights[0] * flat.narrow(axis, 0, length)
        for start, weight in enumerate(weights[1:], start=1):
            blurred.add_(flat.narrow(axis, start, length), alpha=weight)
        flat = blurred
    return flat.view(planes.shape)


def count_knots(length: int) -> int:
    """Return how many random values vary smoothly over so many pixels."""
    return max(3, length // SPACING + 1)


def between_knots(coarse: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Fill in between the values of a coarse grid ``(N, C, *knots)``, smoothly."""
    for length in shape:  # each turn takes the first axis of knots to the end, filled
        weights = _bicubic(coarse.shape[2], length)
        coarse = torch.tensordot(coarse, weights, dims=([2], [0]))
    return coarse


@lru_cache(maxsize=32)
def _bicubic(knots: int, length: int) -> torch.Tensor:
    """Return the weight of each knot at each of `length` points, (knots, length)."""
    alone = torch.eye(knots)[None, None]
    return functional.interpolate(
        alone, size=(knots, length), mode="bicubic", align_corners=True
    )[0, 0]
