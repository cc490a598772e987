"""Stacks of the tests, written to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data import write_stack

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data import Stack


def save_stack(path: Path, stack: Stack) -> Path:
    """Write a stack with all that it states."""
    return write_stack(
        path,
        np.asarray(stack),
        shape=stack.shape,
        axes=stack.axes,
        dtype=stack.dtype,
        pixel_size=stack.pixel_size,
        unit=stack.unit,
    )
