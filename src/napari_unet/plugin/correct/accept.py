"""Which pixels of a prediction are accepted as true, and that work in threads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import UNetError
from napari_unet.plugin.correct.job import start_of_result
from napari_unet.plugin.correct.layer import Change, Corrections, accept, seeded
from napari_unet.plugin.correct.store import describe_store, new_pixels, open_saved
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.parts.choices import LOOK_KEY, RESULT_KEY
from napari_unet.plugin.predict.filling import PARTIAL
from napari_unet.plugin.predict.where import BOXES, region_in

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_unet.data.write.layout import Layout
    from napari_unet.plugin.correct.unsure import Subject
    from napari_unet.prediction.unsure import Place

    Bounds = list[tuple[int, int]]
    """First pixel and the one after the last along each axis of the labels."""

PLACE, ALL = "this place", "all (edit a copy)"
_SECTION, _VIEW = "this section", "this view"
_BOXES = {_SECTION: "current section", _VIEW: "current view"}
_MOST = 2**27  # pixels that are accepted at once

PARTS = (PLACE, _SECTION, _VIEW, ALL)
"""How much can be accepted, by the words for it."""


def finest(prediction: Labels) -> Any:
    """Return the pixels of a prediction at full resolution."""
    return prediction.data[0] if prediction.multiscale else prediction.data


def bounds_of(
    viewer: ViewerModel, subject: Subject, what: str, place: Place | None, size: int
) -> Bounds:
    """Return which pixels of the image are to be accepted.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    subject : Subject
    what : str
        One of `PARTS`.
    place : Place or None
        The one that is looked at, and in `size` how many rows and columns it has.
    size : int

    Raises
    ------
    UNetError
        If nothing was predicted there, or it is too much.
    """
    image, prediction = subject.image, subject.prediction
    stack = stack_from_layer(image)
    about = prediction.metadata.get(RESULT_KEY, {})
    start, shape = start_of_result(prediction), finest(prediction).shape
    whole = [(a, a + n) for a, n in zip(start, shape, strict=True)]
    wanted = whole
    if what == PLACE:
        wanted = _around(place, stack.section_axes, size)
    elif what in _BOXES:
        box = BOXES[_BOXES[what]](viewer, image)
        region = region_in(box, image, stack, _BOXES[what])
        wanted = list(region.along(stack.section_axes))
    bounds = [
        (max(a, low), min(b, high))
        for (a, b), (low, high) in zip(wanted, whole, strict=True)
    ]
    if any(a >= b for a, b in bounds):
        raise UNetError(
            f"{prediction.name!r} has nothing at {what}. Move to where it was "
            "predicted, or predict that part, too."
        )
    if about.get(PARTIAL) and 0 in subject.info["classes"]["values"]:
        raise UNetError(
            f"Not all of {prediction.name!r} is predicted, and what is not has the "
            "value of a class, 0. Let it be predicted to the end, and accept then."
        )
    lazy = what == ALL and LOOK_KEY in prediction.metadata
    if lazy or math.prod(b - a for a, b in bounds) > _MOST:
        raise UNetError(
            f"{what.capitalize()} of {prediction.name!r} is too much to be taken over "
            "at once. Accept the view, or a section."
        )
    return bounds


def _around(place: Place | None, axes: str, size: int) -> Bounds:
    if place is None:
        raise UNetError(
            "No place is looked at. Press Find unsure places and choose one, or "
            "accept this view or section."
        )
    half = size // 2
    return [
        (at - half, at + half) if axis in "YX" else (at, at + 1)
        for axis, at in zip(axes, place.position, strict=True)
    ]


Made = tuple[Any, Corrections, "Path | None", str]
"""Pixels, what they mean, where they are saved, and a remark to the user."""


def make_ready(
    layout: Layout, about: Corrections, saved: Path | None, annotations: Any
) -> Made:
    """Make the pixels of corrections, or open them; meant for a thread."""
    if saved is not None:
        pixels, _, _ = open_saved(saved)
        remark = f"Opened {saved.name}; what you paint is saved there."
        return pixels, describe_store(saved), saved, remark
    pixels, path = new_pixels(layout, about)
    remark = ""
    if annotations is not None and not seeded(pixels, annotations, about):
        remark = (
            "The annotations in the viewer have other values than the model's "
            "classes, and were not copied."
        )
    return pixels, about, path, remark


def take_over(
    corrections: Any, prediction: Any, inner: Bounds, bounds: Bounds, about: Corrections
) -> Change:
    """Read a part of a prediction, which may lie on the disk, and take it as true."""
    found = np.asarray(prediction[tuple(slice(*each) for each in inner)])
    return accept(corrections, found, bounds, about)
