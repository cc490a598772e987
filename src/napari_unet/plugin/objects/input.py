"""What becomes objects: a layer, its class, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.errors import UNetError
from napari_unet.plugin.parts.choices import LOOK_KEY, RESULT_KEY, LayerChoice
from napari_unet.plugin.parts.fields import choice, form_in
from napari_unet.prediction.object_stack import REST

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

PIECES = "Connected pieces"
SPLIT = "Split where they touch"
CELLS = "Cells between membranes"
BORDER = "Inside and border"
DISTANCE = "Distance map"
EACH = "each value above 0"

_INSIDE = ("foreground", "cell", "cells", "nucleus", "nuclei", "inside", "object")
_BETWEEN = ("membrane", "membranes", "border", "boundary")
_FILLED = 0.6  # share of a class from which on it is taken for cells side by side
_MANY = 12  # values from which on labels are taken for numbers of objects
_SAMPLED = 256  # rows and columns that are looked at
_MAPPED = 64  # of a mapped file, where each row is read from the disk, and may be large


@dataclass(frozen=True)
class Wanted:
    """What becomes objects; see `napari_unet.prediction.object_stack.ObjectSource`.

    Attributes
    ----------
    layer : Layer
    inside : int or None
    border : int, "rest" or None
    border_layer : Layer or None
    """

    layer: Layer
    inside: int | None = None
    border: int | str | None = None
    border_layer: Layer | None = None


class SourceChoice(LayerChoice):
    """Labels, probabilities and distance maps; takes those that a model predicted.

    Until the user chooses, it takes the newest prediction that comes.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._picked = False
        super().__init__(viewer, Labels, "predict, or paint labels")
        self.activated.connect(self._on_picked)
        self.offer(Labels, Image)

    def refresh(self) -> None:
        """List the layers anew."""
        super().refresh()
        if not self._picked and self._layers:
            self.setCurrentIndex(self._suggest(self._layers))

    def choose(self, layer: Layer) -> None:
        """Choose a layer, and keep to it."""
        self._picked = True
        super().choose(layer)

    def _fits(self, layer: Layer) -> bool:
        if LOOK_KEY in layer.metadata or not super()._fits(layer):
            return False
        return isinstance(layer, Labels) or (layer.dtype.kind == "f" and not layer.rgb)

    def _suggest(self, layers: list[Any]) -> int:
        best = max(reversed(layers), key=_suits, default=None)  # the newest of them
        return -1 if best is None else self._layers.index(best)

    def _on_picked(self) -> None:
        self._picked = True


def _suits(layer: Layer) -> int:
    """Say how likely a layer is to become objects."""
    what = layer.metadata.get(RESULT_KEY, {}).get("what", "")
    if what == "probabilities":
        name = class_name(layer)
        if name in _INSIDE:
            return 5
        first = layer.metadata[RESULT_KEY]["class"] == 0  # background, most often
        return 1 if first or name in _BETWEEN else 4
    ranks = {"labels": 3, "prediction": 3, "": 2 if isinstance(layer, Labels) else 0}
    return ranks.get(what, -1)  # objects are found already, and uncertainty has none


def classes_of(layer: Layer) -> tuple[list[int], list[str]]:
    """Return values and names of the classes of the model that predicted a layer."""
    known = layer.metadata.get(RESULT_KEY, {})
    return known.get("values", []), [name.lower() for name in known.get("names", [])]


def class_name(layer: Layer) -> str:
    """Return what the class of a layer of probabilities is called."""
    names, index = classes_of(layer)[1], layer.metadata[RESULT_KEY]["class"]
    return names[index] if index < len(names) else ""


