"""Images of equal shape as the channels of one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.stack import Stack


class Channels:
    """Pixels of equal shape as the channels of one image, read when they are needed.

    Parameters
    ----------
    parts : sequence of PixelArray
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = parts
        self.shape = (len(parts), *parts[0].shape)
        self.dtype = np.result_type(*(each.dtype for each in parts))
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the pixels under one index or slice per dimension."""
        chosen = self._parts[key[0]] if isinstance(key[0], slice) else [key[0]]
        return np.stack([np.asarray(each[key[1:]]) for each in chosen])


def as_channels(parts: Sequence[Stack], names: Sequence[str] = ()) -> Stack:
    """Make one stack of several without channels, which lies where the first one does.

    Parameters
    ----------
    parts : sequence of Stack
        Of equal shape.
    names : sequence of str
        One for each, or none.
    """
    first = parts[0]
    return replace(
        first,
        pixels=Channels([each.pixels for each in parts]),
        axes=f"C{first.axes}",
        channel_names=tuple(names),
    )
