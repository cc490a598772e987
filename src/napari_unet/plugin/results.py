"""What a prediction adds to the viewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_unet.plugin.layers import placement
from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY
from napari_unet.plugin.predict.where import start_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_unet.data import Stack
    from napari_unet.data.region import Region

    LayerData = tuple[Any, dict[str, Any], str]

_COLORMAPS = ("gray", "magenta", "green", "cyan", "yellow", "red", "blue")
_EDGE = 2**13  # rows or columns beyond which a layer is shown in several resolutions
_SIZE = ("scale", "units")
_HIDDEN = {"contrast_limits": (0, 1), "blending": "additive", "visible": False}


@dataclass(frozen=True)
class Target:
    """What is predicted, as it was when the work began.

    Attributes
    ----------
    name : str
        Of the image.
    axes : str
        Axes of its labels, in the order of its dimensions.
    place : dict
        Scale, units and position of the labels.
    image : str
        The image's `unique_id`.
    start : list of int
        The first pixel that is predicted, along `axes`.
    """

    name: str
    axes: str
    place: dict[str, Any]
    image: str = ""
    start: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, layer: Layer, stack: Stack, region: Region | None = None) -> Target:
        """Note what is needed of a layer, which may change or go during the work."""
        start = start_of(region, layer, stack.axes)
        kept = [start[i] for i in range(layer.ndim) if stack.axes[i] != "C"]
        place = {**placement(layer), "translate": kept}
        axes = stack.section_axes
        first = [a for a, _ in region.along(axes)] if region else [0] * len(axes)
        return cls(layer.name, axes, place, str(layer.unique_id), first)

    def is_rescaled(self, layers: Iterable[Layer]) -> bool:
        """Tell whether the image is there still, but has another pixel size."""
        image = next((e for e in layers if str(e.unique_id) == self.image), None)
        if image is None:
            return False
        now = placement(image)
        return any(list(now[name]) != list(self.place[name]) for name in _SIZE)


def result_layers(
    target: Target, info: Mapping[str, Any], model: str, files: Mapping[str, str]
) -> list[LayerData]:
    """Open the worker's files as layers that lie on the image, perhaps while it writes.

    The files stay where they are, mapped into memory as far as they are looked at.

    Parameters
    ----------
    target : Target
    info : mapping
        `napari_unet.model.read_info` of the model.
    model : str
        Path of the model, kept in the layers' metadata.
    files : mapping of str to str
        Paths by what is in them: labels or, for regression, prediction, objects and
        uncertainty (..., Y, X), probabilities (..., classes, Y, X), and attention
        (gates, ..., Y, X).

    Returns
    -------
    list of layer data tuples
        What there is of: images of where each gate looks, an image for each class,
        that of the uncertainty, the labels or an image of the values, the objects.
    """
    known = {
        "image": target.image,
        "start": target.start,
        "prediction": uuid4().hex,
        **(info["classes"] or {}),
    }
    known["best_threshold"] = info.get("history", {}).get("best_threshold")
    layers: list[LayerData] = []
    for name in sorted(files, key=_from_below):
        pixels = np.lib.format.open_memmap(files[name], "r+")
        for index, parts in enumerate(_parts(name, pixels, info)):
            what, kind, part, look = parts
            result = {**known, "what": name, "class": index}
            meta = {**target.place, "name": f"{target.name} {what}", **look}
            meta["metadata"] = {MODEL_KEY: model, RESULT_KEY: result}
            levels = _levels(in_order(part, target.axes), target.axes)
            if len(levels) > 1:
                layers.append((levels, {**meta, "multiscale": True}, kind))
            else:
                layers.append((levels[0], meta, kind))
    return layers


def _levels(pixels: NDArray[Any], axes: str) -> list[NDArray[Any]]:
    """Return views of every pixel, every second, fourth …, where there are many.

    napari draws whole sections, which takes it too long where they are huge.
    """
    longest = max(pixels.shape[axes.index(axis)] for axis in "YX")
    count = 1 if longest <= _EDGE else (longest // 1024).bit_length()
    return [
        pixels[tuple(slice(None, None, 2**i if axis in "YX" else 1) for axis in axes)]
        for i in range(count)
    ]


def _from_below(name: str) -> int:
    """Say how far up in the list of layers a result belongs."""
    order = ("attention", "probabilities", "uncertainty", "prediction", "labels")
    return order.index(name) if name in order else len(order)


def _parts(
    name: str, pixels: NDArray[Any], info: Mapping[str, Any]
) -> Iterator[tuple[str, str, NDArray[Any], dict[str, Any]]]:
    """Yield name, kind, pixels and look of each layer that a file becomes."""
    if name == "attention":
        for gate, maps in enumerate(pixels, start=1):
            yield f"attention {gate}", "image", maps, _HIDDEN
    elif name == "probabilities":
        for index, each in enumerate(info["classes"]["names"]):
            part = pixels[..., index, :, :]
            yield f"P({each})", "image", part, look_of_class(index)
    elif name == "objects":
        yield "objects", "labels", pixels, {"opacity": 0.5}
    elif name == "uncertainty":
        yield name, "image", pixels, {**_HIDDEN, "colormap": "inferno"}
    elif name == "labels":
        yield "prediction", "labels", pixels, {"opacity": 0.5}
    else:
        yield name, "image", pixels, {"contrast_limits": usual_values(info["scale"])}


def look_of_class(index: int) -> dict[str, Any]:
    """Return how the probabilities of a class are shown."""
    return {**_HIDDEN, "colormap": _COLORMAPS[index % len(_COLORMAPS)]}


def usual_values(scale: Mapping[str, Any]) -> tuple[float, float]:
    """Return between which values most predictions of a regression lie."""
    spread = 2 * scale["deviation"]
    return scale["mean"] - spread, scale["mean"] + spread


def in_order(pixels: NDArray[Any], axes: str) -> NDArray[Any]:
    """Put the axes, of which the worker has Y and X last, in the image's order."""
    written = [axis for axis in axes if axis not in "YX"] + ["Y", "X"]
    return pixels.transpose([written.index(axis) for axis in axes])
