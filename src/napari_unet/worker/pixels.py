"""The stacks that a request names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data import Stack, open_stack
from napari_unet.data.excerpt import Excerpt

if TYPE_CHECKING:
    from napari_unet.worker.pipes import Request


def pairs_of(request: Request) -> list[tuple[Stack, Stack]]:
    """Open all images of a request with their labels.

    Those without a ``"name"`` are files that the user named, or two folders of them
    that are paired by name: they know their axes, pixel sizes and names themselves.
    """
    pairs = []
    for each in request.get("pairs") or [request]:
        if "name" in each:
            pairs.append(pair_of(each))
        else:
            from napari_unet.training.pairs import as_pairs

            pairs += as_pairs(each["image"], each["labels"], each.get("axes"))
    return pairs


def pair_of(request: Request) -> tuple[Stack, Stack]:
    """Open the image and its labels under the names the user knows them by."""
    labels = open_stack(request["labels"], axes=request.get("labels_axes"))
    name, source = request.get("labels_name", ""), request.get("labels_source")
    labels = replace(labels, name=name, source=Path(source) if source else None)
    return image_of(request), labels


def image_of(request: Request) -> Stack:
    """Open the image, or what is given of it, under the name the user knows it by."""
    if nothing := request.get("nothing"):  # its pixels come piece by piece
        shape = nothing["shape"]
        empty = np.empty([0] * len(shape), nothing["dtype"])
        pixels = Excerpt(empty, shape, [0] * len(shape))
        stack = Stack(pixels, request["axes"])
    else:
        stack = open_stack(request["image"], axes=request.get("axes"))
    if excerpt := request.get("excerpt"):
        stack = replace(stack, pixels=Excerpt(stack.pixels, **excerpt))
    return replace(
        stack,
        pixel_size=request.get("pixel_size", {}),
        unit=request.get("unit"),
        name=request.get("name", ""),
        source=None,
    )
