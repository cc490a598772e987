"""The letters of the axes, and what counts as an array of pixels."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

from napari_unet.errors import StackFormatError

Key: TypeAlias = tuple[int | slice, ...]
"""One index or slice for each dimension."""

AXES = "TZCYXS"
"""Time, depth, channel, row, column, colour sample."""


@runtime_checkable
class PixelArray(Protocol):
    """Anything that gives pixels by index: NumPy, memory map, dask, zarr, lazy TIFF."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of a pixel."""
        ...

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Return the pixels that a tuple of indices and slices selects."""
        ...


def normal_axes(axes: str) -> str:
    """Upper case, and colour samples count as channels where there are no others."""
    axes = axes.upper()
    return axes if "C" in axes else axes.replace("S", "C")


def guess_axes(pixels: PixelArray, label: str) -> str:
    """Name the axes of an array where there is only one way to.

    Raises
    ------
    StackFormatError
        If there are several, or none.
    """
    shape = tuple(pixels.shape)
    if len(shape) < 2:
        raise StackFormatError(
            f"{label} has the shape {shape}, but an image has at least rows and "
            "columns. Choose another array."
        )
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3 and shape[-1] not in (3, 4):
        return "ZYX"
    examples = {3: 'axes="ZYX" or axes="YXC"', 4: 'axes="ZCYX" or axes="TZYX"'}
    example = examples.get(len(shape), 'axes="TZCYX"')
    raise StackFormatError(
        f"{label} has the shape {shape}, which can be read in more than one way. Say "
        f"what its axes are, for example {example}."
    )


def check_axes(axes: str, shape: tuple[int, ...], label: str) -> None:
    """Raise `StackFormatError` unless there is one known letter per dimension."""
    unknown = set(axes) - set(AXES)
    repeated = len(set(axes)) < len(axes)
    colours_alone = "S" in axes and "C" not in axes
    if unknown or repeated or colours_alone or not {"Y", "X"} <= set(axes):
        raise StackFormatError(
            f"{label} has the axes {axes!r}, but they must be different letters out of "
            "TZCYX, with Y and X among them."
        )
    if len(axes) != len(shape):
        raise StackFormatError(
            f"{label} has {len(shape)} dimensions {shape}, but the axes {axes!r} name "
            f"{len(axes)}. Give one letter per dimension."
        )
