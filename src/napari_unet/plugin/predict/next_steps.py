"""Buttons to what comes after a prediction: its objects, its mistakes, its score."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from npe2 import PluginManager
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_unet.plugin.parts.choices import RESULT_KEY, LayerChoice
from napari_unet.plugin.parts.fields import button
from napari_unet.plugin.session import open_widget
from napari_unet.plugin.settings import PLUGIN

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

_STEPS = {
    "Objects": "Find and measure the objects in this prediction.",
    "Correct": "See where this prediction is unsure, and correct it.",
    "Evaluate": "Compare this prediction with a truth.",
}


class NextSteps(QWidget):
    """Opens other widgets of ours on the prediction; seen where there is one.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.buttons = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for name in filter(_widgets().__contains__, _STEPS):
            self.buttons[name] = made = button(f"{name} …", _STEPS[name])
            made.clicked.connect(partial(self._open, name))
            row.addWidget(made)
        self.follow()

    def follow(self) -> None:
        """Follow the layers of the viewer."""
        self.setVisible(bool(self.buttons) and self._prediction() is not None)

    def _prediction(self) -> Layer | None:
        """Return the active prediction, or else the topmost."""
        active = self._viewer.layers.selection.active
        layers = [active, *reversed(self._viewer.layers)]
        return next((each for each in layers if each and _is_prediction(each)), None)

    def _open(self, name: str, _: bool = False) -> None:
        layer = self._prediction()
        widget = open_widget(self._viewer, name)
        if layer is not None:
            self._viewer.layers.selection.active = layer
            _choose(widget, layer)


def _choose(widget: QWidget, layer: Layer) -> None:
    """Choose a prediction in the first field of a widget that lists it."""
    named = getattr(widget, "prediction", None)
    fields = [named] if isinstance(named, LayerChoice) else []
    for field in fields + widget.findChildren(LayerChoice):
        if field.lists(layer):
            field.choose(layer)
            return


def _is_prediction(layer: Layer) -> bool:
    return bool(layer.metadata.get(RESULT_KEY, {}).get("what") == "labels")


def _widgets() -> set[str]:
    """Return the names of the widgets in our manifest."""
    manifest = PluginManager.instance().get_manifest(PLUGIN)
    return {each.display_name for each in manifest.contributions.widgets or ()}
