"""Pixels of a file that are mapped into memory: read when they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import StackFormatError


class Mapped(np.memmap):
    """A mapped file that is not read where it was cut short.

    Reading there would kill the process (SIGBUS), and leave no message. So the length
    of the file is looked at, and what is selected is copied, each time.
    """

    __module__ = "mapped"  # napari hides what comes from modules named napari…
    ends = 0
    """First byte of the file after the pixels."""

    def __array_finalize__(self, obj: Any) -> None:
        super().__array_finalize__(obj)
        self.ends = getattr(obj, "ends", 0)

    def __getitem__(self, key: Any) -> Any:
        """Return a copy of what the key selects.

        Raises
        ------
        StackFormatError
            If the file is shorter than it was.
        """
        if self.filename is not None:
            _check_length(Path(self.filename), self.ends)
        return np.array(super().__getitem__(key))

    def __reduce__(self) -> Any:
        """Be a plain array in other processes."""
        return np.asarray(self).__reduce__()


def mapped(pixels: np.memmap[Any, Any]) -> Mapped:
    """Return a whole map that looks at the length of its file before it is read."""
    found = pixels.view(Mapped)
    found.ends = pixels.offset + pixels.nbytes
    return found


def _check_length(path: Path, ends: int) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:  # what is deleted stays there as long as it is mapped
        return
    if size < ends:
        raise StackFormatError(
            f"{path} was cut short while it was read: its pixels reached to byte "
            f"{ends}, and now it ends at byte {size}. Copy or export it again."
        )
