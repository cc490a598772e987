"""Paths and arrays to stacks."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.axes import PixelArray, check_axes, guess_axes, normal_axes
from napari_unet.data.read.folder import open_folder, open_jpeg, open_npy, open_png
from napari_unet.data.read.lazy import Foreign, is_zarr
from napari_unet.data.read.mapped import Mapped
from napari_unet.data.read.ome_zarr import open_zarr
from napari_unet.data.read.tiff import open_tiff
from napari_unet.data.stack import Stack
from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike


def as_stack(
    image: Stack | str | Path | ArrayLike,
    *,
    axes: str | None = None,
    pixel_size: Mapping[str, float] | None = None,
    unit: str | None = None,
    name: str = "",
) -> Stack:
    """Make a stack of a path, of an array or of a stack.

    Parameters
    ----------
    image : Stack, str, Path or array
        A dask or zarr array stays lazy.
    axes : str or None
        One letter per dimension, for example ``"ZYX"``. Without it a 2-D array is YX
        and a 3-D array is ZYX, unless its last axis could be colours.
    pixel_size : mapping of str to float, optional
        Size of a pixel along some of the axes.
    unit : str, optional
        Unit of `pixel_size`.
    name : str
        What to call it.

    Returns
    -------
    Stack

    Raises
    ------
    StackFormatError
        If a file cannot be read, or the axes do not fit or cannot be told.
    """
    if isinstance(image, str | Path):
        stack = open_stack(image, axes=axes)
    elif isinstance(image, Stack):
        stack = _with_axes(image, axes)
    else:
        pixels = as_pixels(image, name or "The array")
        chosen = normal_axes(axes) if axes else guess_axes(pixels, name or "The array")
        stack = Stack(pixels, chosen, name=name)
    changes: dict[str, Any] = {"pixel_size": pixel_size, "unit": unit}
    given = {key: value for key, value in changes.items() if value is not None}
    if name:
        given["name"] = name
    return replace(stack, **given) if given else stack


def open_stack(path: str | Path, *, axes: str | None = None) -> Stack:
    """Open an image file, or a folder of sections; the pixels stay on disk.

    Parameters
    ----------
    path : str or Path
        A TIFF (plain, ImageJ, OME, MetaMorph), PNG, JPEG or NPY file; an OME-Zarr
        image, one of its labels such as ``image.zarr/labels/cells``, or a zarr array;
        or a folder of TIFF or PNG files of one size, its sections in natural order.
    axes : str or None
        Overrules the axes the file states, one letter per dimension.

    Returns
    -------
    Stack

    Raises
    ------
    StackFormatError
        If it is missing, damaged, incomplete, or no image.
    """
    path = Path(path)
    if not path.exists():
        raise StackFormatError(
            f"{path} does not exist. Check the spelling, and whether the drive is "
            "there."
        )
    if is_zarr(path):
        return open_zarr(path, axes)
    if path.is_dir():
        return _with_axes(open_folder(path), axes)
    match path.suffix.lower():
        case ".npy":
            return open_npy(path, axes)
        case ".png":
            return _with_axes(open_png(path), axes)
        case ".jpg" | ".jpeg":
            return _with_axes(open_jpeg(path), axes)
    return open_tiff(path, axes)


def _with_axes(stack: Stack, axes: str | None) -> Stack:
    """Give the dimensions of a stack other letters; sizes follow their letters."""
    if axes is None:
        return stack
    axes = normal_axes(axes)
    check_axes(axes, stack.shape, stack.label)
    sizes = {
        new: stack.pixel_size[old]
        for old, new in zip(stack.axes, axes, strict=True)
        if old in stack.pixel_size
    }
    names = stack.channel_names if axes.find("C") == stack.axes.find("C") else ()
    return replace(stack, axes=axes, pixel_size=sizes, channel_names=names)


def as_pixels(image: Any, label: str = "The array") -> PixelArray:
    """Return what can be read in windows; arrays in chunks are read chunk by chunk.

    Raises
    ------
    StackFormatError
        If it is not one array, or its shape is not known.
    """
    if not isinstance(image, np.ndarray) and isinstance(image, PixelArray):
        try:
            np.dtype(image.dtype)
        except TypeError:  # not an array of NumPy types, for example a tensor
            return np.asarray(image)
        if not all(math.isfinite(length) for length in image.shape):
            raise StackFormatError(
                f"{label} has the shape {image.shape}: it is not known how large it "
                "is. Let dask find out first: array.compute_chunk_sizes()."
            )
        return Foreign(image, label) if getattr(image, "chunks", None) else image
    if isinstance(image, Mapped):
        return image
    try:
        return np.asarray(image)
    except ValueError as error:
        raise StackFormatError(
            f"This {type(image).__name__} is not one array: {error}. Pass a single "
            "array; of a multiscale layer its first level, layer.data[0]."
        ) from error
