"""Labels anew from probabilities, with more or less of a class than was predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def decide(
    shares: Sequence[NDArray[Any]], thresholds: Sequence[float]
) -> NDArray[np.uint8]:
    """Return the class of each pixel.

    A class with the threshold t competes with its odds divided by t / (1 - t). So of
    two classes the second one, whose threshold is t, is taken where its probability is
    above t; and where all thresholds are 0.5 the most probable class is taken.

    Parameters
    ----------
    shares : sequence of ndarray
        The probability of each class, all of one shape.
    thresholds : sequence of float
        One for each class, between 0 and 1.

    Returns
    -------
    ndarray of uint8
        Class indices, of that shape.
    """
    scores = (
        share if threshold == 0.5 else share * np.float32((1 - threshold) / threshold)
        for share, threshold in zip(shares, thresholds, strict=True)
    )
    highest = np.array(next(scores))
    classes = np.zeros(highest.shape, np.uint8)
    for number, score in enumerate(scores, start=1):
        above = score > highest
        classes[above] = number
        np.maximum(highest, score, out=highest)
    return classes


def relabel(
    labels: NDArray[Any],
    shares: Sequence[NDArray[Any]],
    values: Sequence[int],
    before: Sequence[float],
    after: Sequence[float],
) -> None:
    """Change labels, in place, from those of some thresholds to those of others.

    Pixels that have another value than `before` would give them stay: somebody has
    painted them, or they are not predicted yet.

    Parameters
    ----------
    labels : ndarray
        In mask values.
    shares : sequence of ndarray
        The probability of each class, in the shape of `labels`.
    values : sequence of int
        The mask value of each class.
    before, after : sequence of float
        Thresholds, as for `decide`.
    """
    known = np.asarray(values, labels.dtype)
    old, new = decide(shares, before), decide(shares, after)
    np.copyto(labels, known[new], where=(old != new) & (labels == known[old]))
