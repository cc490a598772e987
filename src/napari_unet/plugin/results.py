"""What a prediction adds to the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.plugin.choices import MODEL_KEY
from napari_unet.plugin.layers import label_values, placement

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_unet.data import Classes, Stack
    from napari_unet.events import PredictionFinished

    LayerData = tuple[Any, dict[str, Any], str]

_COLORMAPS = ("gray", "magenta", "green", "cyan", "yellow", "red", "blue")
_HIDDEN = {"contrast_limits": (0, 1), "blending": "additive", "visible": False}


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
    finished: PredictionFinished,
) -> list[LayerData]:
    """Read a finished prediction into layers that lie on the image.

    Parameters
    ----------
    target : Target
    classes : Classes or None
        None where the model predicts values.
    model : str
        Path of the model, kept in the layers' metadata.
    finished : PredictionFinished
        With the worker's files: labels, objects or values (..., Y, X), probabilities
        (..., classes, Y, X), and attention (gates, sections, Y, X).

    Returns
    -------
    list of layer data tuples
        What there is of: images of where each gate looks, an image for each class, the
        labels or an image of the values, the objects.
    """
    place = {**target.place, "metadata": {MODEL_KEY: model}}
    layers: list[LayerData] = []

    def add(pixels: NDArray[Any], kind: str, what: str, **look: Any) -> None:
        meta = {**place, "name": f"{target.name} {what}", **look}
        layers.append((_in_order(pixels, target.axes), meta, kind))

    main = np.load(finished.labels or finished.prediction or "")
    if finished.attention:
        for gate, maps in enumerate(np.load(finished.attention), start=1):
            add(maps.reshape(main.shape), "image", f"attention {gate}", **_HIDDEN)
    if finished.probabilities and classes is not None:
        shares = np.load(finished.probabilities)
        for index, name in enumerate(classes.names):
            colour = _COLORMAPS[index % len(_COLORMAPS)]
            look = {**_HIDDEN, "colormap": colour}
            add(shares[..., index, :, :], "image", f"P({name})", **look)
    if classes is None:
        add(main, "image", "prediction")
    else:
        add(label_values(main), "labels", "prediction", opacity=0.5)
    if finished.objects:
        add(np.load(finished.objects), "labels", "objects", opacity=0.5)
    return layers


def _in_order(pixels: np.ndarray, axes: str) -> np.ndarray:
    """Put the axes, of which the worker has Y and X last, in the image's order."""
    written = [axis for axis in axes if axis not in "YX"] + ["Y", "X"]
    return pixels.transpose([written.index(axis) for axis in axes])
