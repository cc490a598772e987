"""The images and masks that a command line names, opened."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_unet.errors import ConfigError, MaskError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from napari_unet.data import Stack
    from napari_unet.model import Model


def open_held_out(given: argparse.Namespace) -> list[tuple[Stack, Stack]]:
    """Open what a training is to be judged by, if it was named."""
    if (given.val_image is None) != (given.val_labels is None):
        raise ConfigError("Give both, --val-image and --val-labels, or neither.")
    if given.val_image is None:
        return []
    return open_pairs(given, given.val_image, given.val_labels)


def open_also(given: argparse.Namespace) -> list[tuple[Stack, Stack]]:
    """Open the other images and masks that were named one by one."""
    return [
        pair
        for images, masks in given.also or ()
        for pair in open_pairs(given, images, masks)
    ]


def open_pairs(
    given: argparse.Namespace, images: Path, masks: Path
) -> list[tuple[Stack, Stack]]:
    """Open one image with its mask, or all that are in two folders."""
    from napari_unet.data.matching import (
        describe_pairs,
        is_several,
        list_files,
        pair_folders,
    )

    if not (is_several(images) and is_several(masks)):
        if given.dry_run and not (given.quiet or given.json):
            sys.stdout.write(f"{images}  {masks}\n")
        return [open_pair(given, images, masks)]
    files = pair_folders(images, masks)
    lines = [describe_pairs(files)]
    if given.dry_run:
        lines += [f"{pair.image}  {pair.mask}  ({pair.reason})" for pair in files]
    if not (given.quiet or given.json):
        sys.stdout.write("\n".join(lines) + "\n")
    if given.as_stack:
        if [pair.mask for pair in files] != list_files(masks):
            raise MaskError(
                f"As one stack, the files of {images} and {masks} come in different "
                "orders by their names. Rename them alike, or leave out --as-stack."
            )
        return [open_pair(given, images, masks)]
    return [open_pair(given, pair.image, pair.mask) for pair in files]


def open_pair(
    given: argparse.Namespace, image: Path, mask: Path
) -> tuple[Stack, Stack]:
    """Open an image with its mask."""
    stack = open_one(image, given, axes=given.axes)
    return stack, open_one(mask, given, axes=stack.section_axes if given.axes else None)


def each_file(given: argparse.Namespace, model: Model) -> list[Path]:
    """Take the files of a folder one by one where the model was trained so.

    Those of a pattern, which a shell may leave as it is, are never one stack.
    """
    from napari_unet.data.matching import is_several, list_files

    alone = not given.as_stack
    if given.as_stack is None:
        alone = model.history.get("images", 1) > 1
    return [
        file
        for path in given.input
        for file in (
            list_files(path)
            if is_several(path) and (alone or not path.is_dir())
            else [path]
        )
    ]


def open_results(given: argparse.Namespace) -> tuple[list[Stack], list[Stack]]:
    """Open a prediction and its truth, or those of two folders that go together."""
    from napari_unet.data import open_stack
    from napari_unet.data.matching import is_several, pair_predictions

    if is_several(given.prediction) and is_several(given.truth) and not given.as_stack:
        kinds: tuple[str, ...] = ("prob", "labels")
        if given.objects or given.regression:
            kinds = ("objects",) if given.objects else ("prediction",)
        pairs = pair_predictions(given.prediction, given.truth, kinds)
        truths = [open_one(pair.image, given) for pair in pairs]
        return [open_stack(pair.mask) for pair in pairs], truths
    truth = open_one(given.truth, given)
    prediction = open_stack(given.prediction)
    if prediction.n_sections != truth.n_sections:
        prediction = _select(prediction, given)
    return [prediction], [truth]


def open_images(given: argparse.Namespace, count: int) -> list[Stack]:
    """Open what was predicted: one image, or those of a folder in the order of names.

    Raises
    ------
    ConfigError
        Unless there are as many as there are truths.
    """
    from napari_unet.data.matching import is_several, list_files

    alone = is_several(given.image) and not given.as_stack and count > 1
    files = list_files(given.image) if alone else [given.image]
    if len(files) != count:
        raise ConfigError(
            f"There are {len(files)} images in {given.image}, but {count} predictions. "
            "Give the folder of those that were predicted, or leave out --image."
        )
    return [open_one(file, given) for file in files]


def open_one(path: Path, given: argparse.Namespace, axes: str | None = None) -> Stack:
    """Open an image, say what a user should know of it, and take some sections."""
    from napari_unet.data import open_stack

    stack = open_stack(path, axes=axes)
    if not given.quiet:
        for remark in stack.remarks:
            sys.stderr.write(f"napari-unet: {path}: {remark}\n")
    return _select(_sized(stack, given), given)


def _sized(stack: Stack, given: argparse.Namespace) -> Stack:
    """Give the stack the pixel size that was told."""
    told = getattr(given, "pixel_size", None)
    if told is None:
        return stack
    sizes, unit = told
    size = {axis: length for axis, length in sizes.items() if axis in stack.axes}
    time = {axis: t for axis, t in stack.pixel_size.items() if axis == "T"}
    return replace(stack, pixel_size={**time, **size}, unit=unit)


def _select(stack: Stack, given: argparse.Namespace) -> Stack:
    return stack.select(given.sections) if given.sections else stack
