"""Whether an image fits a model, said before predicting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.config import NetworkConfig
from napari_unet.data.region import find_region
from napari_unet.errors import UNetError
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.parts.fields import paragraph
from napari_unet.prediction.pixel_size import compare_sizes
from napari_unet.prediction.rescaling import rescaling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image
    from qtpy.QtWidgets import QCheckBox

    from napari_unet.data import Stack

_TELLING = ("scale", "units", "axis_labels", "data")  # events of a layer


@dataclass(frozen=True)
class TrainedModel:
    """What `read_info` tells of a model without its weights."""

    config: NetworkConfig
    pixel_size: Mapping[str, float]
    unit: str | None
    name: str

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> TrainedModel:
        """Build it from `read_info`'s result.

        Raises
        ------
        ConfigError
            If the network has options that this program does not know.
        """
        config = NetworkConfig.from_dict(info["network"])
        size, name = info.get("pixel_size") or {}, info.get("name", "")
        return cls(config, size, info.get("unit"), name)

    def as_seen(self, stack: Stack) -> Stack:
        """Return an image at the pixel size at which the model is to see it.

        Raises
        ------
        UNetError
            If one of the two does not say how large its pixels are.
        """
        grid = rescaling(self, stack, find_region(stack))
        return grid.stack if grid else stack

    def misfit(self, stack: Stack) -> str:
        """Say why an image cannot be predicted with the model; empty if it can.

        Raises
        ------
        StackFormatError
            If the model sees volumes, and the image is none.
        """
        stack.shape_seen(self.config.dims)
        ours, theirs = stack.n_channels, self.config.channels
        if ours == theirs:
            return ""
        found = f"The image has {ours} channel(s), but the model expects {theirs}"
        if theirs == 1:
            return f"{found}: right-click the layer and split it, or merge its colours."
        if ours == 1:
            return f"{found}: select the layers of its channels, and merge them."
        return f"{found}: choose another image, or another model."


class FitView(QWidget):
    """Warns of an image that does not fit the model, and offers to rescale it.

    Parameters
    ----------
    rescale : QCheckBox
        The field of the option; it is seen only where it helps.

    Attributes
    ----------
    said : str
        What the user knows of the pixel size.
    misfit : str
        Why the image cannot be predicted; empty if it can.
    """

    def __init__(self, rescale: QCheckBox) -> None:
        super().__init__()
        self.words = paragraph()
        self.rescale = rescale
        rescale.setText("rescale the image to match")
        self.said = self.misfit = ""
        self._layer: Image | None = None
        self._model: TrainedModel | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        column.addWidget(rescale)
        self.hide()

    def show_layer(self, layer: Image | None) -> None:
        """Judge another layer, and again when its pixel size changes."""
        for name in _TELLING:
            if self._layer is not None:
                getattr(self._layer.events, name).disconnect(self._judge)
            if layer is not None:
                getattr(layer.events, name).connect(self._judge)
        self._layer = layer
        self._judge()

    def show_model(self, info: Mapping[str, Any] | None) -> None:
        """Judge by another model, or none."""
        self._model = None if info is None else TrainedModel.from_info(info)
        self._judge()

    def _judge(self, _: object = None) -> None:
        self.misfit = self.said = ""
        if self._model is not None and self._layer is not None:
            try:
                stack = stack_from_layer(self._layer)
                self.misfit = self._model.misfit(stack)
                self.said = compare_sizes(self._model, stack)
            except UNetError as error:
                self.misfit = str(error)
        self.words.setText(f"⚠ {self.misfit or self.said}")
        self.rescale.setVisible(bool(self.said) and not self.misfit)
        if not self.said:
            self.rescale.setChecked(False)
        self.setVisible(bool(self.misfit or self.said))
