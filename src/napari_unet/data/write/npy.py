"""New .npy files that are written to by mapping them into memory."""

from __future__ import annotations

import errno
import math
import os
import shutil
from pathlib import Path
from typing import BinaryIO

import numpy as np

from napari_unet.errors import UNetError


def create_npy(path: str | Path, dtype: str, shape: tuple[int, ...]) -> np.memmap:
    """Map a new .npy file of zeros, whose room on the disk is certain.

    Writing to a mapped file on a full disk would kill the process.

    Raises
    ------
    UNetError
        If there is not enough room.
    """
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    header = {"descr": kind.str, "fortran_order": False, "shape": shape}
    try:
        with Path(path).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            _reserve(file, file.tell() + size)
    except OSError as error:
        raise UNetError(
            f"The result needs {size / 1e9:.2f} GB in {Path(path).parent}, which could "
            f"not be had ({error.strerror}). Make room on that disk, and predict again."
        ) from error
    return np.lib.format.open_memmap(path, "r+")


def _reserve(file: BinaryIO, size: int) -> None:
    """Give a file `size` bytes on the disk, or raise `OSError` if they are not free."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
    if shutil.disk_usage(Path(file.name).parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    file.truncate(size)
