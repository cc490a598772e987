"""Images with their masks, as pairs of stacks."""

from __future__ import annotations

from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.matching import is_several, pair_folders
from napari_unet.data.open import as_stack
from napari_unet.data.stack import Stack
from napari_unet.errors import ConfigError, MaskError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    Image = Stack | str | Path | ArrayLike
    Pair = tuple[Stack, Stack]


def as_pairs(
    image: Image | Sequence[Image], labels: Image | Sequence[Image], axes: str | None
) -> list[Pair]:
    """Open images and masks, one or a list of each, as pairs of stacks."""
    images, masks = _as_list(image), _as_list(labels)
    if len(images) == len(masks) == 1 and all(map(_names_several, (*images, *masks))):
        files = pair_folders(Path(images[0]), Path(masks[0]))
        images = [pair.image for pair in files]
        masks = [pair.mask for pair in files]
    if len(images) != len(masks) or not images:
        raise MaskError(
            f"There are {len(images)} images and {len(masks)} masks, but each image "
            "needs its mask: give two lists of the same length, in the same order."
        )
    pairs = []
    for one, mask in zip(images, masks, strict=True):
        stack = as_stack(one, axes=axes)
        pairs.append((stack, _as_labels(mask, stack, told=axes is not None)))
    return pairs


def held_out_pairs(
    image: Image | Sequence[Image] | None,
    labels: Image | Sequence[Image] | None,
    axes: str | None,
) -> list[Pair]:
    """Open what a training is to be judged by, if anything is given for it.

    Raises
    ------
    ConfigError
        If only one of image and labels is given.
    """
    if image is None and labels is None:
        return []
    if image is None or labels is None:
        raise ConfigError(
            "To judge the model by other data give both: validation_image and "
            "validation_labels."
        )
    return as_pairs(image, labels, axes)


def _names_several(given: Any) -> bool:
    return isinstance(given, str | Path) and is_several(Path(given))


def _as_list(given: Image | Sequence[Image]) -> list[Any]:
    """Return several images as they are, one image as a list of one."""
    if not isinstance(given, list | tuple):
        return [given]
    numbers = given and all(isinstance(each, Number | list | tuple) for each in given)
    return [given] if numbers else list(given)


def _as_labels(labels: Image, image: Stack, *, told: bool) -> Stack:
    """Take the axes from the image: of a file where they were told, of an array."""
    if isinstance(labels, Stack):
        return labels
    if isinstance(labels, str | Path):
        return as_stack(labels, axes=image.section_axes if told else None)
    fits = np.ndim(labels) == len(image.section_axes)
    return as_stack(labels, axes=image.section_axes if fits else None)
