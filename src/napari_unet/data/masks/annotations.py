"""Masks as people have them: colours, numbered objects, several ignored values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.class_file import read_class_files
from napari_unet.data.masks.find import (
    IGNORE,
    check_one_value,
    check_whole,
    find_classes,
    value_name,
)
from napari_unet.data.masks.targets import distance_to_border, with_border
from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.masks.classes import Classes
    from napari_unet.data.stack import Stack

ROLES = {0: "background", 1: "foreground", 2: "border"}
"""What the values stand for that numbered objects become."""

MANY = 8
"""Classes from which on they may be numbers of objects."""

STROKES = 0.05
"""Share of the pixels up to which a few values besides 0 are strokes of a brush."""

COLOUR = 1 << 24
"""Added to 0xRRGGBB, so that no colour is taken for a grey value."""


@dataclass(frozen=True)
class Annotations:
    """Masks ready to train on.

    Attributes
    ----------
    masks : list of Stack
        One value per pixel, in `classes`.
    classes : Classes
    counts : dict of int to int
        Pixels of each value.
    """

    masks: list[Stack]
    classes: Classes
    counts: dict[int, int]


def read_annotations(
    masks: Sequence[Stack],
    *,
    ignore: Collection[int] = (),
    zero_is_unlabelled: bool = False,
    objects: str = "no",
    border_width: int = 2,
    names: Mapping[int, str] | None = None,
) -> Annotations:
    """Find out what masks mean.

    A ``classes.yaml`` beside the masks names the classes and may add ignored values.

    Parameters
    ----------
    masks : sequence of Stack
    ignore : collection of int
        Values that mean "not annotated".
    zero_is_unlabelled : bool
        Whether 0 means it too.
    objects : {"no", "foreground", "border"}
        What numbered objects become: nothing else; foreground (1); or foreground with
        a class of its own (2) along the edge of each.
    border_width : int
        Width of that class in pixels.
    names : mapping of int to str, optional
        Names of the values, which count more than the file's; what objects become has
        names of its own.

    Raises
    ------
    MaskError
        If they are no masks, or a ``classes.yaml`` cannot be used.
    """
    listed, also_ignored = read_class_files(masks)
    ignored = {*ignore, *also_ignored}
    plain = [as_mask(each) for each in masks]
    if objects == "no":
        classes, counts = find_classes(
            *plain,
            ignore=ignored,
            zero_is_unlabelled=zero_is_unlabelled,
            names={**listed, **(names or {})},
        )
        return Annotations(plain, classes, counts)
    width = border_width if objects == "border" else 0
    ignored |= {0} if zero_is_unlabelled else set()
    plain = [_roles(each, ignored, width) for each in plain]
    classes, counts = find_classes(*plain, ignore=(IGNORE,), names=ROLES)
    if width and 1 not in counts:
        raise MaskError(
            f"With a border of {width} pixels nothing is left of the objects in "
            f"{masks[0].label}. Choose a smaller border_width, or objects foreground."
        )
    return Annotations(plain, classes, counts)


def mask_of_objects(
    labels: Stack,
    *,
    ignore: Collection[int] = (),
    zero_is_unlabelled: bool = False,
    objects: str = "foreground",
    border_width: int = 2,
) -> Stack:
    """Return what numbered objects become; see `read_annotations`.

    Raises
    ------
    MaskError
        If these are no numbers, or a ``classes.yaml`` cannot be used.
    """
    _, also_ignored = read_class_files([labels])
    ignored = {*ignore, *also_ignored} | ({0} if zero_is_unlabelled else set())
    width = border_width if objects == "border" else 0
    return _roles(as_mask(labels), ignored, width)


def _roles(labels: Stack, ignored: Collection[int], width: int) -> Stack:
    roles = partial(with_border, width=width)
    return _from_objects(labels, ignored, roles, np.uint8(IGNORE))


def remark_on_objects(masks: Sequence[Stack], classes: Classes) -> str:
    """Say so where the classes look like numbers of objects.

    They do where there are many without names, each in one piece in every section.
    """
    named = classes.names != tuple(map(value_name, classes.values))
    if named or classes.n < MANY:
        return ""
    if not all(_in_one_piece(each, classes) for each in masks):
        return ""
    return (
        f"Each of the {classes.n} values of {masks[0].label} is in one piece, as if "
        "they numbered objects. They are learnt as classes; if they are numbers, say "
        'what the objects become (--objects border, objects="border"; or foreground).'
    )


def are_strokes(counts: Mapping[int, int]) -> bool:
    """Tell from the pixels of each value whether 0 is clearly what is not annotated.

    It is where a few values cover few per cent. One value alone says nothing: a class
    may be rare, and 0 the other one.
    """
    drawn = [count for value, count in counts.items() if value]
    few = 2 <= len(drawn) < MANY
    return few and sum(drawn) <= STROKES * sum(counts.values())


def _in_one_piece(stack: Stack, classes: Classes) -> bool:
    from skimage.measure import label

    for index in range(stack.n_sections):
        section = stack.section(index)[0]
        encoded = classes.encode(section)
        numbers = np.where((section == 0) | (encoded == IGNORE), 0, encoded + 1)
        values = np.count_nonzero(np.unique(numbers))
        if label(numbers, background=0, connectivity=2).max() != values:
            return False
    return True


def as_mask(stack: Stack) -> Stack:
    """Make one value per pixel of a mask in colours; leave any other as it is.

    Grey ones keep their value; a colour becomes 0x1RRGGBB. Transparency is left out.

    Raises
    ------
    MaskError
        If it is a JPEG.
    """
    if stack.source and stack.source.suffix.lower() in (".jpg", ".jpeg"):
        raise MaskError(
            f"{stack.label} is a JPEG, which changes values near every edge, so it "
            "holds other classes than were drawn. Use the mask it was made from, as "
            "PNG or TIFF; or threshold it again and save it so."
        )
    transparent_grey = stack.n_channels == 2 and stack.axes[-1] in "CS"
    if stack.dtype != np.uint8 or not (transparent_grey or stack.n_channels in (3, 4)):
        return stack
    mask = _map_sections(stack, _grey_or_colour, np.dtype(np.int32))
    if np.asarray(mask.pixels).max() < COLOUR:
        return replace(mask, pixels=np.asarray(mask.pixels).astype(np.uint8))
    return mask


def _grey_or_colour(section: NDArray[np.uint8]) -> NDArray[np.int32]:
    colours = section[:3].astype(np.int32)
    red, green, blue = colours if len(colours) == 3 else colours[[0, 0, 0]]
    packed = COLOUR + (red << 16) + (green << 8) + blue
    grey: NDArray[np.bool_] = (red == green) & (green == blue)
    result: NDArray[np.int32] = np.where(grey, red, packed)
    return result


def distance_stack(
    labels: Stack, *, ignore: Collection[int] = (), zero_is_unlabelled: bool = False
) -> Stack:
    """Return the distance of each pixel to the border of its object, as a target.

    NaN where the object's number means "not annotated", also by a ``classes.yaml``.

    Raises
    ------
    MaskError
        If it holds no numbers of objects, or a ``classes.yaml`` cannot be used.
    """
    _, also_ignored = read_class_files([labels])
    ignored = {*ignore, *also_ignored} | ({0} if zero_is_unlabelled else set())
    plain = as_mask(labels)
    return _from_objects(plain, ignored, distance_to_border, np.float32(np.nan))


def _from_objects(
    labels: Stack,
    ignored: Collection[int],
    function: Callable[[NDArray[Any]], NDArray[Any]],
    unknown: np.generic,
) -> Stack:
    """Replace the numbers of each section, (Y, X), where they are not ignored."""
    check_one_value(labels)

    def replaced(section: NDArray[Any]) -> NDArray[Any]:
        ids = section[0]
        if ids.dtype.kind == "f":
            check_whole(ids, labels.label)
        left_out = np.isin(ids, list(ignored))
        found = function(np.where(left_out, 0, ids))
        found[left_out] = unknown
        return found

    return _map_sections(labels, replaced, unknown.dtype)


def _map_sections(
    stack: Stack,
    function: Callable[[NDArray[Any]], NDArray[Any]],
    dtype: np.dtype[Any],
) -> Stack:
    """Replace each section ``(C, Y, X)`` by what a function makes of it, (Y, X)."""
    axes = "".join(a for a in stack.section_axes if a not in "YX") + "YX"
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    pixels = np.empty((stack.n_sections, *stack.section_shape), dtype)
    for index in range(stack.n_sections):
        pixels[index] = function(stack.section(index))
    return replace(
        stack,
        pixels=pixels.reshape([lengths[axis] for axis in axes]),
        axes=axes,
        pixel_size={a: size for a, size in stack.pixel_size.items() if a in axes},
        channel_names=(),
    )
