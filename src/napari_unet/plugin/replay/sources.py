"""Files that hold what layers hold: found, or written beside a run."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data import Stack, open_stack, write_stack
from napari_unet.data.channels import as_channels
from napari_unet.data.masks.class_file import FILE as CLASS_FILE
from napari_unet.errors import UNetError
from napari_unet.files import write_text
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.parts.choices import CORRECTIONS_KEY
from napari_unet.plugin.predict.handover import files_of, same_pixels
from napari_unet.replay.words import Told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from napari.layers import Layer
    from numpy.typing import NDArray


class LayerRef:
    """A layer that may go at any time.

    Parameters
    ----------
    layer : Layer
    axes : str, optional
        Overrules what the layer says.
    """

    def __init__(self, layer: Layer, axes: str | None = None) -> None:
        self.name = str(layer.name)
        self._axes = axes
        self._layer = weakref.ref(getattr(layer, "__wrapped__", layer))

    def given(self, beside: Stack | None = None) -> Given:
        """Describe the layer as it is now.

        Parameters
        ----------
        beside : Stack, optional
            The image whose labels they are, which have its axes.

        Raises
        ------
        UNetError
            If it is gone.
        """
        layer = self._layer()
        if layer is None:
            raise UNetError(
                f"The layer {self.name!r} is gone, so there is nothing to say where "
                "its pixels are. Open it again and choose it here."
            )
        known = files_of(layer)
        named = (layer.metadata.get("source"), layer.source.path)
        files = known or tuple(Path(each) for each in dict.fromkeys(named) if each)
        if CORRECTIONS_KEY in layer.metadata:  # what is painted next is saved there
            files = ()
        axes = beside.section_axes if beside else ""
        own = axes if len(axes) == layer.ndim else None
        stack = stack_from_layer(layer, axes=self._axes or own)
        return Given(stack, files, changeable=not known)


class FileRef:
    """A file that is in no layer.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path

    def given(self, beside: Stack | None = None) -> Given:
        """Describe what is in it; see `LayerRef.given`.

        Raises
        ------
        UNetError
            If it cannot be read.
        """
        stack = open_stack(self._path)
        if beside is not None and len(stack.shape) == len(beside.section_axes):
            stack = open_stack(self._path, axes=beside.section_axes)
        return Given(stack, (self._path,), changeable=False)


class ChannelsRef:
    """Layers of equal shape as the channels of one image.

    Parameters
    ----------
    layers : sequence of LayerRef
    names : sequence of str
        What to call the channels.
    """

    def __init__(self, layers: Sequence[LayerRef], names: Sequence[str]) -> None:
        self.name = " and ".join(each.name for each in layers)
        self._layers, self._names = layers, names

    def given(self, _: Stack | None = None) -> Given:
        """Describe them as they are now; see `LayerRef.given`.

        Raises
        ------
        UNetError
            If one is gone.
        """
        parts = [each.given() for each in self._layers]
        stack = as_channels([each.stack for each in parts], self._names)
        return Given(stack, parts[0].files, changeable=True)


Ref = LayerRef | FileRef | ChannelsRef


@dataclass(frozen=True)
class Given:
    """The pixels of a layer, and the files they may come from.

    Attributes
    ----------
    stack : Stack
    files : tuple of Path
    changeable : bool
        Whether they lie in memory, where they may have been changed since.
    """

    stack: Stack
    files: tuple[Path, ...]
    changeable: bool

    def find(self) -> tuple[Path, Told] | None:
        """Return a file that holds these pixels, and what to say of it."""
        for file in self.files:
            for axes in (None, self.stack.axes):
                if (other := _opened(file, axes)) and self._same(other, file):
                    return file, self._told(other, axes)
        return None

    def _same(self, other: Stack, file: Path) -> bool:
        stack = self.stack
        if _kind(other) != _kind(stack):
            return False
        if stack.channel_names and stack.channel_names != other.channel_names:
            return False
        if not self.changeable:
            return same_pixels(file, stack)
        return all(
            np.array_equal(
                stack.section(index),
                other.section(index),
                equal_nan=stack.dtype.kind == "f",
            )
            for index in range(stack.n_sections)
        )

    def _told(self, other: Stack, axes: str | None) -> Told:
        size = _in_space(self.stack)
        if (size, self.stack.unit) == (_in_space(other), other.unit):
            return Told(axes)
        return Told(axes, size, self.stack.unit)


