"""How the pixels of a TIFF file are read: mapped, or decoded in parts when asked for.

A page that is compressed as one piece can only be decoded whole.
"""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.read.lazy import Chunked, Lazy, even_edges, number_of
from napari_unet.data.read.mapped import mapped
from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_SMALL = 2**22
"""Bytes of a page that is decoded whole rather than in its many parts."""


def choose_pixels(file: Any, series: Any, shape: tuple[int, ...], path: Path) -> Any:
    """Choose how to read a series: mapped, in parts of pages, by pages, or at once."""
    dtype = np.dtype(series.dtype)
    pages = list(series.pages)
    one_file = all(page.parent is file for page in pages)
    plain = getattr(series, "transform", None) is None
    if series.dataoffset is not None and dtype.kind in "uif" and one_file and plain:
        stored = dtype.newbyteorder(file.byteorder)
        return mapped(np.memmap(path, stored, "r", series.dataoffset, shape))
    leading = _leading(shape, len(pages))
    if not plain or leading is None:
        return _Whole(path, shape, 0, dtype)
    layout = _layout(series.keyframe, shape[leading:])
    if series.keyframe.nbytes <= _SMALL or layout is None:
        return _Pages(path, pages, shape, leading, dtype)
    if dtype.kind in "uif" and all(map(_in_one_piece, pages)):
        return _MappedPages(path, pages, shape, leading, dtype)
    if series.keyframe.is_contiguous:  # yet not in its final form
        return _Pages(path, pages, shape, leading, dtype)
    return _Segments(path, pages, shape, leading, dtype, layout)


def _leading(shape: tuple[int, ...], pages: int) -> int | None:
    """How many leading axes the pages run over, if they do so in order."""
    return next((n for n in range(len(shape)) if math.prod(shape[:n]) == pages), None)


def _layout(page: Any, inner: tuple[int, ...]) -> list[int] | None:
    """Return to which axis of a page's full shape each of its axes belongs.

    The full shape is (samples, depth, rows, columns, interleaved samples). None where
    the two do not fit.
    """
    full = [axis for axis, length in enumerate(page.shaped) if length > 1]
    if [page.shaped[axis] for axis in full] != [each for each in inner if each > 1]:
        return None
    axes = iter(full)
    return [next(axes) if length > 1 else -1 for length in inner]


def _in_one_piece(page: Any) -> bool:
    ends = np.add(page.dataoffsets, page.databytecounts)
    follow: bool = np.array_equal(page.dataoffsets[1:], ends[:-1])
    return bool(page.is_final) and follow


class _Pages(Lazy):
    """A block is a page."""

    def __init__(
        self,
        path: Path,
        pages: list[Any],
        shape: tuple[int, ...],
        leading: int,
        dtype: np.dtype[Any],
    ) -> None:
        super().__init__(path, shape, leading, dtype)
        self._pages = pages

    def _decode_block(self, number: int) -> NDArray[Any]:
        page = self._pages[number]
        with _opened(page):
            return np.asarray(page.asarray(maxworkers=1))


class _MappedPages(_Pages):
    """A block is a page that is mapped: only what is used of it is read."""

    def __init__(
        self,
        path: Path,
        pages: list[Any],
        shape: tuple[int, ...],
        leading: int,
        dtype: np.dtype[Any],
    ) -> None:
        super().__init__(path, pages, shape, leading, dtype)
        self.dtype = dtype.newbyteorder(pages[0].parent.byteorder)

    def _decode_block(self, number: int) -> NDArray[Any]:
        page = self._pages[number]
        shape = self.shape[self._leading :]
        path, start = page.parent.filehandle.path, page.dataoffsets[0]
        return mapped(np.memmap(path, self.dtype, "r", start, shape))


class _Segments(Chunked):
    """A chunk is a tile or strip of a page."""

    def __init__(
        self,
        path: Path,
        pages: list[Any],
        shape: tuple[int, ...],
        leading: int,
        dtype: np.dtype[Any],
        layout: list[int],
    ) -> None:
        page = pages[0].keyframe
        strip = (1, page.rowsperstrip, page.imagewidth)
        tile = (page.tiledepth, page.tilelength, page.tilewidth)
        sizes = (1, *(tile if page.is_tiled else strip), page.shaped[4])
        inner = (sizes[axis] if axis >= 0 else 1 for axis in layout)
        super().__init__(
            path, shape, even_edges(shape, (1,) * leading + (*inner,)), dtype
        )
        self._pages = pages
        self._leading = leading
        self._layout = layout
        self._full = page.shaped
        self._sizes = sizes

    def _decode_all(
        self, places: list[tuple[int, ...]]
    ) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
        for place in places:
            page = self._pages[number_of(place, self.shape, self._leading)]
            # Opened anew for each: a file shall not stay open when a reader is left.
            with _opened(page):
                yield place, self._segment(page, place)

    def _segment(self, page: Any, place: tuple[int, ...]) -> NDArray[Any]:
        at = [0] * 5
        for axis, index in zip(self._layout, place[self._leading :], strict=True):
            if axis >= 0:
                at[axis] = index
        counts = [-(-f // s) for f, s in zip(self._full, self._sizes, strict=True)]
        number = int(np.ravel_multi_index(at, counts))
        decoded = _decode(page, number, _read(page, number, self._source))
        if decoded is None:  # a part that was never written
            return np.full(self._chunk_shape(place), page.keyframe.nodata, self.dtype)
        # A tile at the border may come with what lies beyond it.
        return decoded[
            tuple(
                slice(full - index * size)
                for full, index, size in zip(
                    self._full[1:], at[1:], self._sizes[1:], strict=True
                )
            )
        ]


class _Whole(Lazy):
    """One block: the pages do not follow the axes."""

    def _decode_block(self, number: int) -> NDArray[Any]:
        import tifffile

        with tifffile_errors():
            return np.asarray(tifffile.imread(self._path, series=0, maxworkers=1))


_JPEG = {6, 7, 33007, 34892}
"""Compressions whose tables may lie outside the segments."""


def _read(page: Any, number: int, path: Any) -> bytes | None:
    """Read the encoded bytes of a segment; None if it was never written."""
    offset, count = page.dataoffsets[number], page.databytecounts[number]
    if not offset or not count:
        return None
    handle = page.parent.filehandle
    handle.seek(offset)
    data: bytes = handle.read(count)
    if len(data) < count:
        raise StackFormatError(
            f"{path} is cut off: pixels should reach to byte {offset + count} but the "
            f"file ends at byte {offset + len(data)}. Copy or export it again."
        )
    return data


def _decode(page: Any, number: int, data: bytes | None) -> NDArray[Any] | None:
    keyframe, tables = page.keyframe, {}
    if keyframe.compression in _JPEG:
        tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
    decoded: NDArray[Any] | None = keyframe.decode(data, number, **tables)[0]
    return decoded


@contextmanager
def _opened(page: Any) -> Iterator[None]:
    """Open the file of a page, if it is not open."""
    handle = page.parent.filehandle
    was_closed = handle.closed
    handle.open()
    try:
        with tifffile_errors():
            yield
    finally:
        if was_closed:
            handle.close()


@contextmanager
def tifffile_errors() -> Iterator[list[str]]:
    """Collect what tifffile logs as errors in this thread, instead of printing it."""
    complaints: list[str] = []
    here = get_ident()

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or record.thread != here:
            return True
        message = record.getMessage()
        complaints.append(message.split("> ", 1)[-1][:160].rstrip("."))
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield complaints
    finally:
        logger.removeFilter(collect)
