"""From layers and what is wanted to the jobs that find objects and measure them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.region import Region
from napari_unet.plugin import pixels
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY
from napari_unet.plugin.pixel_job import PixelJob
from napari_unet.plugin.predict.handover import Handover, files_of
from napari_unet.plugin.predict.where import (
    OutsideError,
    region_in,
    section_box,
    view_box,
)
from napari_unet.plugin.results import Target, result_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from threading import Event as Flag

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_unet.config import ObjectConfig
    from napari_unet.data import Stack
    from napari_unet.plugin.objects.input import Wanted
    from napari_unet.plugin.results import LayerData
    from napari_unet.plugin.session import Session

    Giver = Callable[[Flag], dict[str, Any] | None]

_LARGEST = 1024**2  # pixels of a section that are computed while values change
_COLOURS = ("red", "green", "blue", "alpha")


@dataclass(frozen=True)
class ObjectsOrder:
    """Objects that are ordered: their job, and where its result goes.

    Attributes
    ----------
    job : PixelJob
    target : Target
    result : str
        Path of what the worker writes.
    cut : bool
        Whether they are of a part of the section only.
    """

    job: PixelJob
    target: Target
    result: str
    cut: bool = False

    def layers(self, wanted: Wanted, config: ObjectConfig) -> list[LayerData]:
        """Open the file, which the worker has made, as a layer."""
        model = wanted.layer.metadata.get(MODEL_KEY, "")
        found = result_layers(
            self.target, {"classes": None}, model, {"objects": self.result}
        )
        about = {
            "image": self.target.image,
            "what": "objects",
            "inside": wanted.inside,
            "border": wanted.border,
            "options": config.to_dict(),
        }
        return [
            (data, {**meta, "metadata": {**meta["metadata"], RESULT_KEY: about}}, kind)
            for data, meta, kind in found
        ]


def order_objects(
    viewer: ViewerModel, session: Session, wanted: Wanted, config: ObjectConfig
) -> ObjectsOrder:
    """Make the job that finds objects everywhere.

    Raises
    ------
    UNetError
        If something is missing, or the worker is busy.
    """
    session.check_free(session.side)
    layer = wanted.layer
    stack = stack_from_layer(layer)
    folder = pixels.temporary_folder()
    image = _whole(layer, stack, folder / "image.npy")
    other = border = None
    if wanted.border_layer is not None:
        other = stack_from_layer(wanted.border_layer)
        border = _whole(wanted.border_layer, other, folder / "border.npy")
    request = _request(stack, wanted, config, folder)
    prepare = partial(_with_border, image, border, other.axes if other else "")
    job = PixelJob(session.side, request, prepare, folder)
    target = replace(Target.of(layer, stack), name=name_of_image(viewer, layer))
    return ObjectsOrder(job, target, request["result"])


def order_preview(
    viewer: ViewerModel, session: Session, wanted: Wanted, config: ObjectConfig
) -> ObjectsOrder:
    """Make the job that finds objects in the current section, or in view of it.

    Raises
    ------
    UNetError
        If the worker is busy, or no section is seen from above.
    """
    session.check_free(session.side)
    layer = wanted.layer
    stack = stack_from_layer(layer)
    region, cut = region_seen(viewer, layer, stack)
    folder = pixels.temporary_folder()
    image = _Part(stack, region, folder / "image.npy")
    other = border = None
    if wanted.border_layer is not None:
        other = stack_from_layer(wanted.border_layer)
        border = _Part(other, region, folder / "border.npy")
    request = _request(stack, wanted, replace(config, object_dims=2), folder)
    prepare = partial(_with_border, image, border, other.axes if other else "")
    job = PixelJob(session.side, request, prepare, folder, gives_way=True)
    target = Target.of(layer, stack, region)
    return ObjectsOrder(job, target, request["result"], cut)


def order_measurements(
    session: Session, labels: Labels, images: Sequence[Image], dims: int
) -> tuple[PixelJob, str]:
    """Make the job that measures objects; return it and the axes of their layer.

    Raises
    ------
    UNetError
        If something is missing, or the worker is busy.
    """
    session.check_free(session.side)
    stack = stack_from_layer(labels)
    folder = pixels.temporary_folder()
    given: list[tuple[Giver, dict[str, Any]]] = []
    for number, layer in enumerate(images):
        image, copy = stack_from_layer(layer), folder / f"image{number}.npy"
        names = _COLOURS[: image.n_channels] if layer.rgb else ()
        about = {**pixels.describe(image, copy), "channel_names": names}
        given.append((_whole(layer, image, copy), about))
    request = {
        "do": "measure",
        **pixels.describe(stack, folder / "labels.npy"),
        "dims": dims,
        "result": str(folder / "columns.npz"),
    }
    prepare = partial(_with_images, _whole(labels, stack, folder / "labels.npy"), given)
    return PixelJob(session.side, request, prepare, folder), stack.axes


def name_of_image(viewer: ViewerModel, layer: Layer) -> str:
    """Return the name of the image that a layer was predicted from, or its own."""
    image = layer.metadata.get(RESULT_KEY, {}).get("image")
    names = [each.name for each in viewer.layers if str(each.unique_id) == image]
    return str(names[0] if names else layer.name)


def region_seen(viewer: ViewerModel, layer: Layer, stack: Stack) -> tuple[Region, bool]:
    """Return the current section, or of a large one the part in view, and which.

    Raises
    ------
    UNetError
        If no section is seen from above, or the layer is not at the sliders.
    """
    region = region_in(section_box(viewer, layer), layer, stack, "current section")
    whole = tuple((0, length) for length in stack.section_shape)
    others = region.bounds[:-2]
    if region.along("YX") != whole or any(stop - start > 1 for start, stop in others):
        raise OutsideError(
            "Sections are previewed as they are seen from above, in 2-D, with Y and X "
            "as the displayed axes."
        )
    if np.prod(region.shape) <= _LARGEST:
        return region, False
    region = region_in(view_box(viewer, layer), layer, stack, "current view")
    return _middle(region), True


def _middle(region: Region) -> Region:
    """Return the middle of a region that is larger than what is computed at once."""
    edge = round(_LARGEST**0.5)
    bounds = list(region.bounds)
    for place in (-2, -1):
        start, stop = bounds[place]
        start += max(0, stop - start - edge) // 2
        bounds[place] = start, min(stop, start + edge)
    return Region(region.axes, tuple(bounds))


def _request(
    stack: Stack, wanted: Wanted, config: ObjectConfig, folder: Path
) -> dict[str, Any]:
    return {
        "do": "objects",
        **pixels.describe(stack, folder / "image.npy"),
        "inside": wanted.inside,
        "border": wanted.border,
        "options": config.to_dict(),
        "result": str(folder / "objects.npy"),
    }


def _whole(layer: Layer, stack: Stack, copy: Path) -> Handover:
    return Handover(stack, files_of(layer), copy, None, {})


@dataclass(frozen=True)
class _Part:
    """Writes a part of an image for the worker."""

    stack: Stack
    region: Region
    copy: Path

    def __call__(self, cancelled: Flag) -> dict[str, Any] | None:
        bounds = [
            self.region.along(axis)[0] if axis in self.region.axes else (0, length)
            for axis, length in zip(self.stack.axes, self.stack.shape, strict=True)
        ]
        if not pixels.write_part(self.copy, self.stack, cancelled, bounds):
            return None
        return {"image": str(self.copy)}


def _with_border(
    image: Giver, border: Giver | None, axes: str, cancelled: Flag
) -> dict[str, Any] | None:
    given = image(cancelled)
    if given is None or border is None:
        return given
    other = border(cancelled)
    return other and {**given, "border_image": {**other, "axes": axes}}


def _with_images(
    labels: Giver, images: Sequence[tuple[Giver, dict[str, Any]]], cancelled: Flag
) -> dict[str, Any] | None:
    given, described = labels(cancelled), []
    for giver, about in images:
        image = giver(cancelled)
        if given is None or image is None:
            return None
        described.append({**about, **image})
    return given and {**given, "images": described}
