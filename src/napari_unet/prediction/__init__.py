"""From an image and a model to labels and probabilities."""

from napari_unet.prediction.engine import predict_events
from napari_unet.prediction.output import predict, predict_to_files

__all__ = ["predict", "predict_events", "predict_to_files"]
