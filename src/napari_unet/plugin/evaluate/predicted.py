"""What is scored: a layer, or those that hold the probabilities of all classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Labels

from napari_unet.errors import MaskError, UNetError
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.parts.choices import CHANNEL_KEY, RESULT_KEY
from napari_unet.plugin.replay.sources import ChannelsRef, LayerRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.data import Stack

_MOST = 32  # classes that a dimension is taken for
_BEST = "V_rand and V_info are those at the best threshold."
_AS_LABELS = "V_rand and V_info are those of the labels, at no threshold."


@dataclass(frozen=True)
class Predicted:
    """A prediction in the viewer.

    Attributes
    ----------
    layers : sequence of Layer
        One, or one for each class.
    words : str
        What is scored.
    values : sequence of str
        Mask values of the classes, where they are known.
    axes : str or None
        Those of the one layer, if it does not say itself where its classes are.
    left : str
        Of two classes the one that is left.
    """

    layers: Sequence[Layer]
    words: str = ""
    values: Sequence[str] = ()
    axes: str | None = None
    left: str = ""

    @property
    def stacks(self) -> list[Stack]:
        """The layers as stacks."""
        return [stack_from_layer(each, axes=self.axes) for each in self.layers]

    @property
    def name(self) -> str:
        """What to call it."""
        return " and ".join(each.name for each in self.layers)

    def facts(self) -> dict[str, Any]:
        """Return what the worker is told of the channels."""
        if self.left:
            names = {"channels": [*self.values], "given": self.left}
            return {**names, "others_missing": True}
        return {"channels": [*self.values]} if len(self.layers) > 1 else {}

    def replayed(self) -> LayerRef | ChannelsRef:
        """Return what a copied command names.

        Raises
        ------
        UNetError
            If a class is missing.
        """
        if self.left:
            raise UNetError(
                f"{self.layers[0].name!r} is one of two classes, and a file needs "
                "both. Choose the predicted labels, or predict again."
            )
        if len(self.layers) == 1:
            return LayerRef(self.layers[0], self.axes)
        return ChannelsRef([LayerRef(each) for each in self.layers], self.values)


def find_predicted(viewer: ViewerModel, layer: Layer, truth: Layer | None) -> Predicted:
    """Find all that belongs to a prediction.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    layer : Layer
        Labels, values, or probabilities: of a class, whose other classes are layers
        of the same prediction or file, or of all along a dimension.
    truth : Layer or None
        By its shape a dimension without a name is known for that of the classes.

    Raises
    ------
    MaskError
        If classes are missing, or their dimension cannot be told.
    """
    if isinstance(layer, Labels) or layer.dtype.kind != "f" or layer.rgb:
        return Predicted([layer], f"The labels of {layer.name!r} are scored.")
    if layer.metadata.get(RESULT_KEY, {}).get("what") == "probabilities":
        return _of_prediction(viewer, layer)
    if CHANNEL_KEY in layer.metadata:
        return _of_file(viewer, layer)
    axes = _class_axis(layer, truth)
    if axes is None and "C" not in stack_from_layer(layer).axes:
        words = f"{layer.name!r} is scored, as probabilities of the highest value."
        return Predicted([layer], words)
    stack = stack_from_layer(layer, axes=axes)
    words = f"{layer.name!r} is scored as probabilities of {stack.n_channels} classes"
    place = stack.axes.index("C") + 1
    return Predicted([layer], f"{words} (dimension {place}).", axes=axes)


def about_membranes(predicted: Predicted) -> str:
    """Say at which threshold membranes are scored."""
    labels = len(predicted.layers) == 1 and isinstance(predicted.layers[0], Labels)
    return _AS_LABELS if labels else _BEST


def _of_prediction(viewer: ViewerModel, layer: Layer) -> Predicted:
    result = layer.metadata[RESULT_KEY]
    found = {
        each.metadata[RESULT_KEY]["class"]: each
        for each in viewer.layers
        if _belongs(each, result)
    }
    values = [str(each) for each in result["values"]]
    return _all_of(layer, found, values, result["class"])


def _of_file(viewer: ViewerModel, layer: Layer) -> Predicted:
    which, names = layer.metadata[CHANNEL_KEY]
    file = layer.metadata.get("source")
    found = {
        each.metadata[CHANNEL_KEY][0]: each
        for each in viewer.layers
        if CHANNEL_KEY in each.metadata and each.metadata.get("source") == file
    }
    return _all_of(layer, found, names, which)


def _all_of(
    layer: Layer, found: dict[int, Layer], values: Sequence[str], which: int
) -> Predicted:
    """Take all classes; of two, one says what the other one is."""
    if len(found) == len(values):
        layers = [found[index] for index in range(len(values))]
        names = ", ".join(repr(each.name) for each in layers)
        return Predicted(layers, f"The probabilities {names} are scored.", values)
    if len(values) == 2:
        words = f"{layer.name!r} is scored; the other class is what is left to 1."
        return Predicted([layer], words, values, left=values[which])
    raise MaskError(
        f"{layer.name!r} is one of {len(values)} classes, and the layers of others are "
        "gone. Choose the predicted labels instead, or predict again."
    )


def _belongs(layer: Layer, result: dict[str, Any]) -> bool:
    """Tell whether a layer holds a class of the same prediction."""
    other = layer.metadata.get(RESULT_KEY, {})
    keys = ("prediction", "what")
    return bool(other) and all(other.get(key) == result.get(key) for key in keys)


def _class_axis(layer: Layer, truth: Layer | None) -> str | None:
    """Return the axes of a layer that has a dimension more than its truth."""
    if truth is None or layer.ndim != truth.ndim + 1:
        return None
    axes, shape = stack_from_layer(truth).axes, tuple(layer.data.shape)
    if "c" in (each.lower() for each in layer.axis_labels):
        return None  # it says so itself
    own = tuple(truth.data.shape)
    places = [
        i
        for i, length in enumerate(shape)
        if 1 < length <= _MOST and shape[:i] + shape[i + 1 :] == own
    ]
    if len(places) != 1:
        raise MaskError(
            f"{layer.name!r} has the shape {shape} and its truth {own}: which "
            "dimension is that of the classes cannot be told. Name its axes in the "
            f"console: layer.axis_labels = {('c', 't', 'z', 'y', 'x')[-layer.ndim :]}."
        )
    (place,) = places
    return f"{axes[:place]}C{axes[place:]}"
