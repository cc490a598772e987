"""Choosing a layer of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


MODEL_KEY = "napari-unet model"
"""In a layer's metadata: the model that predicted it."""

RESULT_KEY = "napari-unet result"
"""In a layer's metadata: which `image` (its `unique_id`) it was predicted from, `what`
it is, of probabilities the `class` by its index, and which `prediction` it is of."""

LOOK_KEY = "napari-unet look"
"""In a layer's metadata: it is computed only where it is looked at."""

PREVIEW_KEY = "napari-unet preview"
"""In a layer's metadata: it shows training patches."""


class LayerChoice(QComboBox):
    """The layers of one type; takes the only one, or the newest given one, by itself.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    kind : type of layer
    empty : str
        Shown while there is none, to say what is missing.
    """

    chosen = Signal()
    """Another layer is chosen, by the user or because layers came or went."""

    def __init__(self, viewer: ViewerModel, kind: type[Layer], empty: str) -> None:
        super().__init__()
        self._viewer = viewer
        self._kinds: tuple[type[Layer], ...] = (kind,)
        self._layers: list[Any] = []
        self.setPlaceholderText(empty)
        self.setMinimumContentsLength(12)
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._updating = False
        self.currentIndexChanged.connect(self._on_index)
        self.refresh()

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def offer(self, *kinds: type[Layer]) -> None:
        """List layers of other types from now on."""
        self._kinds = kinds
        self.refresh()

    def choose(self, layer: Layer) -> None:
        """Choose a layer of the list."""
        self.setCurrentIndex(self._layers.index(layer))

    def refresh(self) -> None:
        """List the layers anew; what is chosen stays so while it exists."""
        before = self.layer
        found = [each for each in self._viewer.layers if isinstance(each, self._kinds)]
        came = [each for each in found if each not in self._layers]
        self._updating = True
        self.clear()
        self._layers = found
        self.addItems([each.name for each in found])
        if before not in found:
            self.setCurrentIndex(self._suggest(came or found))
        else:
            self.setCurrentIndex(found.index(before))
        self._updating = False
        if self.layer != before:
            self.chosen.emit()

    def _suggest(self, layers: list[Any]) -> int:
        """Take the newest layer that is not itself a result of ours."""
        ours = {MODEL_KEY, PREVIEW_KEY}
        given = [each for each in layers if not ours & each.metadata.keys()]
        return self._layers.index((given or layers)[-1]) if layers else -1

    def _on_index(self) -> None:
        if not self._updating:
            self.chosen.emit()
