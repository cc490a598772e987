"""Layers to stacks and stacks to layers, with axes, pixel sizes and units kept."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pint

from napari_unet.data.open import as_pixels
from napari_unet.data.read.lazy import Chunked
from napari_unet.data.read.mapped import Mapped
from napari_unet.data.stack import Stack
from napari_unet.errors import StackFormatError
from napari_unet.plugin.parts.choices import CHANNEL_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.layers import Image, Labels, Layer

_BY_DIMENSIONS = {2: "YX", 3: "ZYX", 4: "TZYX"}
_LENGTHS = "ZYX"  # the axes that have a pixel size


def stack_from_layer(layer: Layer, *, axes: str | None = None) -> Stack:
    """Describe a layer as a stack; no pixel is copied.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
    axes : str, optional
        Overrules what the layer's axis labels say.

    Returns
    -------
    Stack
        Of a multiscale layer its full resolution. Axes come from the layer's axis
        labels where these are letters out of TZCYX, else from the number of
        dimensions: YX, ZYX or TZYX. The colours of an RGB layer are axis C.

    Raises
    ------
    StackFormatError
        If the axes cannot be told.
    """
    data, meta, _ = layer.as_layer_data_tuple()
    return stack_from_data(data, meta, axes=axes)


def mask_from_layer(layer: Labels | Image, *, axes: str | None = None) -> Stack:
    """Describe a layer as a mask: its file is known, for the class list beside it."""
    source = layer.metadata.get("source") or layer.source.path
    stack = stack_from_layer(layer, axes=axes)
    return replace(stack, source=Path(source)) if source else stack


def stack_from_data(
    data: Any, meta: Mapping[str, Any], *, axes: str | None = None
) -> Stack:
    """Describe a layer's data and attributes, as a writer gets them, as a stack."""
    if meta.get("multiscale") or isinstance(data, list | tuple):
        data = data[0]
    rgb = bool(meta.get("rgb"))
    name = str(meta.get("name", ""))
    axes = axes or _axes(data.ndim - rgb, meta.get("axis_labels", ()), name)
    size, unit = _pixel_size(axes, meta.get("scale"), meta.get("units"))
    return Stack(
        as_pixels(data, name),
        axes + "C" * rgb,
        pixel_size=size,
        unit=unit,
        name=name.replace("/", " "),
    )


def layer_from_stack(stack: Stack, kind: str) -> tuple[Any, dict[str, Any], str]:
    """Read a stack into what napari adds as one layer, or as one per channel.

    Parameters
    ----------
    stack : Stack
    kind : str
        ``"image"`` or ``"labels"``.

    Returns
    -------
    tuple
        Data, attributes and `kind`.
    """
    pixels: Any = np.asarray(stack)
    if kind == "labels":  # which are to be painted on
        pixels = label_values(np.require(pixels, requirements="W"))
    elif isinstance(stack.pixels, Mapped):  # it knows when its file was cut short
        pixels = stack.pixels
    return pixels, _attributes(stack, kind), kind


def layer_from_levels(
    levels: Sequence[Stack], kind: str
) -> tuple[Any, dict[str, Any], str]:
    """Make what napari adds of an image at several resolutions; nothing is read yet.

    Parameters
    ----------
    levels : sequence of Stack
        The finest first, their pixels in chunks.
    kind : str
        ``"image"`` or ``"labels"``.
    """
    from dask.array import from_array

    data = []
    for level in levels:
        pixels = level.pixels
        assert isinstance(pixels, Chunked)
        lazy = from_array(pixels, pixels.chunk_sizes, name=False, asarray=False)
        data.append(label_values(lazy) if kind == "labels" else lazy)
    meta = _attributes(levels[0], kind) | {"multiscale": len(data) > 1}
    return data if len(data) > 1 else data[0], meta, kind


