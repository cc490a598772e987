"""The job that predicts the images of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.batch.inputs import Item
from napari_unet.config import OutputConfig, PredictionConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.events import Event
    from napari_unet.worker.pipes import Request, Stop


def batch(request: Request, stop: Stop) -> Iterator[Event]:
    """Predict images, each into its own files."""
    from napari_unet.batch.item import Task
    from napari_unet.batch.pipeline import predict_items
    from napari_unet.model import Model

    task = Task(
        Model.load(request["model"]),
        PredictionConfig.from_dict(request["options"]),
        OutputConfig.from_dict(request["files"]),
        request["results"],
        Path(request["out"]),
        request["table"],
        request.get("axes"),
    )
    items = [
        Item(name, Path(image), Path(truth) if truth else None, region)
        for name, image, truth, region in request["items"]
    ]
    yield from predict_items(task, items, stop)