class ObjectInput(QWidget):
    """Fields for the layer, its class and the method, chosen by itself where clear.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.layer = SourceChoice(viewer)
        self.layer.setToolTip(
            "<p>Labels, probabilities of a class, or a predicted distance map.</p>"
        )
        self.value = choice({}, "Which value of the labels becomes objects.")
        self.method = choice({}, "How pixels become objects.")
        self.border = choice({}, "What lies between objects; they grow over it.")
        form = form_in(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Laye&r", self.layer)
        form.addRow("Cl&ass", self.value)
        form.addRow("Fin&d", self.method)
        form.addRow("&Border", self.border)
        self._form = form
        self.layer.chosen.connect(self._on_layer)
        self.value.currentIndexChanged.connect(self._on_value)
        self.method.currentIndexChanged.connect(self._on_method)
        self.border.currentIndexChanged.connect(self.changed)
        self._on_layer()

    def wanted(self) -> Wanted:
        """Return what is chosen.

        Raises
        ------
        UNetError
            If there is no layer.
        """
        layer, method = self.layer.layer, self.method.currentText()
        if layer is None:
            raise UNetError(
                "There is nothing to find objects in. Predict an image in Plugins ▸ "
                "U-Net ▸ Predict, or open labels."
            )
        if method == DISTANCE:
            return Wanted(layer)
        inside = self.value.currentData() if isinstance(layer, Labels) else 0
        if method == CELLS:
            return Wanted(layer, inside, REST)
        if method == BORDER and isinstance(layer, Labels):
            return Wanted(layer, inside, self.border.currentData())
        if method == BORDER and (other := self._other_layer()) is not None:
            return Wanted(layer, inside, 0, other)
        return Wanted(layer, inside)

    def refresh(self) -> None:
        """Follow the layers of the viewer."""
        self.layer.refresh()

    def _other_layer(self) -> Layer | None:
        number = self.border.currentData()
        found = [each for each in self._viewer.layers if each.unique_id == number]
        return found[0] if found else None

    def _on_layer(self) -> None:
        layer = self.layer.layer
        known = _values(layer) if isinstance(layer, Labels) else {}
        _refill(self.value, {EACH: None, **known}, _inside_of(known))
        self._form.setRowVisible(self.value, isinstance(layer, Labels))
        self._on_value()

    def _on_value(self) -> None:
        layer, methods = self.layer.layer, [PIECES, SPLIT, CELLS, BORDER]
        if isinstance(layer, Labels) and self.value.currentData() is None:
            methods = [PIECES]
        elif layer is not None and not isinstance(layer, Labels):
            methods = [*methods, DISTANCE]
        borders = self._borders()
        if not borders:
            methods = [each for each in methods if each != BORDER]
        _refill(self.border, borders, _between_of(borders))
        chosen = self._suggest(methods)
        _refill(self.method, {each: each for each in methods}, chosen)
        self._on_method()

    def _on_method(self) -> None:
        self._form.setRowVisible(self.border, self.method.currentText() == BORDER)
        self.changed.emit()

    def _borders(self) -> dict[str, Any]:
        """Return what may lie between objects: other values, or other layers."""
        layer = self.layer.layer
        if isinstance(layer, Labels):
            inside = self.value.currentData()
            entries = [(self.value.itemText(i), self.value.itemData(i))
                       for i in range(1, self.value.count())]  # fmt: skip
            return {text: value for text, value in entries if value not in (0, inside)}
        if layer is None:
            return {}
        return {
            each.name: each.unique_id
            for each in self._viewer.layers
            if isinstance(each, Image)
            and each is not layer
            and LOOK_KEY not in each.metadata
            and each.dtype.kind == "f"
            and each.data.shape == layer.data.shape
        }

    def _suggest(self, methods: list[str]) -> str:
        layer = self.layer.layer
        if layer is None or len(methods) == 1:
            return methods[0]
        result = layer.metadata.get(RESULT_KEY, {})
        if result.get("what") == "prediction" and DISTANCE in methods:
            return DISTANCE
        names = classes_of(layer)[1]
        if BORDER in methods and {"border", "boundary"} & {*names}:
            return BORDER
        filled = _share(layer, self.value.currentData()) > _FILLED
        if filled or {"membrane", "membranes"} & {*names}:
            return CELLS
        return SPLIT


def _refill(box: QComboBox, entries: dict[str, Any], chosen: Any) -> None:
    """Fill a box anew, without a word to those who listen."""
    with QSignalBlocker(box):
        box.clear()
        for text, data in entries.items():
            box.addItem(text, data)
        box.setCurrentIndex(max(0, box.findText(str(chosen))))


def _values(layer: Labels) -> dict[str, int]:
    """Return the values of labels by what they are called; none of object numbers."""
    values, names = classes_of(layer)
    if values and layer.metadata.get(RESULT_KEY, {}).get("what") != "objects":
        return {
            f"{name} ({value})" if name != str(value) else str(value): value
            for value, name in zip(values, names, strict=True)
        }
    found = np.unique(_sample(layer)).tolist()
    return {str(each): each for each in found} if len(found) <= _MANY else {}


def _inside_of(known: dict[str, int]) -> str:
    named = [text for text in known if text.split(" (")[0] in _INSIDE]
    above = [text for text, value in known.items() if value > 0]
    return [EACH, *above, *named][-1]


def _between_of(borders: dict[str, Any]) -> str:
    named = [text for text in borders if any(word in text for word in _BETWEEN)]
    return named[-1] if named else next(iter(borders), "")


def _share(layer: Layer, value: int | None) -> float:
    """Return how much of a layer is inside of objects, by a sample."""
    sample = _sample(layer)
    inside = sample == value if isinstance(layer, Labels) else sample > 0.5
    return float(np.mean(inside)) if inside.size else 0.0


def _sample(layer: Layer) -> Any:
    """Return some pixels of the section in the middle; none unless in memory."""
    pixels = layer.data[0] if layer.multiscale else layer.data
    if not isinstance(pixels, np.ndarray):
        return np.zeros((0,), layer.dtype)
    middle = tuple(length // 2 for length in pixels.shape[:-2])
    count = _MAPPED if isinstance(pixels, np.memmap) else _SAMPLED
    steps = (max(1, length // count) for length in pixels.shape[-2:])
    return pixels[(*middle, *(slice(None, None, step) for step in steps))]
