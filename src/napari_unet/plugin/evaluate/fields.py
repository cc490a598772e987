"""The fields of the Evaluate widget, and what they take by themselves."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY, LayerChoice

_MEMBRANES = {"auto": None, "yes": True, "no": False}


class PredictionChoice(LayerChoice):
    """Takes the newest of our predictions by itself, or else the newest labels."""

    def _suggest(self, layers: list[Any]) -> int:
        ours = [each for each in layers if _compares(each)]
        labels = [each for each in layers if isinstance(each, Labels)]
        best = (ours or labels or layers)[-1:]
        return self._layers.index(best[0]) if best else -1


class MembranesField(QComboBox):
    """Whether membranes are scored: by what the classes are, yes or no."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.addItems([*_MEMBRANES])
        self.currentIndexChanged.connect(self.changed)

    def value(self) -> bool | None:
        """Return what is chosen as the option takes it."""
        return _MEMBRANES[self.currentText()]


def _compares(layer: Any) -> bool:
    """Tell whether a layer is a prediction of ours that can be scored."""
    what = layer.metadata.get(RESULT_KEY, {}).get("what")
    if what is None:
        return MODEL_KEY in layer.metadata
    return what in ("labels", "objects", "prediction", "probabilities")


def kind_of(layer: Any) -> str:
    """Return what a layer most likely holds."""
    what = layer.metadata.get(RESULT_KEY, {}).get("what")
    if what == "objects" or (what is None and "objects" in layer.name):
        return "objects"
    return "values" if what == "prediction" else "classes"
