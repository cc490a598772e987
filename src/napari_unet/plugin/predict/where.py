"""Which part of an image is to be predicted: what the viewer shows, as a region."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_unet.data.region import Region
from napari_unet.errors import UNetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_unet.data import Stack

    Box = NDArray[np.float64]
    """Lowest and highest corner in pixels of the layer, shape (2, layer.ndim)."""


class OutsideError(UNetError):
    """What is to be predicted lies outside of the image, or cannot be told."""


def section_box(viewer: ViewerModel, layer: Layer) -> Box:
    """Return the section at the sliders: the displayed axes are whole."""
    box = np.repeat(_at_sliders(viewer, layer)[None], 2, axis=0)
    box[:, _shown(viewer, layer)] = [[-np.inf], [np.inf]]
    return box


def view_box(viewer: ViewerModel, layer: Layer) -> Box:
    """Return what the canvas shows of the section at the sliders.

    Raises
    ------
    OutsideError
        If the view is in 3 dimensions.
    """
    if viewer.dims.ndisplay != 2:
        raise OutsideError(
            "The viewer shows the image in 3-D, where the view has no edges. Press its "
            "2-D button (Ctrl-Y), or predict the whole image."
        )
    camera, canvas = viewer.scene.camera, viewer.canvas
    half = np.divide(canvas.viewbox_size(viewer.layers), 2 * camera.zoom)
    centre = np.array(camera.center[-2:])
    corners = [centre + np.multiply(half, signs) for signs in product((-1, 1), (-1, 1))]
    box = section_box(viewer, layer)
    shown = _shown(viewer, layer)
    seen = _in_pixels(viewer, layer, list(viewer.dims.displayed), corners)
    box[:, shown] = seen[:, shown]
    return box


def rectangle_box(viewer: ViewerModel, layer: Layer) -> Box:
    """Return the box around the rectangle of the viewer's Shapes layers.

    It lies where it was drawn along all axes that its layer has, and at the sliders
    along the others.

    Raises
    ------
    OutsideError
        If there is no rectangle, or there are several of which not one is selected.
    """
    shapes, number = _the_rectangle(viewer)
    ratio = _units(viewer, shapes)
    corners = [ratio * shapes.data_to_world(corner) for corner in shapes.data[number]]
    axes = range(viewer.dims.ndim - shapes.ndim, viewer.dims.ndim)
    return _in_pixels(viewer, layer, list(axes), corners)


def region_in(box: Box, layer: Layer, stack: Stack, what: str) -> Region:
    """Return all pixels of an image that a box touches; pixel 3 is from 2.5 to 3.5.

    Raises
    ------
    OutsideError
        If there are none; the message calls the box `what`.
    """
    low, high = np.clip(box, -1e9, 1e9).round(6)  # digits are lost in transforms
    starts = np.floor(low + 0.5).astype(int)
    stops = np.maximum(np.ceil(high + 0.5).astype(int), starts + 1)
    axes = "".join(axis for axis in stack.section_axes if axis not in "YX") + "YX"
    bounds = []
    for axis in axes:
        place = stack.axes.index(axis)
        length = stack.shape[place]
        start, stop = int(starts[place]), int(stops[place])
        if stop <= 0 or start >= length:
            raise OutsideError(
                f"The {what} lies outside of {layer.name!r}: along {axis} it is at "
                f"{start} to {stop - 1}, and the image has the pixels 0 to "
                f"{length - 1}. Move it onto the image."
            )
        bounds.append((max(start, 0), min(stop, length)))
    return Region(axes, tuple(bounds))


def start_of(region: Region | None, layer: Layer, axes: str) -> NDArray[np.float64]:
    """Return the `translate` of a layer that shows `region` of `layer` in its place.

    Parameters
    ----------
    region : Region or None
        None for the whole image.
    layer : Layer
        The image.
    axes : str
        Those of its dimensions.
    """
    first = np.zeros(layer.ndim)
    if region is not None:
        for axis, (start, _) in zip(region.axes, region.bounds, strict=True):
            first[axes.index(axis)] = start
    return np.asarray(layer.affine.inverse(layer.data_to_world(first)))


def in_world(viewer: ViewerModel, layer: Layer, pixel: Any) -> NDArray[np.float64]:
    """Return where in the viewer's world a pixel of a layer lies."""
    return np.asarray(layer.data_to_world(pixel), float) * _units(viewer, layer)


def _at_sliders(viewer: ViewerModel, layer: Layer) -> NDArray[np.float64]:
    return _to_pixels(viewer, layer, viewer.dims.point)


def _to_pixels(viewer: ViewerModel, layer: Layer, world: Any) -> NDArray[np.float64]:
    """Return where in a layer a point of the viewer's world lies."""
    inner = np.array(world, float)[-layer.ndim :] / _units(viewer, layer)
    return np.asarray(layer.world_to_data(inner), float)


def _units(viewer: ViewerModel, layer: Layer) -> NDArray[np.float64]:
    """Return how long the units of a layer are in those of the viewer's world."""
    world = viewer.layers.extent.units
    if world is None:  # they do not fit together, and napari leaves them out
        return np.ones(layer.ndim)
    pairs = zip(layer.units, world[-layer.ndim :], strict=True)
    return np.array([(1 * own).to(other).magnitude for own, other in pairs])


def _shown(viewer: ViewerModel, layer: Layer) -> list[int]:
    """Return the dimensions of a layer that are displayed; its last ones are shared."""
    missing = viewer.dims.ndim - layer.ndim
    return [axis - missing for axis in viewer.dims.displayed if axis >= missing]


def _in_pixels(
    viewer: ViewerModel, layer: Layer, axes: list[int], points: Iterable[Any]
) -> Box:
    """Return the box around points that are given along some axes of the world."""
    found = []
    for point in points:
        world = np.array(viewer.dims.point, float)
        world[axes] = point
        found.append(_to_pixels(viewer, layer, world))
    return np.array([np.min(found, axis=0), np.max(found, axis=0)])


def _the_rectangle(viewer: ViewerModel) -> tuple[Shapes, int]:
    """Return the only rectangle, or of several the one that is selected."""
    found = [
        (layer, number)
        for layer in viewer.layers
        if isinstance(layer, Shapes)
        for number, kind in enumerate(layer.shape_type)
        if kind == "rectangle"
    ]
    if len(found) > 1:
        selected = [each for each in found if each[1] in each[0].selected_data]
        found = selected if len(selected) == 1 else found
    if len(found) == 1:
        return found[0]
    if not found:
        raise OutsideError(
            "There is no rectangle. Add a Shapes layer (the polygon button above the "
            "layer list) and draw a rectangle on the image."
        )
    names = dict.fromkeys(repr(layer.name) for layer, _ in found)
    raise OutsideError(
        f"There are {len(found)} rectangles in {' and '.join(names)}. Select the one "
        "that is meant with the arrow tool, or delete the others."
    )


BOXES: dict[str, Callable[[ViewerModel, Layer], Box]] = {
    "current section": section_box,
    "current view": view_box,
    "rectangle": rectangle_box,
}
"""The parts of an image that can be chosen, by the words for them."""
