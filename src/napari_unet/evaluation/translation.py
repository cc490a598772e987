"""Labels in other values than those of their truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_unet.data.stack import Stack


def translated(stack: Stack, values: Mapping[int, int]) -> Stack:
    """Return labels in which values stand for others; they are read when needed.

    Parameters
    ----------
    stack : Stack
        Labels.
    values : mapping of int to int
        From a value of the labels to what it becomes; others stay.

    Raises
    ------
    MaskError
        If there are no labels.
    """
    if stack.dtype.kind == "f" or stack.n_channels > 1:
        raise MaskError(
            f"{stack.label} holds {stack.dtype} values, and only labels have values "
            "that could stand for others: leave out prediction_values."
        )
    return replace(stack, pixels=_Translated(stack.pixels, values))


class _Translated:
    """Whole numbers of which some are others."""

    def __init__(self, pixels: Any, values: Mapping[int, int]) -> None:
        self._pixels, self._values = pixels, values
        self.shape, self.ndim = pixels.shape, pixels.ndim
        self.dtype = np.dtype(np.int64)

    def __getitem__(self, key: Any) -> NDArray[np.int64]:
        own = np.asarray(self._pixels[key])
        found = own.astype(np.int64)
        for value, meant in self._values.items():
            found[own == value] = meant
        return found
