"""Pictures of a section for a report: image, truth, prediction and errors."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.error_map import COLOURS
from napari_unet.evaluation.picture import (
    BLUE,
    NOT_ANNOTATED,
    VERMILLION,
    paint,
    palette,
    stretch,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.stack import Stack
    from napari_unet.evaluation.comparison import Comparison

_EDGE = 512  # pixels of the longer side: sharp on paper, small in a file
_SHADES = 15  # of grey, below the colours of errors
_GOLDEN = 0.618  # of the circle of hues between one object and the next


def section_panels(
    comparison: Comparison[Any], index: int, image: NDArray[Any] | None = None
) -> dict[str, str]:
    """Draw a section.

    Parameters
    ----------
    comparison : Comparison
        That has scored.
    index : int
        Number of the section.
    image : (Y, X) or (Y, X, 3) array, optional

    Returns
    -------
    dict of str to str
        ``data:`` addresses of PNG pictures by their titles; the image is a JPEG.
    """
    truth, prediction = map(_small, comparison.seen(index))
    errors = _small(comparison.errors(index))
    grey = np.full((*truth.shape, 3), 0.5)
    panels = {}
    if image is not None:
        grey = stretch(_averaged(image, truth.shape))
        panels["Image"] = grey
    if comparison.kind == "values":
        low, high = _limits(truth)
        panels["Truth"] = _as_grey(truth, low, high)
        panels["Prediction"] = _as_grey(prediction, low, high)
        panels["Difference"] = _as_difference(errors, high - low)
    else:
        colour = _numbered if comparison.kind == "objects" else _classes(comparison)
        panels["Truth"], panels["Prediction"] = colour(truth), colour(prediction)
        panels["Errors"] = _errors(grey, errors)
    return {
        title: _address(colours, "JPEG" if title == "Image" else "PNG")
        for title, colours in panels.items()
    }


def picture_of(stack: Stack, index: int) -> NDArray[Any]:
    """Return a section of an image to be looked at: (Y, X), or (Y, X, 3) colours."""
    section = stack.section(index)
    return np.moveaxis(section, 0, -1) if len(section) == 3 else section[0]


def class_colours(names: tuple[str, ...]) -> dict[str, str]:
    """Return the colour in which each class is drawn."""
    return dict(zip(names, palette(len(names)), strict=True))


def _small(section: NDArray[Any]) -> NDArray[Any]:
    """Leave out rows and columns of a large section; labels cannot be averaged."""
    step = -(-max(section.shape) // _EDGE)
    return section[::step, ::step]


def _averaged(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    from skimage.transform import resize

    if image.shape[:2] == shape:
        return image
    small: NDArray[Any] = resize(
        image.astype(np.float32), (*shape, *image.shape[2:]), anti_aliasing=True
    )
    return small


def _classes(comparison: Any) -> Any:
    colours = dict(enumerate(palette(comparison.classes.n)))
    return lambda labels: paint(labels, colours)


def _numbered(objects: NDArray[Any]) -> NDArray[np.float64]:
    """Give each object a colour of its own, the same for the same number."""
    from matplotlib.colors import hsv_to_rgb

    hue = np.mod(objects.astype(np.float64) * _GOLDEN, 1)
    there = (objects != 0).astype(np.float64)
    colours: NDArray[np.float64] = hsv_to_rgb(
        np.stack([hue, 0.6 * there, 0.95 * there], axis=-1)
    )
    return colours


def _errors(grey: NDArray[Any], errors: NDArray[Any]) -> NDArray[np.float64]:
    from matplotlib.colors import to_rgb

    # Grey values from the middle of the range let the colours stand out.
    # Few of them keep the file small.
    shades = np.rint(_SHADES * grey.mean(axis=-1)) / _SHADES
    painted = np.stack([0.25 + 0.6 * shades] * 3, axis=-1)
    for kind, colour in COLOURS.items():
        painted[errors == kind] = to_rgb(colour)
    return painted


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, (0.5, 99.5)).tolist()
    return low, max(high, low + 1e-12)


def _as_grey(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    share = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
    return np.stack([share] * 3, axis=-1)


def _as_difference(errors: NDArray[Any], span: float) -> NDArray[np.float64]:
    """Paint too much in vermillion, too little in blue, grey where unknown."""
    from matplotlib.colors import to_rgb

    share = np.clip(np.nan_to_num(errors) / (0.5 * span), -1, 1)[..., None]
    ends = np.where(share > 0, to_rgb(VERMILLION), to_rgb(BLUE))
    painted = 1 + np.abs(share) * (ends - 1)
    painted[np.isnan(errors)] = to_rgb(NOT_ANNOTATED)
    return np.asarray(painted)


def _address(colours: NDArray[Any], kind: str) -> str:
    from PIL import Image

    file = io.BytesIO()
    pixels = np.rint(255 * np.clip(colours, 0, 1)).astype(np.uint8)
    Image.fromarray(pixels).save(file, kind, optimize=True, quality=88)
    text = base64.b64encode(file.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{text}"
