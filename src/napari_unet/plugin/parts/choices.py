"""Choosing a layer of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer


MODEL_KEY = "napari-unet model"
"""In a layer's metadata: the model that predicted it."""

RESULT_KEY = "napari-unet result"
"""In a layer's metadata: which `image` (its `unique_id`) it was predicted from, at
which pixel it has its `start`, `what` it is, of probabilities the `class` by its index,
which `prediction` it is of, and the `values` and `names` of all classes."""

CORRECTIONS_KEY = "napari-unet corrections"
"""In the metadata of a labels layer: a person paints there what a prediction should be.
See `napari_unet.plugin.correct.layer.Corrections`."""

CHANNEL_KEY = "napari-unet channel"
"""In the metadata of an image layer: which channel of its file it is, from 0, and the
names of all of them."""

LOOK_KEY = "napari-unet look"
"""In a layer's metadata: it is computed only where it is looked at."""

PREVIEW_KEY = "napari-unet preview"
"""In a layer's metadata: it shows training patches."""


LIVE_KEY = "napari-unet live"
"""In a layer's metadata: it shows what a network that is being trained predicts."""


class LayerChoice(QComboBox):
    """The layers of one type; takes the only one, or the newest given one, by itself.

    Training patches are not among them.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    kind : type of layer
    empty : str
        Shown while there is none, to say what is missing.

    Attributes
    ----------
    rank : callable
        Tells how well a layer suits, where one is chosen by itself: the largest wins.
    by_hand : bool
        Whether the user chose the layer.
    """

    chosen = Signal()
    """Another layer is chosen, by the user or because layers came or went."""

    def __init__(self, viewer: ViewerModel, kind: type[Layer], empty: str) -> None:
        super().__init__()
        self._viewer = viewer
        self._kinds: tuple[type[Layer], ...] = (kind,)
        self._layers: list[Any] = []
        self.rank: Callable[[Any], Any] = lambda layer: 0
        self.by_hand = False
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

    @property
    def given(self) -> list[Any]:
        """The layers to choose from that are not results of ours."""
        return [each for each in self._layers if MODEL_KEY not in each.metadata]

    def offer(self, *kinds: type[Layer]) -> None:
        """List layers of other types from now on."""
        self._kinds = kinds
        self.refresh()

    def lists(self, layer: Layer) -> bool:
        """Whether a layer can be chosen."""
        return layer in self._layers

    def choose(self, layer: Layer) -> None:
        """Choose a layer of the list."""
        self.setCurrentIndex(self._layers.index(layer))

    def suggest(self) -> None:
        """Choose the layer that suits best, instead of the one chosen so far."""
        self.setCurrentIndex(self._suggest(self._layers))
        self.by_hand = False

    def refresh(self) -> None:
        """List the layers anew; what is chosen stays so while it exists."""
        before = self.layer
        found = [each for each in self._viewer.layers if self._fits(each)]
        came = [each for each in found if each not in self._layers]
        self._updating = True
        self.clear()
        self._layers = found
        self.addItems([each.name for each in found])
        if before not in found:
            self.by_hand = False
            self.setCurrentIndex(self._suggest(came or found))
        else:
            self.setCurrentIndex(found.index(before))
        self._updating = False
        if self.layer != before:
            self.chosen.emit()

    def _fits(self, layer: Layer) -> bool:
        passing = {PREVIEW_KEY, LIVE_KEY} & layer.metadata.keys()
        return isinstance(layer, self._kinds) and not passing

    def _suggest(self, layers: list[Any]) -> int:
        """Take the newest of the best suited, none of which is a result of ours."""
        given = [each for each in self.given if each in layers]
        best = max(reversed(given or layers), key=self.rank, default=None)
        return -1 if best is None else self._layers.index(best)

    def _on_index(self) -> None:
        if not self._updating:
            self.by_hand = True
            self.chosen.emit()


class PredictionChoice(LayerChoice):
    """The labels that a model predicted; takes the newest by itself."""

    def _fits(self, layer: Layer) -> bool:
        about = layer.metadata.get(RESULT_KEY, {})
        other = about.get("what") in ("objects", "errors")
        return super()._fits(layer) and MODEL_KEY in layer.metadata and not other

    def _suggest(self, layers: list[Any]) -> int:
        return self._layers.index(layers[-1]) if layers else -1
