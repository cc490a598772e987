"""A stack of sections: pixels that may stay on disk, and what their axes mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from napari_unet.data.axes import PixelArray, check_axes
from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.axes import Key


@dataclass(frozen=True, eq=False)
class Stack:
    """Pixels with named axes, pixel size and origin.

    A stack is read section by section: `section` gives one (C, Y, X) plane,
    whatever the order of the axes in the file.

    Attributes
    ----------
    pixels : PixelArray
        The pixels in the order of the file; bool, integer or real.
    axes : str
        One letter per dimension out of ``TZCYX``, for example ``"ZYX"`` or ``"YXC"``;
        ``S`` are colour samples beside a C axis.
    pixel_size : mapping of str to float
        Size of a pixel along each axis for which it is known.
    unit : str or None
        Unit of `pixel_size`, for example ``"nm"`` or ``"µm"``.
    name : str
        What to call the stack in lists and messages.
    source : Path or None
        The file or folder it comes from.
    channel_names : tuple of str
        One name per entry of C, or empty.
    remarks : tuple of str
        Sentences a user should see.

    Raises
    ------
    StackFormatError
        If the axes do not fit the pixels, or the pixels are no image.
    """

    pixels: PixelArray
    axes: str
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    name: str = ""
    source: Path | None = None
    channel_names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_axes(self.axes, self.shape, self.label)
        if 0 in self.shape:
            raise StackFormatError(
                f"{self.label} holds no pixels: its shape is {self.shape}. "
                "Export the image again."
            )
        if self.dtype.kind not in "buif":
            raise StackFormatError(
                f"{self.label} holds {self.dtype} values, but an image is bool, "
                "integer or real. Convert it first, for example to float32."
            )
        for axis, size in self.pixel_size.items():
            if axis not in self.axes or not (math.isfinite(size) and size > 0):
                raise StackFormatError(
                    f"{self.label} has the pixel size {dict(self.pixel_size)}, but "
                    f"each must be positive and belong to one of the axes {self.axes}."
                )

    @property
    def label(self) -> str:
        """What messages call the stack: its source, its name or "The array"."""
        return str(self.source or self.name or "The array")

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension, in the order of `axes`."""
        return tuple(int(length) for length in self.pixels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel, in the byte order of this machine."""
        stored: np.dtype[Any] = np.dtype(self.pixels.dtype)
        return stored if stored.isnative else stored.newbyteorder("=")

    @property
    def n_channels(self) -> int:
        """Number of values per pixel."""
        return math.prod(self._length(axis) for axis in "CS")

    @property
    def n_sections(self) -> int:
        """Number of (C, Y, X) sections."""
        return math.prod(self._looped_shape())

    @property
    def section_axes(self) -> str:
        """The axes without channels, for example ``"ZYX"``: those of its labels."""
        return "".join(axis for axis in self.axes if axis not in "CS")

    @property
    def section_shape(self) -> tuple[int, int]:
        """Rows and columns of a section."""
        return self._length("Y"), self._length("X")

    def seen_together(self, dims: int) -> NDArray[np.intp]:
        """Return which sections a network sees at once.

        Parameters
        ----------
        dims : int
            2 for a network that sees sections, 3 for one that sees volumes.

        Returns
        -------
        ndarray of int, shape (images, sections)
            Each section by itself, or those of each volume along Z.

        Raises
        ------
        StackFormatError
            If volumes are asked for and there is no Z axis.
        """
        indices = np.arange(self.n_sections)
        if dims == 2:
            return indices[:, None]
        self._check_z()
        looped = indices.reshape(self._looped_shape())
        volumes = np.moveaxis(looped, self._looped_axes().index("Z"), -1)
        return volumes.reshape(-1, self._length("Z"))

    def neighbours(self, context: int) -> NDArray[np.intp]:
        """Return each section with those above and below it, mirrored at the ends.

        Parameters
        ----------
        context : int
            How many sections along Z on either side.

        Returns
        -------
        ndarray of int, shape (sections, 2 * context + 1)
            Without a Z axis a section is its own neighbour.
        """
        groups = self.seen_together(3 if "Z" in self.axes else 2)
        padded = np.pad(groups, ((0, 0), (context, context)), mode="reflect")
        windows = sliding_window_view(padded, 2 * context + 1, axis=1)
        found = np.empty((self.n_sections, 2 * context + 1), np.intp)
        found[groups.ravel()] = windows.reshape(found.shape)
        return found

    @property
    def anisotropy(self) -> float | None:
        """How many times deeper than wide a voxel is, where its size is known."""
        depth, width = (self.pixel_size.get(axis) for axis in "ZX")
        return depth / width if depth and width else None

    def shape_seen(self, dims: int) -> tuple[int, ...]:
        """Return the shape of what `seen_together` gives: (Y, X) or (Z, Y, X).

        Raises
        ------
        StackFormatError
            If volumes are asked for and there is no Z axis.
        """
        if dims == 3:
            self._check_z()
        return (self._length("Z"), *self.section_shape)[-dims:]

    def section(
        self,
        index: int,
        rows: slice = slice(None),
        columns: slice = slice(None),
    ) -> NDArray[Any]:
        """Read one section, or a window of it.

        Parameters
        ----------
        index : int
            Number of the section, in C order over the axes that are neither channels
            nor rows nor columns.
        rows, columns : slice
            The window, the whole section by default.

        Returns
        -------
        ndarray
            Shape (C, Y, X), in the type of the pixels and native byte order. It may
            share memory with the pixels.

        Raises
        ------
        IndexError
            If there is no such section.
        StackFormatError
            If the file is damaged there.
        """
        if not -self.n_sections <= index < self.n_sections:
            raise IndexError(f"section {index} of a stack of {self.n_sections}")
        looped = np.unravel_index(index % self.n_sections, self._looped_shape())
        position = iter(int(each) for each in looped)
        window: dict[str, slice] = {
            "Y": rows,
            "X": columns,
            "C": slice(None),
            "S": slice(None),
        }
        key = tuple(window.get(axis) or next(position) for axis in self.axes)
        plane = np.asarray(self.pixels[key])
        kept = [axis for axis in self.axes if axis in "CSYX"]
        plane = plane.transpose([kept.index(axis) for axis in "CSYX" if axis in kept])
        plane = plane.reshape(self.n_channels, *plane.shape[-2:])
        return plane.astype(self.dtype, copy=False)

    def select(self, sections: slice) -> Stack:
        """Return some of the sections as a stack of their own; nothing is read yet.

        Parameters
        ----------
        sections : slice
            Range along the one axis that is neither channel nor row nor column.

        Raises
        ------
        StackFormatError
            If the stack has no such axis or several, or nothing is selected.
        """
        looped = self._looped_axes()
        if len(looped) > 1:  # those of length 1 are in nobody's way
            looped = "".join(a for a in looped if self._length(a) > 1) or looped[0]
        if len(looped) != 1:
            raise StackFormatError(
                f"{self.label} has the axes {self.axes}; a range of sections can be "
                "taken only where there is exactly one axis such as Z or T."
            )
        chosen = range(self.n_sections)[sections]
        if not chosen:
            raise StackFormatError(
                f"{self.label} has {self.n_sections} sections and none of them lies in "
                f"{sections.start}:{sections.stop}."
            )
        return replace(
            self, pixels=_Selection(self.pixels, self.axes.index(looped), chosen)
        )

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Read the whole stack, in the order of `axes`."""
        whole = np.asarray(self.pixels[(slice(None),) * len(self.axes)])
        make = np.array if copy else np.asarray
        return make(whole, dtype or self.dtype)

    def _check_z(self) -> None:
        if "Z" not in self.axes:
            raise StackFormatError(
                f"{self.label} has the axes {self.axes} and no Z, but a 3-D network "
                "sees volumes: say which axis is Z (axes), or take a 2-D network."
            )

    def _length(self, axis: str) -> int:
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def _looped_axes(self) -> str:
        return "".join(axis for axis in self.axes if axis not in "CSYX")

    def _looped_shape(self) -> tuple[int, ...]:
        return tuple(self._length(axis) for axis in self._looped_axes())


class _Selection:
    """A range along one axis of pixels that are not to be read yet."""

    def __init__(self, pixels: PixelArray, axis: int, chosen: range) -> None:
        self._pixels = pixels
        self._axis = axis
        self._chosen = chosen
        lengths = list(pixels.shape)
        lengths[axis] = len(chosen)
        self.shape = tuple(lengths)
        self.dtype = pixels.dtype
        self.ndim = len(lengths)

    def __getitem__(self, key: Key) -> Any:
        inner = self._chosen[key[self._axis]]
        if isinstance(inner, range):
            parts = [self._read(key, each) for each in inner]
            # The axis moves forward where an earlier one is indexed away.
            place = sum(isinstance(each, slice) for each in key[: self._axis])
            return np.stack(parts, place)
        return self._read(key, inner)

    def _read(self, key: Key, index: int) -> Any:
        return np.asarray(
            self._pixels[(*key[: self._axis], index, *key[self._axis + 1 :])]
        )
