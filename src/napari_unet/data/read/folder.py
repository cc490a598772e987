"""Folders of sections, and single PNG and NPY files."""

from __future__ import annotations

import math
import re
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.axes import guess_axes, normal_axes
from napari_unet.data.read.lazy import Lazy, as_format_error, full_key
from napari_unet.data.read.mapped import mapped
from napari_unet.data.read.tiff import open_tiff, stem
from napari_unet.data.stack import Stack
from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TIFF = (".tif", ".tiff")
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PALETTE = 3
_LARGE = 2**24  # bytes of a section that is not decoded as a whole for each window


def open_folder(path: Path) -> Stack:
    """Open a folder of TIFF or PNG files of one size as the sections of a stack.

    Raises
    ------
    StackFormatError
        If there are none, both kinds, or they differ in size, type or channels.
    """
    files = _section_files(path)
    first = _open_section(files[0])
    for each in files[1:]:
        other = _open_section(each)
        if (other.shape, other.dtype, other.axes) != (
            first.shape,
            first.dtype,
            first.axes,
        ):
            raise StackFormatError(
                f"{each} has the shape {other.shape} ({other.axes}, {other.dtype}), "
                f"but {files[0].name} beside it has {first.shape} ({first.axes}, "
                f"{first.dtype}). The sections of a folder must be alike; move other "
                "files out of it."
            )
    size = math.prod(first.shape) * first.dtype.itemsize
    kind = _LargeFiles if size > _LARGE else _Files
    return Stack(
        kind(path, files, first),
        "Z" + first.axes,
        pixel_size=first.pixel_size,
        unit=first.unit,
        name=path.name,
        source=path,
        channel_names=first.channel_names,
        remarks=tuple(f"{files[0].name}: {remark}" for remark in first.remarks),
    )


def open_npy(path: Path, axes: str | None = None) -> Stack:
    """Open a NumPy file, memory-mapped.

    Raises
    ------
    StackFormatError
        If it is damaged or its axes cannot be told.
    """
    with as_format_error(path):
        pixels = mapped(np.load(path, mmap_mode="r", allow_pickle=False))
    letters = normal_axes(axes) if axes else guess_axes(pixels, str(path))
    return Stack(pixels, letters, name=stem(path), source=path)


def open_png(path: Path) -> Stack:
    """Open a PNG file, in the values that it stores.

    One with a palette gives the indices, not the colours; grey values of 2 or 4 bits
    are not stretched to 255.

    Raises
    ------
    StackFormatError
        If it is damaged or no PNG.
    """
    with as_format_error(path), path.open("rb") as file:
        head = file.read(29)
    if len(head) < 29 or not head.startswith(b"\x89PNG\r\n\x1a\n"):
        raise StackFormatError(
            f"{path} is no PNG file: it starts with {head[:8]!r}. Export it again."
        )
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    channels = _PNG_CHANNELS.get(colour, 1)
    shape = (height, width) if channels == 1 else (height, width, channels)
    small = np.dtype(bool) if depth == 1 and colour == 0 else np.dtype(np.uint8)
    dtype = np.dtype(np.uint16) if depth == 16 else small
    remarks = ("A palette image: its indices are read, not its colours.",)
    # Pillow stretches grey values of few bits: 0, 1, 2, 3 become 0, 85, 170, 255.
    stretch = 255 // (2**depth - 1) if colour == 0 and depth in (2, 4) else 1
    by_pillow = depth < 16 or channels == 1
    return Stack(
        _Png(path, shape, dtype, by_pillow=by_pillow, stretch=stretch),
        "YX" if channels == 1 else "YXC",
        name=stem(path),
        source=path,
        remarks=remarks if colour == _PALETTE else (),
    )


