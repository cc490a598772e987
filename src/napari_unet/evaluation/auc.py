"""The area under the receiver operating characteristic, counted section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS = 2**16


def count_shares(
    probability: NDArray[Any], positive: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Count pixels by their probability; the counts of sections add up.

    Parameters
    ----------
    probability : array of float, 0 to 1
    positive : array of bool, same shape
        Where the class is in the truth.

    Returns
    -------
    (2, 65536) int64 array
        Pixels of other classes and of this one in each step of probability.
    """
    steps = np.clip(probability.ravel() * _BINS, 0, _BINS - 1).astype(np.int64)
    steps += _BINS * positive.ravel()
    counts = np.bincount(steps, minlength=2 * _BINS)
    return counts.astype(np.int64, copy=False).reshape(2, _BINS)


def area_under_curve(counts: NDArray[np.int64]) -> float | None:
    """Return the share of pairs of pixels, one of the class and one not, ranked right.

    This is the area under the ROC curve by the trapezoid rule; equal probabilities
    count half (Hanley and McNeil 1982).

    Parameters
    ----------
    counts : (2, 65536) int64 array
        As `count_shares` gives them.

    Returns
    -------
    float or None
        None where the truth holds only this class, or never.
    """
    others, own = counts.astype(np.float64)
    pairs = others.sum() * own.sum()
    if pairs == 0:
        return None
    below = np.cumsum(others) - others
    return float((own * (below + others / 2)).sum() / pairs)