def _attributes(stack: Stack, kind: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": stack.name}
    if stack.source is not None:
        meta["metadata"] = {"source": str(stack.source)}
    kept = [axis for axis in stack.axes if axis not in "CS"]
    meta["axis_labels"] = tuple(axis.lower() for axis in kept)
    meta["scale"] = tuple(stack.pixel_size.get(axis, 1.0) for axis in kept)
    if unit := _known_unit(stack.unit):
        meta["units"] = tuple(
            unit if axis in stack.pixel_size else "pixel" for axis in kept
        )
    if kind == "image" and "C" in stack.axes:
        meta |= _channels(stack, meta.get("metadata", {}))
    return meta


def label_values(pixels: Any) -> Any:
    """Return mask values in a type that a labels layer takes, which float is not."""
    return pixels.astype(np.int32) if pixels.dtype.kind == "f" else pixels


def placement(layer: Layer) -> dict[str, Any]:
    """Return where a layer lies, so that its result can be put in the same place.

    An axis C among the layer's dimensions is left out: labels have none.
    """
    kept = [i for i, label in enumerate(layer.axis_labels) if label.upper() != "C"]
    place = {
        name: [getattr(layer, name)[i] for i in kept]
        for name in ("scale", "translate", "units", "axis_labels")
    }
    if len(kept) == layer.ndim:
        place |= {
            "rotate": layer.rotate,
            "shear": layer.shear,
            "affine": layer.affine.affine_matrix,
        }
    return place


def _axes(dimensions: int, labels: Sequence[str], name: str) -> str:
    named = "".join(label.upper() for label in labels)
    known = len(labels) == dimensions and set(named) <= set("TZCYX")
    if known and len(set(named)) == dimensions and {"Y", "X"} <= set(named):
        return named
    if dimensions not in _BY_DIMENSIONS:
        raise StackFormatError(
            f"The layer {name!r} has {dimensions} dimensions, but only 2 (YX), 3 "
            "(ZYX) and 4 (TZYX) explain themselves. Name its axes in the console: "
            f"layer.axis_labels = {('c', 't', 'z', 'y', 'x')[-dimensions:]}."
        )
    return _BY_DIMENSIONS[dimensions]


def _pixel_size(
    axes: str, scale: Sequence[float] | None, units: Sequence[Any] | None
) -> tuple[dict[str, float], str | None]:
    """Return the size along each spatial axis in the unit of X, if it is a length.

    Pixels are none, but a layer may be scaled without units: that tells the proportions
    of its voxels.
    """
    if scale is None or units is None:
        return {}, None
    by_axis = {
        axis: pint.Quantity(float(size), str(unit))
        for axis, size, unit in zip(axes, scale, units, strict=False)
        if axis in _LENGTHS
    }
    unit = by_axis["X"].units
    if not unit.is_compatible_with("meter"):
        plain = {axis: float(size.magnitude) for axis, size in by_axis.items()}
        alike = {str(size.units) for size in by_axis.values()} == {"pixel"}
        return plain if alike and set(plain.values()) != {1.0} else {}, None
    sizes = {
        axis: float(size.to(unit).magnitude)
        for axis, size in by_axis.items()
        if size.is_compatible_with(unit)
    }
    return sizes, f"{unit:~P}"


def _known_unit(unit: str | None) -> str | None:
    """Return the unit if napari knows it as a length."""
    try:
        known = unit is not None and pint.Unit(unit).is_compatible_with("meter")
    except (pint.UndefinedUnitError, ValueError, TypeError):
        return None
    return unit if known else None


def _channels(stack: Stack, known: dict[str, str]) -> dict[str, Any]:
    """Colours stay one RGB layer; other channels become a layer each."""
    place = stack.axes.index("C")
    colours = stack.shape[place] in (3, 4) and stack.dtype == np.uint8
    if place == len(stack.axes) - 1 and colours:
        return {"rgb": True}
    count = stack.shape[place]
    names = stack.channel_names or tuple(f"channel {i}" for i in range(count))
    return {
        "channel_axis": place,
        "name": [f"{stack.name} {name}".strip() for name in names],
        "metadata": [{**known, CHANNEL_KEY: [i, [*names]]} for i in range(count)],
    }


def find_again(layer: Any) -> Callable[[], Any]:
    """Return what finds a layer again, as long as it is there; it is not held."""
    if layer is None:
        return lambda: None
    return weakref.ref(getattr(layer, "__wrapped__", layer))
