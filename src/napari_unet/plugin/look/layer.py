"""The layers that show a prediction as far as it is computed, and what is in view."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.data.stack import Stack
from napari_unet.plugin.look.levels import Levels
from napari_unet.plugin.parts.choices import LOOK_KEY, MODEL_KEY
from napari_unet.plugin.predict.where import OutsideError, region_in, view_box
from napari_unet.plugin.results import look_of_class, usual_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_unet.data.region import Region
    from napari_unet.events import LookStarted
    from napari_unet.plugin.results import Target

_VEIL = (0.25, 0.3, 0.4, 1.0)  # over what is not computed yet; half of it is seen
_ROUNDED = 2  # pixels by which napari's view may differ from ours
_NOT_YET = "not computed yet"


class LazyView:
    """A part of a prediction in a layer of the viewer, empty at first.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    target : Target
        The image.
    levels : Levels
    layer : Layer
        Shows them; its rows and columns are those of the image.
    of_class : int, optional
        The class whose probabilities they are.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        target: Target,
        levels: Levels,
        layer: Layer,
        of_class: int | None = None,
    ) -> None:
        self._viewer = viewer
        self._shown = Stack(levels.levels[0], target.axes)
        self.levels = levels
        self.layer = layer
        self.of_class = of_class

    def in_view(self) -> tuple[int, tuple[tuple[int, int], ...]] | None:
        """Return which level is shown and what of it, in its pixels; None for nothing.

        Of an image that is not seen from above, or in 3-D, too much would be in view.
        """
        region = self._region()
        if region is None:
            return None
        stride = self.levels.levels[self.layer.data_level].stride
        rows, columns = (
            (first // stride, -(-last // stride)) for first, last in region.bounds[-2:]
        )
        return self.layer.data_level, (*region.bounds[:-2], rows, columns)

    def is_ahead(self) -> bool:
        """Tell whether the view has moved and napari not yet chosen its level for it.

        It does so when it draws. The whole image at full resolution may be in view
        until then.
        """
        seen = self.in_view()
        if seen is None:
            return False
        axes = [self._shown.axes.index(axis) for axis in "YX"]
        drawn = self.layer.corner_pixels[:, axes].T
        return any(
            first < low - _ROUNDED or last > high + 1 + _ROUNDED
            for (first, last), (low, high) in zip(seen[1][-2:], drawn, strict=True)
        )

    def _region(self) -> Region | None:
        layer, dims = self.layer, self._viewer.dims
        if layer not in self._viewer.layers or not layer.visible or dims.ndisplay != 2:
            return None
        axes = self._shown.axes
        if {axes[axis - dims.ndim] for axis in dims.displayed} != {"Y", "X"}:
            return None
        try:
            box = view_box(self._viewer, layer)
            return region_in(box, layer, self._shown, "view")
        except OutsideError:
            return None

    def put(self, bounds: Sequence[tuple[int, int]], pixels: NDArray[Any]) -> None:
        """Take the pixels of a box, at full resolution."""
        kind = self._shown.dtype
        self.levels.put(bounds, pixels.astype(kind), self.layer.data_level)

    def show(self) -> None:
        """Draw what has come to be known."""
        self.layer.refresh(thumbnail=False, highlight=False, extent=False)


class LazyLabels(LazyView):
    """The labels, in mask values, veiled where they are not computed yet.

    Parameters
    ----------
    viewer, target, levels, layer
        As of `LazyView`.
    classes : mapping
        Names and values.
    unknown : int
        Stands where nothing is computed.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        target: Target,
        levels: Levels,
        layer: Layer,
        classes: Mapping[str, Any],
        unknown: int,
    ) -> None:
        super().__init__(viewer, target, levels, layer)
        self._values = [int(value) for value in classes["values"]]
        self._unknown = unknown
        layer.features = {
            "index": [*self._values, unknown],
            "class": [*classes["names"], _NOT_YET],
        }
        self.colour()

    def colour(self, _: Any = None) -> None:
        """Colour the classes as in other predictions, and veil what is not computed.

        In 3-D the veil would hide all.
        """
        usual = Labels(np.zeros((1, 1), self._shown.dtype))
        colours: dict[float | None, Any] = {
            value: usual.get_color(value) for value in self._values
        }
        veiled = self._viewer.dims.ndisplay == 2
        colours |= {
            self._unknown: _VEIL if veiled else "transparent",
            0: "transparent",
            None: "transparent",
        }
        self.layer.colormap = DirectLabelColormap(color_dict=colours)


def add_views(
    viewer: ViewerModel,
    target: Target,
    info: Mapping[str, Any],
    model: str,
    started: LookStarted,
    *,
    probabilities: bool,
) -> list[LazyView]:
    """Add the layers of a prediction to the viewer, empty.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    target : Target
        The image.
    info : mapping
        `napari_unet.model.read_info` of the model.
    model : str
        Its path.
    started : LookStarted
    probabilities : bool
        Whether images of the probabilities are wanted; they are hidden at first.

    Returns
    -------
    list of LazyView
        That of the labels, or for regression of the values, then those of the
        probabilities in class order.
    """
    classes = info["classes"]
    add = partial(_add, viewer, target, model, started)
    if not classes:
        limits = usual_values(info["scale"])
        return [add("prediction", np.dtype(started.dtype), contrast_limits=limits)]
    images = [
        add(f"P({name})", np.dtype(np.float32), index, **look_of_class(index))
        for index, name in enumerate(classes["names"] if probabilities else ())
    ]
    return [_add_labels(viewer, target, model, started, classes), *images]


def _add(
    viewer: ViewerModel,
    target: Target,
    model: str,
    started: LookStarted,
    what: str,
    dtype: np.dtype[Any],
    of_class: int | None = None,
    **look: Any,
) -> LazyView:
    """Add an image, of which what is unknown is clear."""
    levels = _levels(target, started, dtype, math.nan)
    layer = viewer.add_image(levels.levels, **_meta(target, model, what), **look)
    return LazyView(viewer, target, levels, layer, of_class)


def _add_labels(
    viewer: ViewerModel,
    target: Target,
    model: str,
    started: LookStarted,
    classes: Mapping[str, Any],
) -> LazyLabels:
    dtype = np.dtype(started.dtype)
    if dtype.kind == "f":
        dtype = np.dtype(np.int32)  # labels are whole numbers
    unknown = _unused(classes["values"], dtype)
    levels = _levels(target, started, dtype, unknown)
    meta = _meta(target, model, "prediction")
    layer = viewer.add_labels(levels.levels, opacity=0.5, **meta)
    return LazyLabels(viewer, target, levels, layer, classes, unknown)


def _levels(
    target: Target, started: LookStarted, dtype: np.dtype[Any], unknown: float
) -> Levels:
    order = [started.axes.index(axis) for axis in target.axes]
    return Levels([cuts[-1] for cuts in started.cuts], dtype, unknown, order)


def _meta(target: Target, model: str, what: str) -> dict[str, Any]:
    return {
        **target.place,
        "name": f"{target.name} {what}, where looked at",
        "metadata": {MODEL_KEY: model, LOOK_KEY: True},
        "multiscale": True,
    }


def _unused(values: Sequence[float], dtype: np.dtype[Any]) -> int:
    """Return the largest number that is none of `values`."""
    return next(
        number for number in range(np.iinfo(dtype).max, 0, -1) if number not in values
    )
