"""Training patches to look at, before a training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import TrainingConfig
from napari_unet.data.classes import IGNORE
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.training.dataset import Dataset
from napari_unet.training.train import as_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from napari_unet.data.stack import Stack


def preview_patches(
    image: Stack | str | Path | ArrayLike,
    labels: Stack | str | Path | ArrayLike,
    n: int = 8,
    *,
    axes: str | None = None,
    **options: Any,
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return training patches as the network will see them, with their labels.

    Parameters
    ----------
    image, labels : array, Stack, str or Path
        As for `napari_unet.train`.
    n : int
        How many patches.
    axes : str, optional
        The axes of `image`.
    **options
        Fields of `napari_unet.config.TrainingConfig`, such as ``augment="strong"``.

    Returns
    -------
    images : ndarray of float32, shape (N, C, Y, X)
        In the grey values of `image`.
    labels : ndarray, shape (N, Y, X)
        In the values of the mask.

    Raises
    ------
    ConfigError, MaskError, StackFormatError, TrainingError
        As `napari_unet.train` does.
    """
    ((stack, mask),) = as_pairs(image, labels, axes)
    config = TrainingConfig.from_dict(options)
    config = replace(config, batch_size=n, context=0, validation=0.0)
    data = Dataset([(stack, mask)], config)
    images, targets, _ = (each.contiguous().numpy() for each in data.batch(1))
    scale = measure_normalisation(stack)
    grey = images * scale.deviation + scale.mean
    values = data.target.decode(targets)
    if config.task == "regression":
        values[targets == IGNORE] = np.nan
    return grey.astype(np.float32), values
