"""The job that finds the places where a prediction is least sure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data import Stack, open_stack
from napari_unet.data.channels import as_channels
from napari_unet.data.write.npy import create_npy
from napari_unet.prediction.unsure import unsure_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.events import Event
    from napari_unet.worker.pipes import Request, Stop


def unsure(request: Request, stop: Stop) -> Iterator[Event]:
    """Find unsure places, and write the uncertainty into a .npy file if one is named.

    ``uncertainty`` names one file, or those with the probability of each class.
    """
    stack = _uncertainty(request)
    annotated = None
    if path := request.get("annotated"):
        annotated = open_stack(path, axes=stack.section_axes)
    put = None
    if path := request.get("result"):
        lengths = dict(zip(stack.axes, stack.shape, strict=True))
        shape = tuple(lengths[axis] for axis in stack.section_axes)
        written = create_npy(path, "float32", shape)
        sections = _sections(written, stack.section_axes)

        def put(index: int, section: NDArray[np.float32]) -> None:
            sections[np.unravel_index(index, sections.shape[:-2])] = section

    yield from unsure_events(
        stack,
        request["n"],
        size=request["size"],
        annotated=annotated,
        unlabelled=request.get("unlabelled", 0),
        put=put,
        should_stop=stop,
    )


def _uncertainty(request: Request) -> Stack:
    stacks = [open_stack(path, axes=request["axes"]) for path in request["uncertainty"]]
    first = stacks[0] if len(stacks) == 1 else as_channels(stacks)
    return replace(first, pixel_size=request.get("pixel_size", {}), source=None)


def _sections(pixels: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return a view with rows and columns last."""
    order = [i for i, axis in enumerate(axes) if axis not in "YX"]
    return pixels.transpose([*order, axes.index("Y"), axes.index("X")])
