"""Saves labels and images as OME-TIFF, in their own data type and with pixel size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.data import write_stack
from napari_unet.errors import UNetError
from napari_unet.plugin.layers import stack_from_data
from napari_unet.plugin.look.levels import PARTIAL
from napari_unet.plugin.parts.choices import LOOK_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from napari_unet.data import Stack


def write(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one layer; napari has asked before if the file exists already.

    Parameters
    ----------
    path : str
    data : array
        Pixels of the layer.
    meta : dict
        Attributes of the layer.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    UNetError
        If the layer is computed only where it is looked at.
    """
    if LOOK_KEY in meta.get("metadata", {}):
        raise UNetError(PARTIAL)
    stack = stack_from_data(data, meta)
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    loops = "".join(axis for axis in stack.section_axes if axis not in "YX")
    axes = loops + ("C" if "C" in stack.axes else "") + "YX"
    written = write_stack(
        path,
        _planes(stack),
        shape=tuple(lengths[axis] for axis in axes),
        axes=axes,
        dtype=stack.dtype,
        pixel_size=stack.pixel_size,
        unit=stack.unit,
        overwrite=True,
    )
    return [str(written)]


def _planes(stack: Stack) -> Iterator[np.ndarray]:
    for index in range(stack.n_sections):
        yield from stack.section(index)
