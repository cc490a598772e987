"""The jobs that train, and that show what will be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.events import Event, PatchesDrawn
from napari_unet.worker.pixels import pair_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.control import Control
    from napari_unet.worker.pipes import Request


def train(request: Request, control: Control) -> Iterator[Event]:
    """Train on the pixels that a request names; yields the events of the training."""
    from napari_unet.training import train_events
    from napari_unet.training.train import training_config

    run, resume = Path(request["run"]), request.get("resume", False)
    config = training_config(request.get("options", {}), run if resume else None)
    yield from train_events(
        [pair_of(request)], config, run=run, control=control, resume=resume
    )


def preview(request: Request, control: Control) -> Iterator[Event]:
    """Draw training patches into .npy files beside the pixels."""
    from napari_unet.training import preview_patches

    drawn = preview_patches(*pair_of(request), **request.get("options", {}))
    folder = Path(request["image"]).parent
    paths = [folder / "patches.npy", folder / "patches-labels.npy"]
    for path, patches in zip(paths, drawn, strict=True):
        np.save(path, patches)
    yield PatchesDrawn(*map(str, paths))
