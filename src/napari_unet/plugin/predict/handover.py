"""How the worker comes by the image: from the image's own file, or by a copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data import open_stack
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.errors import UNetError
from napari_unet.plugin.pixels import write_part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Event

    from napari.layers import Layer

    from napari_unet.data import Stack
    from napari_unet.data.region import Region

_LOOKED_AT = 64  # rows and columns of the windows by which two images are compared


@dataclass(frozen=True)
class Handover:
    """What the worker needs of an image, without a pixel more than that.

    Attributes
    ----------
    stack : Stack
    files : tuple of Path
        Those the pixels may come from; see `files_of`.
    copy : Path
        Where they are written if they cannot be read from a file.
    region : Region or None
        The part that is predicted.
    network : mapping
        The network's options, as in `read_info`.
    """

    stack: Stack
    files: tuple[Path, ...]
    copy: Path
    region: Region | None
    network: Mapping[str, Any]

    def __call__(self, cancelled: Event) -> dict[str, Any] | None:
        """Return what the request says of the image, or None if it was cancelled.

        Meant for a background thread: it touches no layer.

        Raises
        ------
        OSError
            If the disk is full or the folder cannot be written to.
        """
        for file in self.files:
            if same_pixels(file, self.stack):
                return {"image": str(file)}
        bounds = needed(self.stack, self.region, self.network)
        if not write_part(self.copy, self.stack, cancelled, bounds):
            return None
        if self.region is None:
            return {"image": str(self.copy)}
        starts = [start for start, _ in bounds]
        return {
            "image": str(self.copy),
            "excerpt": {"shape": self.stack.shape, "starts": starts},
            "normalisation": measure_normalisation(self.stack).to_dict(),
        }


def files_of(layer: Layer) -> tuple[Path, ...]:
    """Return the files from which a layer's pixels may come.

    Pixels in memory have none: they may have been changed since they were read.
    """
    pixels: Any = layer.data[0] if layer.multiscale else layer.data
    is_lazy = not isinstance(pixels, np.ndarray)
    given: list[Any] = []
    while isinstance(pixels, np.ndarray):
        given += [pixels.filename] if isinstance(pixels, np.memmap) else []
        pixels = pixels.base
    if root := getattr(getattr(pixels, "store", None), "root", None):  # of zarr
        given += [Path(root) / getattr(pixels, "path", "")]
    if not (is_lazy or given):
        return ()
    given += [layer.metadata.get("source"), layer.source.path]
    return tuple(dict.fromkeys(Path(each) for each in given if each))


def same_pixels(file: Path, stack: Stack) -> bool:
    """Tell whether a file holds a stack, by its shape and by windows of its sections.

    Layers may show a part of a file, or values made of it.
    """
    try:
        other = open_stack(file, axes=stack.axes)
    except UNetError:
        return False
    if (other.shape, other.dtype) != (stack.shape, stack.dtype):
        return False
    last = stack.n_sections - 1
    windows = zip(dict.fromkeys((0, last // 2, last)), (0.2, 0.5, 0.8), strict=False)
    for index, place in windows:
        starts = (int(place * length) for length in stack.section_shape)
        window = [slice(start, start + _LOOKED_AT) for start in starts]
        ours, theirs = (each.section(index, *window) for each in (stack, other))
        if not np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"):
            return False
    return True


def needed(
    stack: Stack, region: Region | None, network: Mapping[str, Any]
) -> list[tuple[int, int]]:
    """Return the bounds, along each axis of a stack, of what a prediction looks at.

    Those are whole sections, with as many above and below them as the network sees.
    """
    bounds = dict(zip(stack.axes, ((0, length) for length in stack.shape), strict=True))
    if region is None:
        return list(bounds.values())
    whole = "CSYX" + "Z" * (network.get("dims", 2) == 3)
    for axis in (axis for axis in stack.axes if axis not in whole):
        ((start, stop),) = region.along(axis)
        around = network.get("context", 0) if axis == "Z" else 0
        bounds[axis] = max(0, start - around), min(bounds[axis][1], stop + around)
    return list(bounds.values())
