"""Pixels on their way between the viewer and the worker process: .npy files.

A training's pixels lie in the run folder while it runs, because that is the one place
known to have room and to be the user's. They have a folder of their own in it, which is
removed when it ends. To resume, they are written again from the layers.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from napari_unet.errors import UNetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from napari_unet.data import Stack

_LOG = logging.getLogger(__name__)
_CHUNK = 2**24  # bytes copied between two looks at `cancelled`


def private_folder(run: Path) -> Path:
    """Make a new folder for pixels in the folder of a run, which is made as well.

    Raises
    ------
    UNetError
        If the folder of the run cannot be written to.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        _sweep(run)
        owner = f".pixels-{platform.node()}-{os.getpid()}-"
        return Path(tempfile.mkdtemp(prefix=owner, dir=run))
    except OSError as error:
        raise UNetError(
            f"The folder {run} could not be written to ({error}). Choose another one."
        ) from error


def temporary_folder() -> Path:
    """Make a new folder for pixels and results that no run folder is known for."""
    return private_folder(
        Path(tempfile.gettempdir()) / f"napari-unet-{Path.home().name}"
    )


def _sweep(run: Path) -> None:
    """Remove what viewers that were killed on this machine have left in a run."""
    ours = f".pixels-{platform.node()}-"
    for folder in run.glob(".pixels-*"):
        process = folder.name.removeprefix(ours).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            remove(folder)


def write_pixels(stacks: dict[Path, Stack], cancelled: Event) -> bool:
    """Write the pixels of each stack to its file; False if it was cancelled.

    Meant for a background thread: it touches no layer. In the file, pixels are in
    native byte order and in the order of the stack's axes.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written to.
    """
    return all(write_part(path, stack, cancelled) for path, stack in stacks.items())


def write_part(
    path: Path,
    stack: Stack,
    cancelled: Event,
    bounds: Sequence[tuple[int, int]] | None = None,
) -> bool:
    """Write the pixels within bounds along each axis of a stack; see `write_pixels`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = stack.dtype.newbyteorder("=")
    (first, last), *rest = bounds or [(0, length) for length in stack.shape]
    inner = [stop - start for start, stop in rest]
    shape = (last - first, *inner)
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    step = max(1, _CHUNK // max(1, math.prod(inner) * dtype.itemsize))
    # Written, not memory-mapped: a full disk would kill a process that maps.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(first, last, step):
            if cancelled.is_set():
                return False
            part = (slice(start, min(start + step, last)), *(slice(*b) for b in rest))
            file.write(np.ascontiguousarray(stack.pixels[part], dtype).data)
    return True


def describe(stack: Stack, path: Path) -> dict[str, Any]:
    """Say in the words of the worker's protocol what the pixels in `path` are."""
    return {
        "image": str(path),
        "axes": stack.axes,
        "pixel_size": dict(stack.pixel_size),
        "unit": stack.unit,
        "name": stack.name,
    }


def remove(folder: Path) -> None:
    """Remove a folder of pixels that nobody needs any more.

    What a layer shows of it stays there as long as the layer.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # Windows keeps files that are still open
        _LOG.warning("%s could not be removed.", folder)
