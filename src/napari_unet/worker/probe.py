"""The job that says what a training would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.worker.pixels import pairs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.control import Control
    from napari_unet.events import Event
    from napari_unet.worker.pipes import Request


def probe(request: Request, control: Control) -> Iterator[Event]:
    """Train for a second on the pixels that a request names; nothing is kept."""
    from napari_unet.config import TrainingConfig
    from napari_unet.training.probe import probe

    config = TrainingConfig.from_dict(request.get("options", {}))
    yield probe(pairs_of(request), config, should_stop=control)
