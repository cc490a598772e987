"""Training patches to look at, before a training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import TrainingConfig
from napari_unet.data.masks.classes import IGNORE
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.errors import ConfigError
from napari_unet.training.dataset import Dataset
from napari_unet.training.pairs import as_pairs

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
    images : ndarray of float32, shape (N, C, Y, X) or (N, C, Z, Y, X)
        In the grey values of `image`; with context, C are the channels of all sections
        that the network sees at once.
    labels : ndarray, shape (N, Y, X) or (N, Z, Y, X)
        In the values of the mask.

    Raises
    ------
    ConfigError, MaskError, StackFormatError, TrainingError
        As `napari_unet.train` does.
    """
    pairs = as_pairs(image, labels, axes)
    if len(pairs) > 1:
        raise ConfigError(
            f"There are {len(pairs)} images, but patches of one at a time can be "
            "looked at: give one of them with its mask."
        )
    config = replace(TrainingConfig.from_dict(options), batch_size=n, validation=0.0)
    data = Dataset(pairs, config)
    images, targets, _ = (each.contiguous().numpy() for each in data.batch(1))
    scale = measure_normalisation(pairs[0][0])
    mean, deviation = (
        np.resize(each, (images.shape[1], *[1] * data.network.dims))
        for each in (scale.mean, scale.deviation)
    )
    grey = images * deviation + mean
    values = data.target.decode(targets)
    if config.task == "regression":
        values[targets == IGNORE] = np.nan
    return grey.astype(np.float32), values