def open_jpeg(path: Path) -> Stack:
    """Open a JPEG file: an image, never a mask.

    Raises
    ------
    StackFormatError
        If it is damaged or holds colours for print.
    """
    from PIL import Image

    with as_format_error(path), Image.open(path) as image:
        mode, (width, height) = image.mode, image.size
    if mode not in ("L", "RGB"):
        raise StackFormatError(
            f"{path} is a JPEG of the kind {mode}, but grey and RGB are read. Convert "
            "it to RGB first."
        )
    shape = (height, width) if mode == "L" else (height, width, 3)
    return Stack(
        _Pillow(path, shape, 0, np.dtype(np.uint8)),
        "YX" if mode == "L" else "YXC",
        name=stem(path),
        source=path,
    )


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which ``"z2"`` comes before ``"z10"``."""
    parts = re.split(r"([0-9]+)", name.lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts] + [
        (2, 0, name)
    ]


def _section_files(path: Path) -> list[Path]:
    with as_format_error(path):
        visible = [each for each in path.iterdir() if not each.name.startswith(".")]
    tiffs = [each for each in visible if each.suffix.lower() in _TIFF]
    pngs = [each for each in visible if each.suffix.lower() == ".png"]
    if tiffs and pngs:
        raise StackFormatError(
            f"{path} holds {len(tiffs)} TIFF and {len(pngs)} PNG files. Leave only one "
            "kind in the folder: the sections."
        )
    if not tiffs and not pngs:
        raise StackFormatError(
            f"{path} holds no .tif, .tiff or .png file. Choose the folder that holds "
            "the sections, or an image file."
        )
    return sorted(tiffs or pngs, key=lambda each: natural_key(each.name))


def _open_section(path: Path) -> Stack:
    is_tiff = path.suffix.lower() in _TIFF
    stack = open_tiff(path, decode=False) if is_tiff else open_png(path)
    if stack.section_axes != "YX":
        raise StackFormatError(
            f"{path} holds {stack.n_sections} sections, but in a folder each file is "
            "one section. Open the file itself."
        )
    return stack


class _Files(Lazy):
    """A block is a file; it is open only while it is read."""

    def __init__(self, folder: Path, files: list[Path], first: Stack) -> None:
        super().__init__(folder, (len(files), *first.shape), 1, first.dtype)
        self._files = files

    def _decode_block(self, number: int) -> NDArray[Any]:
        return np.array(_open_section(self._files[number]))


class _LargeFiles(_Files):
    """Of the files only the windows are read that are asked for."""

    def __init__(self, folder: Path, files: list[Path], first: Stack) -> None:
        super().__init__(folder, files, first)
        self._opened: OrderedDict[int, Stack] = OrderedDict()

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return the pixels that indices and slices select, as NumPy would."""
        chosen, *inner = full_key(key, self.ndim)
        if not isinstance(chosen, slice):
            return np.asarray(self._file(chosen).pixels[tuple(inner)])
        numbers = range(len(self._files))[chosen]
        return np.stack([self[number, *inner] for number in numbers])

    def _file(self, number: int) -> Stack:
        with self._lock:
            stack = self._opened.pop(number, None) or _open_section(self._files[number])
            if stack.shape != self.shape[1:]:
                raise StackFormatError(
                    f"{self._files[number]} has the shape {stack.shape} by now, where "
                    f"{self.shape[1:]} was expected. Open the folder again."
                )
            self._opened[number] = stack
            if len(self._opened) > 2:  # each keeps pixels
                self._opened.popitem(last=False)
            return stack


class _Pillow(Lazy):
    """One block: the image, as Pillow reads it."""

    def _decode_block(self, number: int) -> NDArray[Any]:
        from PIL import Image

        with Image.open(self._path) as image:
            return np.asarray(image)


class _Png(Lazy):
    """One block: the image."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        by_pillow: bool,
        stretch: int,
    ) -> None:
        super().__init__(path, shape, 0, dtype)
        self._by_pillow = by_pillow
        self._stretch = stretch

    def _decode_block(self, number: int) -> NDArray[Any]:
        if self._by_pillow:
            from PIL import Image

            with Image.open(self._path) as image:
                pixels = np.asarray(image)
            return pixels if self._stretch == 1 else pixels // self._stretch
        # Pillow makes 8 bits of 16-bit colours.
        import imagecodecs

        return np.asarray(imagecodecs.png_decode(self._path.read_bytes()))
