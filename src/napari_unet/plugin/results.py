"""What a prediction adds to the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.plugin.choices import MODEL_KEY
from napari_unet.plugin.layers import label_values, placement

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Layer

    from napari_unet.data import Classes, Stack

    LayerData = tuple[Any, dict[str, Any], str]

_COLORMAPS = ("gray", "magenta", "green", "cyan", "yellow", "red", "blue")


@dataclass(frozen=True)
class Target:
    """The image that is predicted, as it was when the work began.

    Attributes
    ----------
    name : str
    axes : str
        Axes of its labels, in the order of its dimensions.
    place : dict
        Scale, units and position of the labels.
    """

    name: str
    axes: str
    place: dict[str, Any]

    @classmethod
    def of(cls, layer: Layer, stack: Stack) -> Target:
        """Note what is needed of a layer, which may change or go during the work."""
        return cls(layer.name, stack.section_axes, placement(layer))


def result_layers(
    target: Target,
    classes: Classes | None,
    model: str,
    labels: Path,
    probabilities: Path | None,
) -> list[LayerData]:
    """Read a finished prediction into layers that lie on the image.

    Parameters
    ----------
    target : Target
    classes : Classes or None
        None where the model predicts values.
    model : str
        Path of the model, kept in the layers' metadata.
    labels, probabilities : Path
        The worker's files: (..., Y, X) in mask values, or the values predicted, and
        (..., classes, Y, X).

    Returns
    -------
    list of layer data tuples
        An image for each class where there are probabilities, then the labels; or one
        image of the values.
    """
    place = {**target.place, "metadata": {MODEL_KEY: model}}
    if classes is None:
        pixels = _in_order(np.load(labels), target.axes)
        return [(pixels, {**place, "name": f"{target.name} prediction"}, "image")]
    layers: list[LayerData] = []
    shares = np.empty((0, 1, 1)) if probabilities is None else np.load(probabilities)
    for index in range(shares.shape[-3]):
        pixels = shares[..., index, :, :]
        look = {
            "name": f"{target.name} P({classes.names[index]})",
            "contrast_limits": (0, 1),
            "colormap": _COLORMAPS[index % len(_COLORMAPS)],
            "blending": "additive",
            "visible": False,
        }
        layers.append((_in_order(pixels, target.axes), {**place, **look}, "image"))
    look = {"name": f"{target.name} prediction", "opacity": 0.5}
    pixels = _in_order(label_values(np.load(labels)), target.axes)
    return [*layers, (pixels, {**place, **look}, "labels")]


def _in_order(pixels: np.ndarray, axes: str) -> np.ndarray:
    """Put the axes, of which the worker has Y and X last, in the image's order."""
    written = [axis for axis in axes if axis not in "YX"] + ["Y", "X"]
    return pixels.transpose([written.index(axis) for axis in axes])