def file_of(
    given: Given, ref: Ref, path: Path, remarks: list[str]
) -> tuple[Path, Told]:
    """Return a file of these pixels, and what to say of it; write one if there is none.

    Parameters
    ----------
    given : Given
    ref : LayerRef, FileRef or ChannelsRef
        Whose pixels they are.
    path : Path
        The name to write under.
    remarks : list of str
        A sentence is added if it is written.

    Raises
    ------
    UNetError
        If it cannot be written.
    """
    return given.find() or (save(given, ref, path, remarks), Told())


def files_alike(
    given: Sequence[tuple[Given, Ref, Path]], remarks: list[str]
) -> tuple[list[Path], Told]:
    """Return a file of each, and what holds for all, as it is said once in a command.

    Parameters
    ----------
    given : sequence of (Given, Ref, Path)
        As in `file_of`.
    remarks : list of str
        A sentence is added for each that is written.

    Raises
    ------
    UNetError
        If one cannot be written.
    """
    found = [file_of(*each, remarks) for each in given]
    told = found[0][1]
    if any(each != told for _, each in found):
        told = Told()
    files = [
        path if own == told else save(*each, remarks)
        for (path, own), each in zip(found, given, strict=True)
    ]
    return files, told


def save(given: Given, ref: Ref, path: Path, remarks: list[str]) -> Path:
    """Write pixels, and say where; parameters are those of `file_of`."""
    path = keep(given, path)
    remarks.append(f"{ref.name!r} is in no file as it is now: see {path}.")
    return path


def keep(given: Given, path: Path) -> Path:
    """Write pixels as TIFF under a name that is free, unless they are there already.

    The list of classes beside the file they were read from is written beside it, too.

    Raises
    ------
    UNetError
        If the disk is full, or TIFF cannot hold them.
    """
    stack, free, count = given.stack, path, 1
    while free.exists():
        if same_as_file(stack, free):
            return free
        count += 1
        free = path.with_stem(f"{path.stem} {count}")
    axes, shape = _as_written(stack)
    write_stack(
        free,
        _planes(stack),
        shape=shape,
        axes=axes,
        dtype=stack.dtype,
        pixel_size=stack.pixel_size,
        unit=stack.unit,
        channel_names=stack.channel_names or _colours(stack),
    )
    for file in given.files:
        classes = file.parent / CLASS_FILE
        if classes.is_file() and not (free.parent / CLASS_FILE).exists():
            write_text(free.parent / CLASS_FILE, classes.read_text("utf-8"))
    return free


def same_as_file(stack: Stack, file: Path) -> bool:
    """Tell whether `keep` wrote these pixels to a file."""
    other = _opened(file, None)
    return (
        other is not None
        and (other.axes, other.shape) == _as_written(stack)
        and all(
            np.array_equal(stack.section(index), other.section(index))
            for index in range(stack.n_sections)
        )
    )


def free_folder(path: Path) -> Path:
    """Return a folder of that name, or with a number after it, that is not there."""
    free, count = path, 1
    while free.exists():
        count += 1
        free = path.with_name(f"{path.name} {count}")
    return free


def _opened(file: Path, axes: str | None) -> Stack | None:
    try:
        return open_stack(file, axes=axes)
    except UNetError:
        return None


def _colours(stack: Stack) -> tuple[str, ...]:
    """Name the channels that were colours as long as they came last."""
    count = stack.n_channels
    last = stack.axes.endswith("C") and count in (3, 4)
    return ("red", "green", "blue", "alpha")[:count] if last else ()


def _kind(stack: Stack) -> tuple[Any, ...]:
    """Return what two stacks have alike whose sections can be compared."""
    sections = stack.section_axes, stack.n_sections, stack.section_shape
    return *sections, stack.n_channels, stack.dtype


def _in_space(stack: Stack) -> dict[str, float]:
    return {axis: stack.pixel_size[axis] for axis in "ZYX" if axis in stack.pixel_size}


def _as_written(stack: Stack) -> tuple[str, tuple[int, ...]]:
    """Return axes and shape with channels, rows and columns last."""
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    axes = sorted(stack.axes, key="CYX".find)  # all others before, as they were
    return "".join(axes), tuple(lengths[axis] for axis in axes)


def _planes(stack: Stack) -> Iterator[NDArray[Any]]:
    for index in range(stack.n_sections):
        yield from stack.section(index)
