"""The jobs that train, and that show what will be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.events import Event, PatchesDrawn
from napari_unet.worker.pixels import pair_of, pairs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.control import Control
    from napari_unet.worker.pipes import Request


def train(request: Request, control: Control) -> Iterator[Event]:
    """Train on the pixels that a request names; yields the events of the training.

    Besides ``"options"`` and ``"run"`` it may say ``"resume"``, with ``"more"`` to take
    the time given on top once that of the run is used up, and ``"new_labels"`` to go on
    with labels that were changed; or ``"continue_from"``, an
    earlier run to start from with its options. Of several images there are ``"pairs"``,
    each described as the only one is.
    """
    from napari_unet.training import train_events
    from napari_unet.training.going_on import continued_config, training_config

    run, resume = Path(request["run"]), request.get("resume", False)
    given, earlier = request.get("options", {}), request.get("continue_from")
    if earlier and not resume:
        config = continued_config(given, Path(earlier))
    else:
        more = request.get("more", False)
        config = training_config(given, run if resume else None, more=more)
    yield from train_events(
        pairs_of(request),
        config,
        run=run,
        control=control,
        resume=resume,
        new_labels=request.get("new_labels", False),
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
