"""Whether the sections of a stack follow each other in space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_unet.data.stack import Stack

_PAIRS = 5


def are_continuous(stack: Stack) -> bool:
    """Return whether neighbours along Z resemble each other, on the whole.

    The mean correlation of up to five pairs of sections, evenly spaced, is more than
    0.1. It is 0.2 to 0.35 in serial sections of 50 nm, 0.7 in optical sections, and
    0 ± 0.05 where unrelated images were saved as one stack.
    """
    if "Z" not in stack.axes:
        return False
    volume = stack.seen_together(3)[0]
    if len(volume) == 1:
        return False
    below = np.linspace(0, len(volume) - 2, min(_PAIRS, len(volume) - 1)).round()
    pairs = [volume[[int(index), int(index) + 1]] for index in below]
    return float(np.mean([_correlation(stack, *pair) for pair in pairs])) > 0.1


def _correlation(stack: Stack, first: int, second: int) -> float:
    """Return Pearson's correlation of two sections; 0 where one is uniform."""
    planes = [stack.section(int(i)).astype(np.float32) for i in (first, second)]
    one, other = (np.nan_to_num(plane - np.nanmean(plane)) for plane in planes)
    spread = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / spread) if spread > 0 else 0.0
