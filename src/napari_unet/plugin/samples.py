"""The sample stacks of File ▸ Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.data import synthetic_em
from napari_unet.data.isbi2012 import fetch_isbi2012
from napari_unet.data.strokes import draw_strokes
from napari_unet.plugin.layers import layer_from_stack

if TYPE_CHECKING:
    LayerData = tuple[Any, dict[str, Any], str]

_PAINTED = (4, 14, 24)  # of 30 sections


def synthetic() -> list[LayerData]:
    """Make an electron microscopy stack and its labels in code."""
    image, labels = synthetic_em()
    return [layer_from_stack(image, "image"), layer_from_stack(labels, "labels")]


def strokes() -> list[LayerData]:
    """Make such a stack, and strokes on three of its sections."""
    image, labels = synthetic_em()
    painted = draw_strokes(labels, _PAINTED)
    return [layer_from_stack(image, "image"), layer_from_stack(painted, "labels")]


def isbi2012_train() -> list[LayerData]:
    """Return the training stack of the ISBI 2012 challenge and its labels."""
    return _isbi2012("train")


def isbi2012_test() -> list[LayerData]:
    """Return the test stack of the ISBI 2012 challenge, and labels if there are."""
    return _isbi2012("test")


def _isbi2012(part: str) -> list[LayerData]:
    stacks = fetch_isbi2012()
    layers = [layer_from_stack(stacks[f"{part}-volume"], "image")]
    if (labels := stacks.get(f"{part}-labels")) is not None:
        layers.append(layer_from_stack(labels, "labels"))
    return layers
