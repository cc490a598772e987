"""Annotations that change while a run goes on, or before it is gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import TrainingError, UNetError
from napari_unet.events import LabelsRefused, LabelsTaken

if TYPE_CHECKING:
    from napari_unet.control import NewLabels
    from napari_unet.training.dataset import Dataset
    from napari_unet.training.run import RunFolder


def take_labels(
    data: Dataset, new: NewLabels, step: int
) -> LabelsTaken | LabelsRefused:
    """Let a training have sections that were annotated anew, if they fit."""
    numbers = list(new.sections)
    try:
        masks = np.load(new.path)
        taken = data.take(new.pair, dict(zip(numbers, masks, strict=True)))
    except (UNetError, OSError, ValueError, IndexError) as error:
        message = (
            f"The new annotations are not trained on: {error} The training goes on "
            "with those it had."
        )
        return LabelsRefused(step, message, numbers, new.pair)
    finally:
        Path(new.path).unlink(missing_ok=True)
    return LabelsTaken(step, numbers, taken.training, taken.held_out, new.pair)


def check_same(data: Dataset, run: RunFolder, *, new_labels: bool) -> bool:
    """Check that a run goes on with its own images.

    Returns
    -------
    bool
        Whether the annotations are others than those it was trained on last.

    Raises
    ------
    TrainingError
        If the images are others; or, without `new_labels`, the annotations.
    """
    recorded = run.config()["data"]
    if recorded["sha256"] == data.digest:
        return False
    if recorded.get("images_sha256") != data.image_digest:
        raise TrainingError(
            f"{run.path} was trained on other pixels than these: give the same "
            "images and labels, or start a new run."
        )
    if not new_labels:
        raise TrainingError(
            f"{run.path} was trained on other pixels than these: the images are the "
            "same, but not the labels. To go on with these labels say so (new_labels, "
            "--new-labels), or start a new run."
        )
    return True
