"""Corrections on the disk, and how they are found again."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.read.folder import natural_key
from napari_unet.data.read.ome_zarr import open_levels
from napari_unet.data.write.layout import Layout
from napari_unet.data.write.ngff import (
    describe_groups,
    describe_image,
    describe_labels,
)
from napari_unet.plugin import runs
from napari_unet.plugin.correct.layer import Corrections, look_of
from napari_unet.plugin.layers import layer_from_levels, stack_from_layer
from napari_unet.plugin.parts.choices import CORRECTIONS_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image

_LARGE = 2**27  # bytes from which on the layer's pixels lie on the disk
_CHUNK = 1024  # rows and columns
LEVEL = "0"
"""The one resolution of corrections, in their store."""

_VERSION = "0.5"  # of OME-Zarr


def annotations_folder() -> Path:
    """Return the folder that corrections are saved in; not created."""
    return runs.runs_folder() / "annotations"


def layout_of(image: Image, about: Corrections) -> Layout:
    """Return what the corrections of an image look like."""
    stack = stack_from_layer(image)
    axes = stack.section_axes
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    sizes = {axis: stack.pixel_size[axis] for axis in axes if axis in stack.pixel_size}
    dtype = np.result_type(*(np.min_scalar_type(each) for each in about.values))
    dtype = np.result_type(dtype, np.min_scalar_type(about.unlabelled))
    shape = tuple(lengths[axis] for axis in axes)
    return Layout(axes, shape, str(dtype), sizes, stack.unit)


def new_pixels(layout: Layout, about: Corrections) -> tuple[Any, Path | None]:
    """Make the pixels of a new layer, nothing being annotated.

    Returns
    -------
    ndarray or zarr.Array
    Path or None
        Where they lie on the disk, and are saved as they are painted, if they are many.

    Raises
    ------
    OSError
        If they are to lie on the disk, and cannot.
    """
    if layout.nbytes < _LARGE:
        return np.full(layout.shape, about.unlabelled, layout.dtype), None
    path = new_path(annotations_folder(), about)
    return make_store(path, layout, about), path


def make_store(store: Any, layout: Layout, about: Corrections) -> Any:
    """Make an OME-Zarr image of labels of which nothing is annotated.

    Raises
    ------
    OSError, UNetError
        If the folder cannot be written to.
    """
    import zarr

    group = zarr.open_group(store, mode="w-", zarr_format=3)
    shape = layout.shape
    array = group.create_array(
        LEVEL,
        shape=shape,
        chunks=(*(1 for _ in shape[:-2]), *(min(_CHUNK, each) for each in shape[-2:])),
        dtype=layout.dtype,
        fill_value=about.unlabelled,
    )
    name = f"{about.name} corrections"
    image = describe_image(layout, layout.axes, [LEVEL], name, _VERSION)
    image |= describe_labels(None, _VERSION)
    groups = describe_groups({"": image}, _VERSION)
    group.attrs.put({**groups[""], **about.metadata()})
    return array


def open_saved(path: Path) -> tuple[Any, dict[str, Any], str]:
    """Open saved corrections as a layer to go on painting; small ones are read.

    Raises
    ------
    UNetError, OSError, KeyError, ValueError
        If they are gone or damaged.
    """
    import zarr

    about = describe_store(path)
    _, meta, kind = layer_from_levels(open_levels(path), "labels")
    array = zarr.open_array(path / LEVEL, mode="r+")
    large = math.prod(array.shape) * array.dtype.itemsize >= _LARGE
    look = look_of(about)
    known = {**meta.get("metadata", {}), **look["metadata"]}
    return array if large else array[...], {**meta, **look, "metadata": known}, kind


def is_saved(path: Path) -> bool:
    """Whether a folder holds corrections that were saved."""
    try:
        describe_store(path)
    except (OSError, KeyError, ValueError, TypeError):
        return False
    return True


def describe_store(path: Path) -> Corrections:
    """Say what saved corrections are of.

    Raises
    ------
    OSError, KeyError, ValueError
        If they are gone, damaged or none of ours.
    """
    attributes = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
    known = dict(attributes[CORRECTIONS_KEY])
    known["values"], known["names"] = tuple(known["values"]), tuple(known["names"])
    return Corrections(**known)


def find_saved(name: str, shape: tuple[int, ...]) -> Path | None:
    """Return the last corrections of an image of that name and shape, or None."""
    paths = annotations_folder().glob("*.zarr")
    for path in sorted(paths, key=lambda each: natural_key(each.stem), reverse=True):
        try:
            about = describe_store(path)
            level = json.loads((path / LEVEL / "zarr.json").read_text("utf-8"))
        except (OSError, KeyError, ValueError, TypeError):
            continue  # being made, or not ours
        if about.name == name and tuple(level["shape"]) == shape:
            return path
    return None


def new_path(folder: Path, about: Corrections) -> Path:
    """Return a name for new corrections, in a folder."""
    now = datetime.now().astimezone()
    first = runs.new_run(f"{about.name} corrections", now, folder)
    path, count = first.with_name(f"{first.name}.zarr"), 1
    while path.exists():
        count += 1
        path = first.with_name(f"{first.name} {count}.zarr")
    return path
