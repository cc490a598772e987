"""A part of an image that is to be predicted, among its real surroundings."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.data.excerpt import Window
from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.stack import Stack


@dataclass(frozen=True)
class Region:
    """A box of an image: one range per axis of its labels.

    Attributes
    ----------
    axes : str
        Those of the labels with rows and columns last, for example ``"TZYX"``.
    bounds : tuple of (int, int)
        First pixel and the one after the last along each of `axes`.
    """

    axes: str
    bounds: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each of `axes`."""
        return tuple(stop - start for start, stop in self.bounds)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    def along(self, axes: str) -> tuple[tuple[int, int], ...]:
        """Return the bounds along some axes; ``(0, 1)`` for one that is not there."""
        known = dict(zip(self.axes, self.bounds, strict=True))
        return tuple(known.get(axis, (0, 1)) for axis in axes)


def find_region(
    stack: Stack, region: str | Sequence[Sequence[int] | slice] | None = None
) -> Region:
    """Return the part of a stack that `region` names; all of it by default.

    Parameters
    ----------
    stack : Stack
    region : str, sequence of (start, stop) or of slice, or None
        As ``"2:8,0:512,100:612"``, one range per axis of the labels, rows and columns
        last; a missing number is the border, and axes left out in front are whole.
        Negative numbers count from the end.

    Raises
    ------
    ConfigError
        If it cannot be read, has too many ranges, or holds no pixel of the image.

    Examples
    --------
    >>> find_region(as_stack(image), "0:64,128:192").shape  # doctest: +SKIP
    (30, 64, 64)
    """
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    axes = "".join(axis for axis in stack.section_axes if axis not in "YX") + "YX"
    ranges = _ranges(region)
    if len(ranges) > len(axes):
        raise ConfigError(
            f"The region {region!r} has {len(ranges)} ranges, but {stack.label} has "
            f"the axes {axes}: give at most {len(axes)}, separated by commas."
        )
    ranges = [slice(None)] * (len(axes) - len(ranges)) + ranges
    bounds = []
    for axis, each in zip(axes, ranges, strict=True):
        start, stop, step = each.indices(lengths[axis])
        if step != 1:
            raise ConfigError(
                f"The region {region!r} has a step of {step} along {axis}, but a "
                "region holds every pixel from its start to its stop: leave it out."
            )
        if start >= stop:
            raise ConfigError(
                f"The region {region!r} holds nothing of {stack.label}: along {axis} "
                f"it is {each.start}:{each.stop}, and the image has {lengths[axis]}."
            )
        bounds.append((start, stop))
    return Region(axes, tuple(bounds))


def crop(stack: Stack, region: Region) -> Stack:
    """Return a part of a stack as a stack of its own; nothing is read yet.

    Parameters
    ----------
    stack : Stack
    region : Region
        Axes of the stack that it does not name stay whole.
    """
    known = dict(zip(region.axes, region.bounds, strict=True))
    bounds = [
        known.get(axis, (0, length))
        for axis, length in zip(stack.axes, stack.shape, strict=True)
    ]
    return replace(stack, pixels=Window(stack.pixels, bounds))


def _ranges(region: str | Sequence[Sequence[int] | slice] | None) -> list[slice]:
    if region is None:
        return []
    if not isinstance(region, str):
        return [each if isinstance(each, slice) else slice(*each) for each in region]
    ranges = []
    for part in region.split(","):
        found = re.fullmatch(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*", part)
        if found is None:
            raise ConfigError(
                f"The region is {region!r}, but it must be ranges such as "
                "0:10,0:512,0:512, one per axis."
            )
        ranges.append(slice(*(int(end) if end else None for end in found.groups())))
    return ranges
