"""A small picture of what a run predicts, to know it by in a list."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.stack import Stack
from napari_unet.errors import UNetError
from napari_unet.evaluation.picture import CLASS_COLOURS
from napari_unet.files import replacing
from napari_unet.model import THUMBNAIL_FILE
from napari_unet.prediction import predict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.config import TrainingConfig
    from napari_unet.model import Model
    from napari_unet.training.split import Split

SIZE = 128
"""Rows and columns of the picture, at most."""

_LOG = logging.getLogger(__name__)
_SEEN = 2 * SIZE  # pixels of the section along each side
_AROUND = 8  # sections on either side that a 3-D network is shown
_OVER = 0.5  # how much of the colour of a class is seen


def write_thumbnail(
    run: Path,
    model: Model,
    images: Sequence[Stack],
    splits: Sequence[Split],
    config: TrainingConfig,
) -> None:
    """Draw a held-out section, or else the first, with its prediction over it.

    A run is as good without: what goes wrong is logged.

    Parameters
    ----------
    run : Path
        The run folder.
    model : Model
    images : sequence of Stack
        Those of the training.
    splits : sequence of Split
        What of each is held out.
    config : TrainingConfig
        Says where to compute.
    """
    from PIL import Image

    number = next((i for i, each in enumerate(splits) if each.validation), 0)
    try:
        part, middle = _part(images[number], splits[number], model.config.dims)
        found = predict(model, part, device=config.device, precision=config.precision)
        labels = np.asarray(found).reshape(-1, *part.shape[-2:])[middle]
        picture = Image.fromarray(draw(part.section(middle), labels, model))
        picture.thumbnail((SIZE, SIZE))
        with replacing(run / THUMBNAIL_FILE) as path:
            picture.save(path, "png")
    except (UNetError, OSError, MemoryError, RuntimeError) as error:
        _LOG.warning("No thumbnail was drawn for %s (%s).", run, error)


def draw(pixels: NDArray[Any], found: NDArray[Any], model: Model) -> NDArray[np.uint8]:
    """Lay a prediction in colours over a section; its commonest class stays clear.

    Parameters
    ----------
    pixels : ndarray, shape (C, Y, X)
    found : ndarray, shape (Y, X)
        Labels in mask values; for regression values, which are drawn alone.
    model : Model

    Returns
    -------
    ndarray of uint8, shape (Y, X, 3)
    """
    if model.classes is None:
        return np.repeat(_grey(found)[..., None], 3, axis=-1)
    picture = np.repeat(_grey(pixels.mean(axis=0))[..., None], 3, axis=-1)
    classes = model.classes.encode(found)
    counts = np.bincount(classes.ravel(), minlength=model.classes.n)
    coloured = [each for each in range(model.classes.n) if each != counts.argmax()]
    for place, number in enumerate(coloured):
        name = CLASS_COLOURS[1 + place % (len(CLASS_COLOURS) - 1)]
        colour = np.array([int(name[i : i + 2], 16) for i in (1, 3, 5)])
        here = classes == number
        picture[here] = (1 - _OVER) * picture[here] + _OVER * colour
    return picture


def _part(image: Stack, split: Split, dims: int) -> tuple[Stack, int]:
    """Return the middle of a section, or what is around it, and its number there."""
    numbers, rows, depth = (
        (split.validation, split.validation_rows, split.validation_depth)
        if split.validation
        else (split.training, split.training_rows, split.training_depth)
    )
    windows = [_middle(*rows), _middle(0, image.section_shape[1])]
    if dims == 2:
        return Stack(image.section(numbers[0], *windows), "CYX"), 0
    volume = image.seen_together(3)[numbers[0]]
    centre = sum(depth or (0, len(volume))) // 2
    first = max(0, centre - _AROUND)
    seen = [image.section(int(i), *windows) for i in volume[first : centre + _AROUND]]
    return Stack(np.stack(seen), "ZCYX"), centre - first


def _middle(start: int, stop: int) -> slice:
    first = max(start, (start + stop - _SEEN) // 2)
    return slice(first, min(stop, first + _SEEN))


def _grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Stretch values to 0 to 255, but for the outermost hundredths."""
    known = values[np.isfinite(values)].astype(float)
    low, high = np.percentile(known, (1, 99)) if known.size else (0, 1)
    share = (values - low) / max(high - low, 1e-9)
    grey: NDArray[np.uint8] = (255 * np.nan_to_num(share).clip(0, 1)).astype(np.uint8)
    return grey
