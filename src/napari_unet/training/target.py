"""What a training learns of labels: classes, or values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_unet.config import read_names
from napari_unet.data.masks.annotations import (
    as_mask,
    distance_stack,
    mask_of_objects,
    read_annotations,
)
from napari_unet.data.masks.find import IGNORE, Classes
from napari_unet.data.masks.scale import Scale, find_scale
from napari_unet.training.weights import has_walls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.config import TrainingConfig
    from napari_unet.data.stack import Stack

    Target = Classes | Scale

_LOOKED_AT = 8  # sections, to choose a loss by


def readable(labels: Stack, config: TrainingConfig) -> Stack:
    """Return labels as a mask, or as they are where their values are learnt."""
    values = config.regresses and config.objects == "no"
    return labels if values else as_mask(labels)


def find_target(
    labels: Sequence[Stack], config: TrainingConfig
) -> tuple[Sequence[Stack], Target, dict[int, int]]:
    """Return what is learnt of each image, its classes or scale, and pixels by value.

    Parameters
    ----------
    labels : sequence of Stack
        As `readable` makes them.
    """
    if config.objects == "distance":
        distances = [learnt_of(each, config) for each in labels]
        return distances, find_scale(*distances), {}
    if config.regresses:
        return labels, find_scale(*labels, **_unknown(config)), {}
    found = read_annotations(
        labels,
        objects=config.objects,
        border_width=config.border_width,
        names=read_names(config.class_names),
        **_unknown(config),
    )
    return found.masks, found.classes, found.counts


def learnt_of(labels: Stack, config: TrainingConfig) -> Stack:
    """Return labels in the values that are learnt, as `find_target` does of all."""
    labels = readable(labels, config)
    if config.objects == "no":
        return labels
    if config.objects == "distance":
        return distance_stack(labels, **_unknown(config))
    return mask_of_objects(
        labels,
        objects=config.objects,
        border_width=config.border_width,
        **_unknown(config),
    )


def _unknown(config: TrainingConfig) -> dict[str, Any]:
    """Say which mask values mean nothing."""
    return {
        "ignore": config.ignore,
        "zero_is_unlabelled": config.zero_is_unlabelled,
    }


def only_renamed(one: Target, other: Target) -> bool:
    """Whether two targets are classes of the same mask values."""
    classes = isinstance(one, Classes) and isinstance(other, Classes)
    return classes and one.values == other.values


def shows_walls(masks: Sequence[Stack], target: Target) -> bool:
    """Whether what is learnt are walls: see `has_walls`."""
    return isinstance(target, Classes) and has_walls(_some_sections(masks, target))


def _some_sections(
    masks: Sequence[Stack], classes: Classes
) -> Iterator[NDArray[np.uint8]]:
    """Give a few annotated sections as class indices, evenly spread over all."""
    places = [(mask, index) for mask in masks for index in range(mask.n_sections)]
    for mask, index in places[:: math.ceil(len(places) / _LOOKED_AT)]:
        labels = classes.encode(mask.section(index)[0])
        if (labels != IGNORE).any():
            yield labels
