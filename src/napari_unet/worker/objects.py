"""The jobs that find objects and measure them; they need no network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import ObjectConfig
from napari_unet.data.write.npy import create_npy
from napari_unet.events import Event, ObjectsFound, ObjectsMeasured, SectionsDone
from napari_unet.worker.pixels import image_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.data import Stack
    from napari_unet.worker.pipes import Request, Stop


def objects(request: Request, stop: Stop) -> Iterator[Event]:
    """Find objects into a .npy file; the last event is `ObjectsFound` unless stopped.

    The file is there, empty, from the first event on, and fills with each further one.
    """
    from napari_unet.prediction.object_stack import ObjectSource

    stack, between = image_of(request), request.get("border_image")
    config = ObjectConfig.from_dict(request.get("options", {}))
    source = ObjectSource(
        stack,
        request.get("inside"),
        request.get("border"),
        between and image_of({**request, **between}),
    )
    groups = stack.seen_together(config.object_dims)
    outer = [axis for axis in stack.section_axes if axis not in "YX"]
    lengths = [stack.shape[stack.axes.index(axis)] for axis in outer]
    shape = (*lengths, *stack.section_shape)
    found = create_npy(request["result"], "int32", shape)
    sections = found.reshape(-1, *stack.section_shape)
    yield SectionsDone(0, stack.n_sections)
    highest, done = 0, 0
    for group, part in zip(groups, source.parts(config), strict=True):
        sections[group] = part
        highest = max(highest, int(part.max(initial=0)))
        done += len(group)
        yield SectionsDone(done, stack.n_sections)
        if stop():
            return
    found.flush()
    yield ObjectsFound(request["result"], highest)


def measure(request: Request, stop: Stop) -> Iterator[Event]:
    """Measure objects into a .npz file of columns; nothing is left when stopped."""
    from napari_unet.prediction.measure import measure_parts
    from napari_unet.prediction.table import join_tables

    labels = image_of(request)
    images = [_named(image_of(each), each) for each in request.get("images", ())]
    dims = request.get("dims", 2)
    per_part = labels.seen_together(dims).shape[1]
    tables = []
    yield SectionsDone(0, labels.n_sections)
    for table in measure_parts(labels, images, dims=dims):
        tables.append(table)
        yield SectionsDone(per_part * len(tables), labels.n_sections)
        if stop():
            return
    whole = join_tables(tables)
    columns: dict[str, Any] = dict(whole.columns)
    with open(request["result"], "wb") as file:  # noqa: PTH123  savez would add .npz
        np.savez(file, allow_pickle=False, **columns)
    yield ObjectsMeasured(request["result"], len(whole), list(whole.remarks))


def _named(stack: Stack, request: Request) -> Stack:
    return replace(stack, channel_names=tuple(request.get("channel_names", ())))
