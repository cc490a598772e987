"""The layer that shows where a prediction is wrong, and the way to a section of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.evaluation.error_map import COLOURS, KINDS

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_unet.plugin.evaluate.job import Comparing


def add_errors(viewer: ViewerModel, about: Comparing, errors: NDArray[Any]) -> str:
    """Add a map of errors to the viewer, and return its name.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    about : Comparing
        What was compared.
    errors : ndarray
        Rows and columns last: uint8 kinds of errors, or float32 differences.
    """
    written = [axis for axis in about.axes if axis not in "YX"] + ["Y", "X"]
    data = errors.transpose([written.index(axis) for axis in about.axes])
    meta = {"name": f"{about.name} errors", **about.place, "metadata": about.metadata}
    if errors.dtype.kind == "f":
        sample = errors.reshape(-1)[:: max(1, errors.size // 10**5)]
        reach = float(np.nanpercentile(np.abs(sample), 99)) or 1.0
        look = {"colormap": "PiYG", "contrast_limits": (-reach, reach), "opacity": 0.6}
        return str(viewer.add_image(data, **meta, **look).name)
    colours: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colours |= {kind: COLOURS[kind] for kind in KINDS}
    names = {"index": [0, *KINDS], "error": ["none", *KINDS.values()]}
    layer = viewer.add_labels(
        data,
        **meta,
        colormap=DirectLabelColormap(color_dict=colours),
        features=names,
        opacity=0.8,
    )
    return str(layer.name)


def go_to_section(
    viewer: ViewerModel, about: Comparing, shape: tuple[int, ...], index: int
) -> None:
    """Move the sliders to a section that was compared, whatever layers are left.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    about : Comparing
    shape : tuple of int
        Length of the errors along each axis but rows and columns.
    index : int
        Number of the section, in C order.
    """
    looped = [i for i, axis in enumerate(about.axes) if axis not in "YX"]
    missing = viewer.dims.ndim - len(about.axes)
    point = np.zeros(len(about.axes))
    point[looped] = np.unravel_index(index, shape) if shape else 0
    world = point * about.place["scale"] + about.place["translate"]
    for dimension in looped:
        if dimension + missing not in viewer.dims.displayed and missing >= 0:
            viewer.dims.set_point(dimension + missing, world[dimension])
