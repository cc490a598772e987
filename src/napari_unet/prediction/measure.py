"""Where objects are, how large, of what shape and how bright."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.open import as_stack
from napari_unet.data.stack import Stack
from napari_unet.errors import StackFormatError
from napari_unet.prediction.table import Table, join_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

_COLUMNS = {"T": "frame", "Z": "section"}  # of the axes that are looped over
_COLOURS = ("red", "green", "blue", "alpha")
_PLAIN = {"µ": "u", "μ": "u", "Å": "angstrom"}  # in names that any program reads
_MANY = 2**20  # labels from which on skimage's list of them takes too long
_STATISTICS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "sd": np.std,
    "sum": np.sum,
}


def measure_objects(
    objects: Stack | str | Path | ArrayLike,
    image: Stack | str | Path | ArrayLike | Sequence[Stack] | None = None,
    *,
    dims: int = 2,
) -> Table:
    """Measure each object: place, size, shape and, of an image, its intensities.

    Lengths, areas and volumes are in pixels and, where the size of a pixel is known, in
    real units, which the names of the columns tell: ``area_px`` and ``area_um2``.

    Parameters
    ----------
    objects : Stack, path or array
        Labels, whose values above 0 are the numbers of objects.
    image : Stack, path, array or sequence of Stack, optional
        Of the same shape, with any number of channels.
    dims : int
        2 to measure objects in each section, 3 as volumes.

    Returns
    -------
    Table
        A row for each object of a section, or of a volume:

        - ``label``, ``frame`` (along T) and ``section`` (along Z, from 0), where there
          are such axes beside those measured in;
        - ``y_px``, ``x_px`` and so on: the centroid, pixels counted from 0;
        - ``area`` and ``perimeter`` (Benkrid and Crookes 2000; square pixels only), or
          ``volume`` and ``surface`` (marching cubes, Lewiner 2003: the steps of voxels
          make it up to an eighth larger than that of a smooth body);
        - ``equivalent_diameter``, that of a circle or ball as large; ``major_axis``
          and ``minor_axis``, of the ellipse or ellipsoid of the same second moments;
          in sections also ``eccentricity`` and ``solidity``;
        - ``bbox_y_start``, ``bbox_y_stop`` (the pixel after the last) and so on;
          ``touches_border``, whether it may be cut off there;
        - ``mean``, ``min``, ``max``, ``sd`` and ``sum``, for each channel.

    Raises
    ------
    StackFormatError
        If the labels are no whole numbers or have channels, the image has another
        shape, or volumes are measured without Z.

    Examples
    --------
    >>> table = measure_objects(np.array([[0, 7, 7], [0, 7, 7]]))
    >>> table["label"], table["area_px"]
    (array([7]), array([4]))
    """
    labels = as_stack(objects)
    images = [] if image is None else [image]
    if isinstance(image, list | tuple) and all(isinstance(i, Stack) for i in image):
        images = [*image]
    stacks = [as_stack(each) for each in images]
    return join_tables([*measure_parts(labels, stacks, dims=dims)])


def measure_parts(
    objects: Stack, images: Sequence[Stack] = (), *, dims: int = 2
) -> Iterator[Table]:
    """Measure as `measure_objects` does, a table for each section or volume.

    Memory is that of one of them.
    """
    _check(objects, images)
    groups = objects.seen_together(dims)
    ruler, names = _Ruler.of(objects, images, dims), _channel_names(images)
    places = _places(objects, dims)
    for group in groups:
        labels = np.stack([objects.section(index)[0] for index in group])
        values = None
        if images:
            sections = [[each.section(i) for each in images] for i in group]
            values = np.stack([np.concatenate(each) for each in sections])
        place = {name: int(each[group[0]]) for name, each in places.items()}
        yield _measure(labels, values, ruler, names, place)


def _check(objects: Stack, images: Sequence[Stack]) -> None:
    if objects.n_channels > 1:
        raise StackFormatError(
            f"{objects.label} has {objects.n_channels} channels, but objects are one "
            "number per pixel: give labels."
        )
    if objects.dtype.kind == "f":
        raise StackFormatError(
            f"{objects.label} holds {objects.dtype} values, but objects have whole "
            "numbers: find objects in it first."
        )
    for image in images:
        if _lengths(objects) != _lengths(image):
            raise StackFormatError(
                f"{objects.label} has the axes {objects.axes} of {objects.shape}, but "
                f"{image.label} has {image.axes} of {image.shape}: measure objects in "
                "the image they were found in."
            )


def _lengths(stack: Stack) -> list[tuple[str, int]]:
    """Return the axes along which pixels lie, rows and columns last."""
    pairs = zip(stack.axes, stack.shape, strict=True)
    looped = [(axis, n) for axis, n in pairs if axis not in "CSYX" and n > 1]
    return [*looped, *zip("YX", stack.section_shape, strict=True)]


def _places(objects: Stack, dims: int) -> dict[str, NDArray[np.intp]]:
    """Return frame and section of each section, by the name of the column."""
    looped = [axis for axis in objects.axes if axis not in "CSYX"]
    lengths = [objects.shape[objects.axes.index(axis)] for axis in looped]
    indices = np.unravel_index(np.arange(objects.n_sections), lengths or [1])
    columns = {
        _COLUMNS[axis]: each
        for axis, each in zip(looped, indices, strict=False)
        if axis not in "ZYX"[-dims:]
    }
    return dict(sorted(columns.items()))


def _channel_names(images: Sequence[Stack]) -> list[str]:
    """Return what follows on the name of an intensity, for each channel."""
    found = []
    for number, image in enumerate(images):
        first = [image.name or str(number)] if len(images) > 1 else []
        count, names = image.n_channels, [*image.channel_names]
        if len(names) != count:
            colours = image.axes.endswith(("C", "S")) and count in (3, 4)
            names = [*_COLOURS[:count]] if colours else [str(i) for i in range(count)]
        channels = [[each] for each in names] if count > 1 else [[]]
        found += ["_".join(["", *first, *each]) for each in channels]
    return found


@dataclass(frozen=True)
class _Ruler:
    """How long a pixel is.

    Attributes
    ----------
    axes : str
        ``"YX"`` or ``"ZYX"``.
    spacing : tuple of float
        Along each of `axes`; 1 where no size is known.
    unit : str
        As it is in the names of columns; ``"px"`` where no size is known.
    """

    axes: str
    spacing: tuple[float, ...]
    unit: str

    @classmethod
    def of(cls, objects: Stack, images: Sequence[Stack], dims: int) -> _Ruler:
        known = next((s for s in (objects, *images) if s.pixel_size), objects)
        axes = "ZYX"[-dims:]
        spacing = tuple(known.pixel_size.get(axis, 0.0) for axis in axes)
        if not all(spacing):
            return cls(axes, (1.0,) * dims, "px")
        unit = known.unit or "unit"
        for letter, plain in _PLAIN.items():
            unit = unit.replace(letter, plain)
        return cls(axes, spacing, unit)

    @property
    def remarks(self) -> tuple[str, ...]:
        if self.unit != "px":
            return ()
        return (f"The size of a pixel is not known along all of {self.axes}: lengths "
                "are in pixels.",)  # fmt: skip


def _measure(
    labels: NDArray[Any],
    values: NDArray[Any] | None,
    ruler: _Ruler,
    channels: list[str],
    place: dict[str, int],
) -> Table:
    """Measure objects in labels (Z, Y, X) and values (Z, C, Y, X)."""
    from skimage.measure import regionprops

    if values is not None:
        values = np.moveaxis(values, 1, -1)
    if len(ruler.axes) == 2:
        labels, values = labels[0], None if values is None else values[0]
    numbers, small = _renumber(labels)
    rows = [
        {
            "label": int(numbers[region.label]),
            **place,
            **_extent(region, ruler),
            **_shape(region, ruler),
            **_box(region, ruler.axes, labels.shape),
            **_intensities(region, channels),
        }
        for region in regionprops(small, values, spacing=ruler.spacing)
    ]
    if not rows:  # the columns of an object that is none
        ones = None if values is None else np.ones((3, len(channels), 3, 3))
        like = _measure(np.ones((3, 3, 3), int), ones, ruler, channels, place)
        none = {name: column[:0] for name, column in like.columns.items()}
        return Table(none, ruler.remarks)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Table(columns, ruler.remarks)


def _renumber(labels: NDArray[Any]) -> tuple[Sequence[int], NDArray[Any]]:
    """Return labels that skimage can count to, and which each of them was."""
    if labels.dtype.kind == "b":
        labels = labels.view(np.uint8)
    if (top := int(labels.max(initial=0))) < _MANY:
        return range(top + 1), labels
    numbers = np.unique(labels[labels > 0])
    small = np.where(labels > 0, np.searchsorted(numbers, labels) + 1, 0)
    return [0, *numbers.tolist()], small


def _extent(region: Any, ruler: _Ruler) -> dict[str, float]:
    """Centroid and size, in pixels and in real units."""
    pixel, size, power = math.prod(ruler.spacing), "area", "2"
    if len(ruler.axes) == 3:
        size, power = "volume", "3"
    axes, middle = ruler.axes.lower(), np.divide(region.centroid, ruler.spacing)
    found = {f"{axis}_px": float(c) for axis, c in zip(axes, middle, strict=True)}
    found[f"{size}_px"] = int(region.num_pixels)
    if ruler.unit != "px":
        for axis, each in zip(axes, region.centroid, strict=True):
            found[f"{axis}_{ruler.unit}"] = float(each)
        found[f"{size}_{ruler.unit}{power}"] = int(region.num_pixels) * pixel
    return found


def _shape(region: Any, ruler: _Ruler) -> dict[str, float]:
    """Outline and shape; what is not defined for pixels of this shape is left out."""
    from skimage.measure import marching_cubes, mesh_surface_area, perimeter

    unit, found = ruler.unit, {}
    if len(ruler.axes) == 3:
        solid = np.pad(region.image, 1).astype(np.float32)
        mesh = marching_cubes(solid, 0.5, spacing=ruler.spacing)[:2]
        found[f"surface_{unit}2"] = float(mesh_surface_area(*mesh))
    elif math.isclose(*ruler.spacing, rel_tol=1e-3):
        found[f"perimeter_{unit}"] = perimeter(region.image, 4) * ruler.spacing[0]
    found[f"equivalent_diameter_{unit}"] = float(region.equivalent_diameter_area)
    found[f"major_axis_{unit}"] = float(region.axis_major_length)
    found[f"minor_axis_{unit}"] = float(region.axis_minor_length)
    if len(ruler.axes) == 2:
        found["eccentricity"] = float(region.eccentricity)
        found["solidity"] = float(region.solidity)
    return found


def _box(region: Any, axes: str, shape: tuple[int, ...]) -> dict[str, int | bool]:
    """Bounding box in pixels, and whether it reaches the border."""
    starts, stops = region.bbox[: len(axes)], region.bbox[len(axes) :]
    box: dict[str, int | bool] = {}
    for axis, start, stop in zip(axes.lower(), starts, stops, strict=True):
        box |= {f"bbox_{axis}_start": int(start), f"bbox_{axis}_stop": int(stop)}
    ends = zip(starts, stops, shape, strict=True)
    return {**box, "touches_border": any(a == 0 or b == n for a, b, n in ends)}


def _intensities(region: Any, channels: list[str]) -> dict[str, float]:
    """Mean, least, greatest, deviation and sum in each channel."""
    if not channels:
        return {}
    pixels = region.image_intensity[region.image].astype(np.float64)  # (pixels, C)
    return {
        f"{name}{channel}": float(function(column))
        for channel, column in zip(channels, pixels.T, strict=True)
        for name, function in _STATISTICS.items()
    }
