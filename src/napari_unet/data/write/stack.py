"""Write a stack section by section: complete under its name, or not at all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from napari_unet.data.write.layout import Layout
from napari_unet.errors import OutputExistsError, StackFormatError
from napari_unet.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

# OME has no such types; values that do not fit the other type are refused.
_OME_TYPES = {
    "bool": "uint8",
    "int64": "int32",
    "uint64": "uint32",
    "float16": "float32",
}
_CENTIMETRES = {"Å": 1e-8, "nm": 1e-7, "µm": 1e-4, "mm": 0.1, "cm": 1.0}
CLASSIC_LIMIT = 2**32 - 2**25
"""Bytes of pixels up to which TIFF of 32 bits will do: tifffile's own margin."""


def write_stack(
    path: str | Path,
    sections: Iterable[NDArray[Any]],
    *,
    shape: Sequence[int],
    axes: str,
    dtype: DTypeLike,
    pixel_size: Mapping[str, float] | None = None,
    unit: str | None = None,
    channel_names: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write planes as they come into a compressed OME-TIFF.

    The file is written under another name in the same folder and renamed when it is
    complete, so `path` never holds half a result. Memory is that of a plane.

    Parameters
    ----------
    path : str or Path
        Name of the file, ending in ``.tif`` or ``.tiff``; its folder is made if needed.
    sections : iterable of ndarray
        The (Y, X) planes, in C order over all the axes before YX.
    shape : sequence of int
        Shape of the whole stack.
    axes : str
        One letter per dimension, the last two being ``YX``: ``"ZYX"``, ``"ZCYX"``, …
    dtype : dtype
        Type of the pixels. What OME does not know is written as what it knows: bool as
        uint8 with 0 and 1, float16 as float32, 64-bit integers as 32-bit ones.
    pixel_size : mapping of str to float, optional
        Size of a pixel along Z, Y and X in `unit`, and along T in seconds.
    unit : str, optional
        Unit of length, for example ``"nm"``.
    channel_names : sequence of str
        One name per entry of C, or empty.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is not set.
    StackFormatError
        If the axes, the shape and the planes do not fit each other.
    UNetError
        If the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    shape = tuple(int(length) for length in shape)
    stored = stored_type(dtype)
    layout = Layout(
        axes, shape, stored.name, pixel_size or {}, unit, tuple(channel_names)
    )
    check_layout(path, layout)
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists. Choose another name, or say that it may be overwritten "
            "(--overwrite, overwrite=True)."
        )
    source = iter(sections)
    planes = _checked_planes(source, shape, stored, path)
    options = {"shape": shape, "dtype": stored, **ome_options(layout)}
    with replacing(path) as part:
        _write(part, planes, options)
        _check_exhausted(source, shape, path)
    return path


def _write(path: Path, planes: Iterator[NDArray[Any]], options: dict[str, Any]) -> None:
    import tifffile

    size = math.prod(options["shape"]) * options["dtype"].itemsize
    with tifffile.TiffWriter(path, bigtiff=size > CLASSIC_LIMIT, ome=True) as writer:
        writer.write(
            planes,
            photometric="minisblack",
            compression="zlib",
            maxworkers=1,
            **options,
        )


def stored_type(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the type in which OME-TIFF keeps values of a type."""
    return np.dtype(_OME_TYPES.get(np.dtype(dtype).name, dtype)).newbyteorder("=")


def check_layout(path: Path, layout: Layout) -> None:
    """Raise `StackFormatError` unless there can be such a file of such an array."""
    axes, shape = layout.axes, layout.shape
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise StackFormatError(
            f"{path.name} is to be written as TIFF; give it a name ending in .tif."
        )
    letters = set(axes) <= set("TZCYX") and len(set(axes)) == len(axes) == len(shape)
    if not (letters and axes.endswith("YX") and min(shape, default=0) > 0):
        raise StackFormatError(
            f"{path.name} cannot be written with the axes {axes!r} and the shape "
            f"{shape}: the axes must be one letter out of TZCYX per dimension, ending "
            "in YX."
        )
    dtype = np.dtype(layout.dtype)
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise StackFormatError(f"{path.name} cannot hold values of type {dtype}.")
    channels = shape[axes.index("C")] if "C" in axes else 1
    if layout.channel_names and len(layout.channel_names) != channels:
        raise StackFormatError(
            f"{path.name} has {channels} channels but {len(layout.channel_names)} "
            "names."
        )


def _checked_planes(
    source: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    path: Path,
) -> Iterator[NDArray[Any]]:
    expected = math.prod(shape[:-2])
    count = 0
    for count, section in enumerate(source, 1):
        plane = np.asarray(section)
        if plane.shape != shape[-2:]:
            raise StackFormatError(
                f"{path.name} got plane {count} of the shape {plane.shape}, but "
                f"expects {expected} planes of {shape[-2:]}."
            )
        stored = np.ascontiguousarray(plane, dtype)
        if dtype.kind != "f" and not np.array_equal(stored, plane):
            raise StackFormatError(
                f"{path.name} got {plane.dtype} values from {plane.min()} to "
                f"{plane.max()}, which {dtype} cannot hold."
            )
        yield stored
    if count < expected:
        raise StackFormatError(f"{path.name} got {count} planes instead of {expected}.")


def _check_exhausted(
    source: Iterator[NDArray[Any]], shape: tuple[int, ...], path: Path
) -> None:
    if next(source, None) is not None:
        raise StackFormatError(
            f"{path.name} got more than the {math.prod(shape[:-2])} planes its shape "
            f"{shape} has."
        )


def ome_options(layout: Layout) -> dict[str, Any]:
    """Say in the words of tifffile what the axes are, and how large a pixel is."""
    # OME always has all five axes; the description says which of those of length 1
    # belong to the stack.
    axes, pixel_size = layout.axes, layout.pixel_size
    metadata: dict[str, Any] = {"axes": axes, "Description": f"axes={axes}"}
    # Not random, so that the same result gives the same bytes; no file names another.
    metadata["UUID"] = str(uuid5(NAMESPACE_URL, repr(layout)))
    for axis in "ZYX":
        if axis in pixel_size:
            metadata[f"PhysicalSize{axis}"] = float(pixel_size[axis])
            metadata[f"PhysicalSize{axis}Unit"] = layout.unit or "pixel"
    if "T" in pixel_size:
        metadata["TimeIncrement"] = float(pixel_size["T"])
        metadata["TimeIncrementUnit"] = "s"
    if layout.channel_names:
        metadata["Channel"] = {"Name": list(layout.channel_names)}
    return {"metadata": metadata, **_resolution(pixel_size, layout.unit)}


def _resolution(pixel_size: Mapping[str, float], unit: str | None) -> dict[str, Any]:
    """Pixels per centimetre, for programs that know plain TIFF only."""
    scale = _CENTIMETRES.get(unit or "")
    if scale is None or not {"X", "Y"} <= set(pixel_size):
        return {}
    per_centimetre = tuple(1 / (scale * pixel_size[axis]) for axis in "XY")
    return {"resolution": per_centimetre, "resolutionunit": "CENTIMETER"}
