"""From an annotated image to a model."""

from napari_unet.training.train import train, train_events

__all__ = ["train", "train_events"]
