"""The layer that shows a prediction as far as it is computed, and what is in view."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.data.stack import Stack
from napari_unet.plugin.look.levels import Levels
from napari_unet.plugin.parts.choices import LOOK_KEY, MODEL_KEY
from napari_unet.plugin.predict.where import OutsideError, region_in, view_box
from napari_unet.plugin.results import usual_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_unet.data.region import Region
    from napari_unet.plugin.results import Target

_VEIL = (0.25, 0.3, 0.4, 1.0)  # over what is not computed yet; half of it is seen
_ROUNDED = 2  # pixels by which napari's view may differ from ours
_NOT_YET = "not computed yet"


class LazyView:
    """A prediction in a layer of the viewer, empty at first.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    target : Target
        The image.
    info : mapping
        `napari_unet.model.read_info` of the model.
    model : str
        Its path.
    axes : str
        Those of the result, rows and columns last.
    shape : sequence of int
    dtype : str

    Attributes
    ----------
    layer : Layer
        Labels in mask values; for regression an image of the values.
    levels : Levels
    """

    def __init__(
        self,
        viewer: ViewerModel,
        target: Target,
        info: Mapping[str, Any],
        model: str,
        axes: str,
        shape: Sequence[int],
        dtype: str,
    ) -> None:
        self._viewer = viewer
        classes = info["classes"]
        self._values = classes and [int(value) for value in classes["values"]]
        kind = np.dtype(dtype)
        if classes and kind.kind == "f":
            kind = np.dtype(np.int32)  # labels are whole numbers
        self._unknown = _unused(self._values, kind) if classes else math.nan
        order = [axes.index(axis) for axis in target.axes]
        self.levels = Levels(shape, kind, self._unknown, order)
        self._labels = Stack(self.levels.levels[0], target.axes)
        meta: dict[str, Any] = {
            **target.place,
            "name": f"{target.name} prediction, where looked at",
            "metadata": {MODEL_KEY: model, LOOK_KEY: True},
            "multiscale": True,
        }
        if classes:
            self.layer = viewer.add_labels(self.levels.levels, opacity=0.5, **meta)
            self._name_values(classes["names"])
            self.colour()
        else:
            limits = usual_values(info["scale"])
            self.layer = viewer.add_image(
                self.levels.levels, contrast_limits=limits, **meta
            )

    def colour(self, _: Any = None) -> None:
        """Colour the classes as in other predictions, and veil what is not computed.

        In 3-D the veil would hide all.
        """
        if self._values is None:
            return
        usual = Labels(np.zeros((1, 1), self._labels.dtype))
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
        axes = [self._labels.axes.index(axis) for axis in "YX"]
        drawn = self.layer.corner_pixels[:, axes].T
        return any(
            first < low - _ROUNDED or last > high + 1 + _ROUNDED
            for (first, last), (low, high) in zip(seen[1][-2:], drawn, strict=True)
        )

    def _region(self) -> Region | None:
        layer, dims = self.layer, self._viewer.dims
        if layer not in self._viewer.layers or not layer.visible or dims.ndisplay != 2:
            return None
        axes = self._labels.axes
        if {axes[axis - dims.ndim] for axis in dims.displayed} != {"Y", "X"}:
            return None
        try:
            box = view_box(self._viewer, layer)
            return region_in(box, layer, self._labels, "view")
        except OutsideError:
            return None

    def put(self, bounds: Sequence[tuple[int, int]], pixels: NDArray[Any]) -> None:
        """Take the labels or values of a box, at full resolution."""
        kind = self._labels.dtype
        self.levels.put(bounds, pixels.astype(kind), self.layer.data_level)

    def show(self) -> None:
        """Draw what has come to be known."""
        self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _name_values(self, names: Sequence[str]) -> None:
        self.layer.features = {
            "index": [*self._values, self._unknown],
            "class": [*names, _NOT_YET],
        }


def _unused(values: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Return the largest number that is none of `values`."""
    return next(
        number for number in range(np.iinfo(dtype).max, 0, -1) if number not in values
    )
