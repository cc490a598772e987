"""The button that shows training patches as layers, and takes them away again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from napari_unet.plugin.parts.choices import PREVIEW_KEY

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.events import PatchesDrawn
    from napari_unet.plugin.train.preview import PatchPlace

WHERE_PATCHES = (
    "The examples are on the right of the image: patches as they will be trained, and "
    "their labels."
)
_SHOW, _REMOVE = "Show au&gmented examples", "Remove the e&xamples"
_HINTS = {
    _SHOW: "Show patches as they will be trained, beside the image.",
    _REMOVE: "Take the patches out of the viewer.",
}


class ExamplesButton(QPushButton):
    """Shows examples, or removes those that are shown.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.say_what()

    def say_what(self) -> None:
        """Say what a click does now."""
        text = _REMOVE if self._shown() else _SHOW
        self.setText(text)
        self.setToolTip(f"<p>{_HINTS[text]}</p>")

    def show_patches(self, event: PatchesDrawn, place: PatchPlace) -> None:
        """Add the patches beside their image; what was active stays active."""
        active = self._viewer.layers.selection.active
        for data, meta, kind in place.layers(event):
            getattr(self._viewer, f"add_{kind}")(data, **meta)
        self._viewer.layers.selection.active = active  # it may be painted on
        self._viewer.reset_view()

    def remove_shown(self) -> bool:
        """Remove the patches; False if there were none."""
        shown = self._shown()
        for layer in shown:
            self._viewer.layers.remove(layer)
        if shown:
            self._viewer.reset_view()
        return bool(shown)

    def _shown(self) -> list[Layer]:
        """Return the patches, the topmost first: napari may crash the other way."""
        layers = reversed(self._viewer.layers)
        return [each for each in layers if PREVIEW_KEY in each.metadata]
