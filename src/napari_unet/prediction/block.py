"""What a prediction gives, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

Place = tuple[int | slice, ...]
"""An index into the array of labels of the region that is predicted."""


@dataclass(frozen=True)
class Block:
    """A finished piece of a prediction.

    All blocks together cover each pixel exactly once.

    Attributes
    ----------
    place : tuple of int and slice
        Where it belongs in the labels of the region (see `Region.axes`): numbers along
        the axes that are looped over, slices along those that the network sees.
    labels : ndarray of uint8, shape (Y, X) or (Z, Y, X)
        The most probable class of each pixel, as class index; or of float32, for
        regression, the standardised value.
    probabilities : ndarray of float32, shape (classes, Y, X) or (classes, Z, Y, X)
        In class order, together 1; or None if they are not wanted.
    maps : dict of str to ndarray of float32, shape of `labels`
        What else was wanted, such as ``"entropy"``, by name.
    """

    place: Place
    labels: np.ndarray
    probabilities: np.ndarray | None
    maps: Mapping[str, np.ndarray]


def with_classes(place: Place) -> Place:
    """Return where a block's probabilities belong: the classes come before rows.

    The probabilities of volumes must have their class axis moved there first:
    ``np.moveaxis(probabilities, 0, -3)``.
    """
    return (*place[:-2], slice(None), *place[-2:])
