"""Find the classes of a mask, and check that it belongs to its image."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.classes import IGNORE, MAX_CLASSES, Classes, share
from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from napari_unet.data.stack import Stack

__all__ = [
    "IGNORE",
    "MAX_CLASSES",
    "Classes",
    "check_pair",
    "count_values",
    "find_classes",
    "too_many_values",
]

_AT_ONCE = 2**19  # pixels that are counted while nothing else can run
_COUNTED = 4096  # distinct values after which counting stops: no mask has as many


def find_classes(
    *masks: Stack,
    ignore: Collection[int] = (),
    zero_is_unlabelled: bool = False,
    names: Mapping[int, str] | None = None,
) -> tuple[Classes, dict[int, int]]:
    """Find the classes of masks by their values, reading one section at a time.

    Parameters
    ----------
    *masks : Stack
        The masks, one value per pixel; the classes are those of all together.
    ignore : collection of int
        Mask values that mean "not annotated".
    zero_is_unlabelled : bool
        Whether 0 means "not annotated", as in scribbles, instead of being a class.
    names : mapping of int to str, optional
        The names of some of the values.

    Returns
    -------
    classes : Classes
        In ascending order of their values.
    counts : dict of int to int
        Pixels of each value found, ignored ones included, in ascending order.

    Raises
    ------
    MaskError
        If this is not a mask: several values per pixel, fractions, fewer than two
        classes, or more than 64.
    """
    counts: Counter[int] = Counter()
    for labels in masks:
        check_one_value(labels)
        counts += count_values(labels)
        if len(counts) > _COUNTED:
            break
    ignored = {*ignore} | ({0} if zero_is_unlabelled else set())
    values = sorted(set(counts) - ignored)
    label = masks[0].label
    if len(masks) > 1:
        label = f"The series of {len(masks)} masks from {label} on"
    if len(values) < 2:
        raise MaskError(_too_few(label, values, counts, zero_is_unlabelled))
    if len(values) > MAX_CLASSES:
        raise MaskError(too_many_values(label, counts))
    called = tuple((names or {}).get(value) or value_name(value) for value in values)
    if len(set(called)) < len(called):
        raise MaskError(
            f"{label} has the values {values} with the names {called}. Let the names "
            "differ."
        )
    classes = Classes(
        tuple(values),
        called,
        ignore=tuple(sorted(ignored)),
        dtype=np.result_type(*(each.dtype for each in masks)).name,
    )
    return classes, {value: counts[value] for value in sorted(counts)}


def value_name(value: int) -> str:
    """Return what to call a value: itself, or the colour that it stands for."""
    is_colour = value >> 24 == 1
    return f"#{value & 0xFFFFFF:06x}" if is_colour else str(value)


def check_one_value(labels: Stack) -> None:
    """Raise `MaskError` if a pixel has several values."""
    if labels.n_channels != 1:
        raise MaskError(
            f"{labels.label} has {labels.n_channels} values per pixel, but a mask has "
            "one. Save it as a grey or indexed image."
        )


def check_pair(image: Stack, labels: Stack) -> None:
    """Check that a mask lies on its image pixel by pixel.

    Axes of length 1 do not count, and a stack over Z fits one over T.

    Raises
    ------
    MaskError
        If it does not.
    """
    check_one_value(labels)
    image_axes, image_loops = _loops(image)
    label_axes, label_loops = _loops(labels)
    swapped = set(image_axes) == set(label_axes) and image_axes != label_axes
    sizes_fit = (image_loops, image.section_shape) == (
        label_loops,
        labels.section_shape,
    )
    if swapped or not sizes_fit:
        raise MaskError(
            f"{image.label} has the axes {image.axes} and the shape "
            f"{image.shape}, but its mask {labels.label} has {labels.axes} and "
            f"{labels.shape}. A mask has the image's shape without channels; choose "
            "the mask that belongs to this image, or say what the axes are."
        )


def _loops(stack: Stack) -> tuple[str, list[int]]:
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    looped = [axis for axis in stack.section_axes if axis not in "YX"]
    looped = [axis for axis in looped if lengths[axis] > 1]
    return "".join(looped), [lengths[axis] for axis in looped]


def count_values(labels: Stack) -> Counter[int]:
    """Count the pixels of each value of a mask, reading one section at a time.

    Counting stops after a few thousand values: that is no mask of classes.

    Raises
    ------
    MaskError
        If it holds fractions.
    """
    counts: Counter[int] = Counter()
    for index in range(labels.n_sections):
        section = labels.section(index)
        values, sizes = _unique(section)
        check_whole(values, labels.label)
        counts.update(dict(zip(map(int, values), map(int, sizes), strict=True)))
        if len(counts) > _COUNTED:
            break
    return counts


def check_whole(values: NDArray[Any], label: str) -> None:
    """Raise `MaskError`, with the name `label`, if a value is a fraction or NaN."""
    fractions = values[~np.isfinite(values) | (values != np.rint(values))]
    if fractions.size:
        raise MaskError(
            f"{label} holds {fractions[0]:g}, but a mask holds whole numbers. If these "
            "are probabilities, threshold them first; if this is the image, choose the "
            "mask instead."
        )


def _unique(section: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    if section.dtype.kind == "u" and section.dtype.itemsize <= 2:
        pixels = section.ravel()
        sizes = np.zeros(2 ** (8 * section.dtype.itemsize), np.intp)
        for start in range(0, pixels.size, _AT_ONCE):  # a thread of the viewer waits
            part = pixels[start : start + _AT_ONCE]
            sizes += np.bincount(part, minlength=len(sizes))
        values = np.flatnonzero(sizes)
        return values, sizes[values]
    return np.unique(section, return_counts=True)


def _too_few(
    label: str, values: list[int], counts: Counter[int], zero_is_unlabelled: bool
) -> str:
    if not values:
        return (
            f"{label} is not annotated anywhere: it holds only "
            f"{sorted(counts)}. Paint at least two classes."
        )
    ignored = " besides what is ignored" if len(counts) > 1 else ""
    remedy = (
        "Paint the background as a class too, or let 0 be a class."
        if zero_is_unlabelled
        else "Check that this is the mask, and that it is not empty."
    )
    return (
        f"{label} holds the one value {values[0]}{ignored}, but at least two "
        f"classes are needed. {remedy}"
    )


def too_many_values(label: str, counts: Counter[int]) -> str:
    """Say why what was counted in a mask called `label` is no mask of classes."""
    total = counts.total()
    common = ", ".join(
        f"{value} ({share(count, total)})" for value, count in counts.most_common(5)
    )
    number = f"more than {_COUNTED}" if len(counts) > _COUNTED else str(len(counts))
    return (
        f"{label} holds {number} values, but a mask has at most {MAX_CLASSES}; "
        f"the most common are {common}. It looks like the image itself, like one "
        "number per object, or like a mask damaged by smoothing or JPEG. If it numbers "
        'objects, say what they become (--objects border, objects="border"; or '
        "foreground); otherwise choose the mask, or threshold a damaged one and save "
        "it as TIFF or PNG."
    )
