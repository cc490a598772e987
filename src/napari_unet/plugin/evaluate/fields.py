"""The fields of the Evaluate widget, and what they take by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox

from napari_unet.config import read_values
from napari_unet.plugin.parts.choices import (
    LOOK_KEY,
    MODEL_KEY,
    RESULT_KEY,
    LayerChoice,
)

if TYPE_CHECKING:
    from napari.layers import Layer

_MEMBRANES = {"auto": None, "yes": True, "no": False}


class PredictionChoice(LayerChoice):
    """Takes the newest of our predictions by itself, or else the newest labels."""

    def _fits(self, layer: Layer) -> bool:
        return LOOK_KEY not in layer.metadata and super()._fits(layer)

    def _suggest(self, layers: list[Any]) -> int:
        ours = [each for each in layers if _compares(each)]
        labels = [
            each
            for each in layers
            if isinstance(each, Labels) and RESULT_KEY not in each.metadata
        ]
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


class SameValues(QCheckBox):
    """Lets the user say that values of the prediction stand for those of the truth.

    It is hidden until there is something to offer.
    """

    taken = Signal(object)
    """Ticked: the option `prediction_values`; no longer: None."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "<p>Evaluate anew, with these values as those of the truth.</p>"
        )
        self._suggested: str | None = None
        self.hide()
        self.toggled.connect(self._on_toggled)

    def offer(self, suggested: str | None) -> None:
        """Offer what only the user can know; nothing stays as it is."""
        if suggested is None:
            return
        self._suggested = suggested
        pairs = read_values(suggested).items()
        words = ", ".join(f"{own} means {meant}" for own, meant in pairs)
        self.setText(f"In the prediction {words}")
        self._tick(on=False)
        self.show()

    def forget(self) -> None:
        """Offer nothing any more."""
        self.hide()
        self._tick(on=False)

    def _tick(self, *, on: bool) -> None:
        with QSignalBlocker(self):
            self.setChecked(on)

    def _on_toggled(self, on: bool) -> None:
        self.taken.emit(self._suggested if on else None)


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
