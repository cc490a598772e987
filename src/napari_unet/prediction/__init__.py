"""From an image and a model to labels and probabilities."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.prediction.attention import predict_attention
    from napari_unet.prediction.dask_array import predict_lazy
    from napari_unet.prediction.measure import measure_objects
    from napari_unet.prediction.object_stack import label_objects
    from napari_unet.prediction.objects import find_objects
    from napari_unet.prediction.output import predict
    from napari_unet.prediction.sections import predict_events
    from napari_unet.prediction.to_files import predict_to_files
    from napari_unet.prediction.unsure import find_unsure

_ROOMS = {
    "find_objects": "objects",
    "find_unsure": "unsure",
    "label_objects": "object_stack",
    "measure_objects": "measure",
    "predict": "output",
    "predict_attention": "attention",
    "predict_events": "sections",
    "predict_lazy": "dask_array",
    "predict_to_files": "to_files",
}

__all__ = [
    "find_objects",
    "find_unsure",
    "label_objects",
    "measure_objects",
    "predict",
    "predict_attention",
    "predict_events",
    "predict_lazy",
    "predict_to_files",
]


def __getattr__(name: str) -> object:
    """Load a name when it is first used, so that the tile plan needs no torch."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    return value
