"""The metadata of OME-Zarr (https://ngff.openmicroscopy.org), versions 0.4 and 0.5."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.write.chunks import compression

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_unet.data.masks.classes import Classes
    from napari_unet.data.write.chunks import Level
    from napari_unet.data.write.layout import Layout

_KINDS = {"T": "time", "C": "channel"}
_UNITS = {
    "Å": "angstrom",
    "pm": "picometer",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
}
_COLOURS = ("808080", "FF00FF", "00FF00", "00FFFF", "FFFF00", "FF0000", "0000FF")


def make_store(
    folder: Path,
    levels: Sequence[tuple[str, Sequence[Level]]],
    groups: Mapping[str, dict[str, Any]],
    version: str,
) -> None:
    """Make the arrays and groups of a store, without any pixels.

    Parameters
    ----------
    folder : Path
    levels : sequence of (str, sequence of Level)
        The axes and the resolutions of each array.
    groups : mapping of str to dict
        The metadata of each group, by its path.
    version : {"0.5", "0.4"}
    """
    import zarr

    root = zarr.open_group(folder, mode="a", zarr_format=3 if version == "0.5" else 2)
    for axes, resolutions in levels:
        for level in resolutions:
            root.create_array(
                level.path,
                shape=level.shape,
                chunks=level.chunk,
                dtype=level.dtype,
                fill_value=0,
                overwrite=True,
                **_storage(axes, np.dtype(level.dtype), version),
            )
    for path, metadata in groups.items():
        group = root.require_group(path) if path else root
        group.attrs.put(metadata)


def _storage(axes: str, dtype: np.dtype[Any], version: str) -> dict[str, Any]:
    how = compression(dtype)
    if version == "0.5":
        codec = {
            "cname": how.name,
            "clevel": how.level,
            "shuffle": ("noshuffle", "shuffle", "bitshuffle")[how.shuffle],
            "typesize": dtype.itemsize,
            "blocksize": 0,
        }
        names = list(axes.lower())
        compressors = [{"name": "blosc", "configuration": codec}]
        return {"compressors": compressors, "dimension_names": names}
    import numcodecs

    keys = {"name": "v2", "separator": "/"}
    return {"compressors": [numcodecs.Blosc(*how)], "chunk_key_encoding": keys}


def describe_groups(
    images: Mapping[str, dict[str, Any]], version: str
) -> dict[str, dict[str, Any]]:
    """Return the metadata of all groups, those of images being given by path."""
    names = [path.split("/")[1] for path in images if path.startswith("labels/")]
    groups = {**({"labels": {"labels": names}} if names else {}), **images}
    if version == "0.4":
        return groups
    return {
        path: {"ome": {"version": version, **each}} for path, each in groups.items()
    }


def describe_image(
    layout: Layout, axes: str, paths: Sequence[str], name: str, version: str
) -> dict[str, Any]:
    """Return the metadata of a multiscale image.

    Parameters
    ----------
    layout : Layout
    axes : str
        In the order in which they are stored.
    paths : sequence of str
        Of its resolutions, each with half the rows and columns of the one before.
    name : str
    version : {"0.5", "0.4"}
    """
    multiscale = {
        "name": name,
        "axes": [_axis(each, layout) for each in axes],
        "datasets": [
            {"path": path, "coordinateTransformations": _place(axes, layout, 2**number)}
            for number, path in enumerate(paths)
        ],
    }
    if version == "0.4":
        multiscale["version"] = version
    return {"multiscales": [multiscale], **_channels(layout)}


def describe_labels(classes: Classes | None, version: str) -> dict[str, Any]:
    """Return what besides `describe_image` makes labels of an image.

    Parameters
    ----------
    classes : Classes or None
        Whose names and colours are given; None for objects.
    version : {"0.5", "0.4"}
    """
    label: dict[str, Any] = {"version": version} if version == "0.4" else {}
    if classes is not None:
        named = list(zip(classes.values, classes.names, strict=True))
        label["colors"] = [
            {"label-value": int(value), "rgba": _colour(number)}
            for number, value in enumerate(classes.values)
        ]
        label["properties"] = [
            {"label-value": int(value), "class": name} for value, name in named
        ]
    return {"image-label": label}


def _axis(axis: str, layout: Layout) -> dict[str, str]:
    described = {"name": axis.lower(), "type": _KINDS.get(axis, "space")}
    unit = _UNITS.get(layout.unit or "") if axis in "ZYX" else None
    if axis == "T" and "T" in layout.pixel_size:
        unit = "second"
    return {**described, "unit": unit} if unit else described


def _place(axes: str, layout: Layout, factor: int) -> list[dict[str, Any]]:
    """Return size and centre of the first pixel, `factor` times as wide."""
    sizes = [float(layout.pixel_size.get(axis, 1)) for axis in axes]
    factors = [factor if axis in "YX" else 1 for axis in axes]
    starts = [
        size * (layout.start.get(axis, 0) + (times - 1) / 2)
        for axis, size, times in zip(axes, sizes, factors, strict=True)
    ]
    scale = [size * times for size, times in zip(sizes, factors, strict=True)]
    return [
        {"type": "scale", "scale": scale},
        {"type": "translation", "translation": starts},
    ]


def _channels(layout: Layout) -> dict[str, Any]:
    window = {"start": 0.0, "end": 1.0, "min": 0.0, "max": 1.0}
    named = [
        {
            "label": name,
            "color": _COLOURS[number % len(_COLOURS)],
            "window": window,
            "active": True,
        }
        for number, name in enumerate(layout.channel_names)
    ]
    return {"omero": {"channels": named}} if named else {}


def _colour(number: int) -> list[int]:
    """Return the colour of a class: the first is see-through, as the background is."""
    if not number:
        return [0, 0, 0, 0]
    # Steps of the golden ratio keep any number of hues apart.
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.8, 1)
    return [*(round(255 * part) for part in (red, green, blue)), 255]
