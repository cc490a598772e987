"""Where two layers lie on each other, in the pixels of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_unet.data import Stack

    Bounds = list[tuple[int, int]]

_SLACK = 0.25  # pixels by which two grids may be off


@dataclass(frozen=True)
class Overlap:
    """The part that two layers share.

    Attributes
    ----------
    first, second : list of (int, int), or None
        First pixel and the one after the last along each dimension of either layer;
        None where both are whole.
    remark : str
        What a user should know of it; nothing where both are whole.
    """

    first: Bounds | None = None
    second: Bounds | None = None
    remark: str = ""


def find_overlap(
    first: Layer, second: Layer, stacks: tuple[Stack, Stack], axes: str
) -> Overlap:
    """Find the part that two layers share, by where the viewer shows them.

    Parameters
    ----------
    first, second : Layer
        The prediction and the truth.
    stacks : (Stack, Stack)
        What they hold.
    axes : str
        Those of their dimensions.

    Raises
    ------
    MaskError
        If they do not lie on each other pixel by pixel.
    """
    shapes = [np.array([s.shape[s.axes.index(a)] for a in axes]) for s in stacks]
    names = f"{first.name!r} and {second.name!r}"
    zero = np.zeros(len(axes))
    start = _into(first, second, zero)
    steps = np.array([_into(first, second, row) - start for row in np.eye(len(axes))])
    alike = np.abs(steps - np.eye(len(axes))) * shapes[0].max() < _SLACK
    offset = np.rint(start).astype(int)
    if not alike.all():
        if (shapes[0] == shapes[1]).all():
            return Overlap(
                remark=f"{names} have the same shape and another pixel size or "
                "direction in the viewer: they were compared pixel by pixel."
            )
        raise MaskError(
            f"{names} have the shapes {(*shapes[0].tolist(),)} and "
            f"{(*shapes[1].tolist(),)}, and pixels of different size or direction. "
            "Give both the same scale, or choose the truth of this prediction."
        )
    if np.abs(start - offset).max() > _SLACK:
        raise MaskError(
            f"{names} lie {', '.join(f'{each:.2f}' for each in start)} pixels apart "
            f"along {', '.join(axes)}: their pixels do not lie on each other. Set the "
            "translate of one to that of the other."
        )
    return _cut(shapes[0], shapes[1], offset, names, axes)


def _cut(
    first: np.ndarray, second: np.ndarray, offset: np.ndarray, names: str, axes: str
) -> Overlap:
    """Cut both down to what they share; `offset` is where the first begins."""
    if not offset.any() and (first == second).all():
        return Overlap()
    low, high = np.maximum(offset, 0), np.minimum(offset + first, second)
    inside = (first <= second).all() or (second <= first).all()
    if (low >= high).any() or not (offset.any() or inside):
        raise MaskError(
            f"{names} have the shapes {(*first.tolist(),)} and {(*second.tolist(),)} "
            "and do not lie on each other. Choose the truth of this prediction, or "
            "set its translate to where it belongs."
        )
    words = ", ".join(
        f"{axis} {start} to {stop - 1}"
        for axis, start, stop in zip(axes, low.tolist(), high.tolist(), strict=True)
    )
    return Overlap(
        first=_pairs(low - offset, high - offset),
        second=_pairs(low, high),
        remark=f"Only what {names} share was compared: {words} of the truth.",
    )


def _pairs(low: np.ndarray, high: np.ndarray) -> Bounds:
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _into(first: Layer, second: Layer, point: np.ndarray) -> np.ndarray:
    """Return where a pixel of one layer lies in the other."""
    world = np.array(first.data_to_world(point), float)
    for i, (own, other) in enumerate(zip(first.units, second.units, strict=True)):
        if own.is_compatible_with(other):  # else one of them has no size
            world[i] *= (1 * own).to(other).magnitude
    return np.array(second.world_to_data(world), float)
