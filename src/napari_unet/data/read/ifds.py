"""Walk the list of pages of a TIFF file, to see whether it is whole."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from pathlib import Path

_DESCRIPTION = 270


def walk_ifds(path: Path) -> bool:
    """Follow the offsets from page to page to the end.

    A reader that meets an offset beyond the end of the file stops there, as if the
    pages that follow had never been.

    Returns
    -------
    bool
        Whether the list runs in a circle.

    Raises
    ------
    StackFormatError
        If it leads out of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order = "<" if file.read(2) == b"II" else ">"
        (version,) = _read(file, order + "H")
        big = version == 43
        if not big and size >= 2**32:
            return False  # some formats stretch classic TIFF with offsets of their own
        offset = _first(file, order, big)
        seen: set[int] = set()
        while offset and offset not in seen:
            seen.add(offset)
            following = _next(file, order, big, offset, size)
            if following is None:
                raise StackFormatError(
                    f"{path} is cut off: page {len(seen)} begins at byte {offset} "
                    f"and is not whole, as the file ends at byte {size}. Copy or "
                    "export it again."
                )
            offset = following
    return offset != 0


def _first(file: BinaryIO, order: str, big: bool) -> int:
    file.seek(8 if big else 4)
    return _read(file, order + ("Q" if big else "I"))[0]


def _next(file: BinaryIO, order: str, big: bool, offset: int, size: int) -> int | None:
    """Offset of the page after the one at `offset`; 0 at the end; None if cut off."""
    count_format, entry, link = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    try:
        file.seek(offset)
        (count,) = _read(file, order + count_format)
        length = count * struct.calcsize(order + entry)
        if length > size:  # nonsense: do not ask for that much memory
            return None
        entries = file.read(length)
        following = _read(file, order + link)[0]
    except (struct.error, OverflowError, OSError):
        return None
    for tag, _, count, where in struct.iter_unpack(order + entry, entries):
        # The description holds the axes; where it is short it is not at an offset.
        if tag == _DESCRIPTION and count > (8 if big else 4) and where + count > size:
            return None
    return following


def _read(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
