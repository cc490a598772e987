"""From an annotated image to a model."""

from napari_unet.training.preview import preview_patches
from napari_unet.training.probe import probe_training
from napari_unet.training.train import train, train_events

__all__ = ["preview_patches", "probe_training", "train", "train_events"]
