"""OME-Zarr images and plain zarr arrays as lazy stacks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.axes import guess_axes, normal_axes
from napari_unet.data.read.calibration import in_one_unit
from napari_unet.data.read.lazy import ZARR_MARKS, Foreign, as_format_error, is_zarr
from napari_unet.data.read.tiff import stem
from napari_unet.data.stack import Stack
from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_LISTED = 4  # names in a message


@dataclass(frozen=True)
class _Multiscales:
    """What the metadata of an OME-Zarr group says of its image.

    Attributes
    ----------
    axes : str
    units : tuple of (str or None)
        One per axis.
    levels : dict of str to tuple of float
        Path of each resolution within the group, the finest first, and the size of its
        pixels along each axis.
    channel_names : tuple of str
    """

    axes: str
    units: tuple[str | None, ...]
    levels: dict[str, tuple[float, ...]]
    channel_names: tuple[str, ...]


def open_zarr(path: Path, axes: str | None = None) -> Stack:
    """Open an OME-Zarr image (0.1 to 0.5), one of its labels or levels, or an array.

    Parameters
    ----------
    path : Path
        A group with multiscales metadata, of which level 0 is read; or an array, in
        such a group or by itself.
    axes : str or None
        Overrules those of the metadata.

    Raises
    ------
    StackFormatError
        If it is damaged, or a plate or another group of several images.
    """
    node = _open(path)
    if hasattr(node, "shape"):
        return _open_array(node, path, axes)
    return _open_level(_image_group(node, path), 0, axes)


def open_levels(path: Path) -> list[Stack]:
    """Open all resolutions of an OME-Zarr image, the finest first.

    Raises
    ------
    StackFormatError
        As `open_zarr` does.
    """
    node = _open(path)
    if hasattr(node, "shape"):
        return [_open_array(node, path, None)]
    image, facts = _image_group(node, path)
    return [_open_level((image, facts), i, None) for i in range(len(facts.levels))]


def list_labels(path: Path) -> list[Path]:
    """List the groups of labels that belong to the image in a group."""
    if not is_zarr(path / "labels"):
        return []
    names = _attributes(_open(path / "labels")).get("labels", [])
    return [path / "labels" / str(name) for name in names]


def holds_labels(path: Path) -> bool:
    """Whether the pixels of a group or array are labels, by its place or metadata."""
    if "labels" in path.absolute().parts[-3:-1]:
        return True
    attributes = _attributes(_open(path))
    facts = _multiscales(attributes, path)
    return "image-label" in attributes or (
        facts is not None and all(each.startswith("labels/") for each in facts.levels)
    )


def _open(path: Path) -> Any:
    import zarr

    if not _is_node(path):
        raise StackFormatError(
            f"{path} is named as a zarr store but holds neither an array nor a group "
            f"({', '.join(ZARR_MARKS)}). Check that it was copied as a whole."
        )
    with as_format_error(path):
        return zarr.open(str(path), mode="r")


def _is_node(path: Path) -> bool:
    return any((path / mark).is_file() for mark in ZARR_MARKS)


def _open_array(array: Any, path: Path, axes: str | None) -> Stack:
    """Open an array, with the metadata of the image that it is a level of, if any."""
    for parent in list(path.absolute().parents)[:3]:
        if not _is_node(parent):
            break
        facts = _multiscales(_attributes(_open(parent)), parent)
        level = path.absolute().relative_to(parent).as_posix()
        if facts is not None and level in facts.levels:
            number = list(facts.levels).index(level)
            return replace(_open_level((parent, facts), number, axes), source=path)
    pixels = Foreign(array, path)
    known = normal_axes(axes) if axes else _dimension_names(array)
    return Stack(
        pixels, known or guess_axes(pixels, str(path)), name=stem(path), source=path
    )


def _open_level(
    image: tuple[Path, _Multiscales], number: int, axes: str | None
) -> Stack:
    path, facts = image
    level, scale = list(facts.levels.items())[number]
    array = _open(path / level)
    if not hasattr(array, "shape"):
        raise StackFormatError(
            f"{path / level} should be an array by the metadata of {path.name}, but is "
            "a group. Export the image again."
        )
    letters = normal_axes(axes) if axes else facts.axes
    known = zip(letters, scale, facts.units, strict=False)
    sizes = {a: (size, unit) for a, size, unit in known if a in "TZYX" and size > 0}
    if not any(facts.units) and {size for size, _ in sizes.values()} == {1.0}:
        sizes = {}  # nobody has said how large a pixel is
    pixel_size, unit = in_one_unit(sizes)
    channels = dict(zip(letters, array.shape, strict=False)).get("C", 0)
    return Stack(
        Foreign(array, path / level),
        letters,
        pixel_size=pixel_size,
        unit=unit,
        name=stem(path),
        source=path,
        channel_names=facts.channel_names
        if len(facts.channel_names) == channels
        else (),
    )


def _image_group(group: Any, path: Path) -> tuple[Path, _Multiscales]:
    """Return the one image of a group: itself, or the only one inside."""
    attributes = _attributes(group)
    facts = _multiscales(attributes, path)
    if facts is not None:
        return path, facts
    images = _images_inside(group, attributes, path)
    if len(images) == 1:
        inner = path / images[0]
        node = _open(inner)
        facts = (
            None if hasattr(node, "shape") else _multiscales(_attributes(node), inner)
        )
        if facts is not None:
            return inner, facts
    what = "a plate" if "plate" in attributes else "a group of images"
    if not images:
        raise StackFormatError(
            f"{path} is a zarr group without an image: it has no multiscales metadata. "
            "Open an array inside it, and say what its axes are."
        )
    raise StackFormatError(
        f"{path} is {what}, and one image is needed. Open one inside, such as "
        f"{_some([str(path / each) for each in images])}."
    )


def _images_inside(group: Any, attributes: Mapping[str, Any], path: Path) -> list[str]:
    """List images by their paths within a plate, a well, or any other group."""
    with _metadata(path):
        if "plate" in attributes:
            # A well may have several fields of view, of which the first is listed.
            return [f"{each['path']}/0" for each in attributes["plate"]["wells"]]
        if "well" in attributes:
            return [str(each["path"]) for each in attributes["well"]["images"]]
    with as_format_error(path):
        names = [str(name) for name in group.keys()]  # noqa: SIM118  a zarr group
    return sorted((name for name in names if name not in ("OME", "labels")), key=_order)


def _order(name: str) -> tuple[int, str]:
    return (int(name) if name.isdecimal() else 2**31, name)


def _attributes(group: Any) -> dict[str, Any]:
    """Return the metadata of a group, where version 0.5 has its own place for it."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def _multiscales(attributes: Mapping[str, Any], path: Path) -> _Multiscales | None:
    if not attributes.get("multiscales"):
        return None
    with _metadata(path):
        about = attributes["multiscales"][0]
        axes = about.get("axes") or list("tczyx")  # they were always these before 0.3
        named = [each if isinstance(each, dict) else {"name": each} for each in axes]
        outer = _scale(about, len(named))
        levels = {
            str(each["path"]): tuple((outer * _scale(each, len(named))).tolist())
            for each in about["datasets"]
        }
        channels = attributes.get("omero", {}).get("channels", [])
        labels = tuple(str(each.get("label") or "") for each in channels)
        return _Multiscales(
            "".join(str(each["name"]).upper() for each in named),
            tuple(each.get("unit") for each in named),
            levels,
            labels if all(labels) else (),
        )


def _scale(about: Mapping[str, Any], n_axes: int) -> np.ndarray:
    for each in about.get("coordinateTransformations") or ():
        if each.get("type") == "scale" and "scale" in each:
            scale: np.ndarray = np.asarray(each["scale"], float).reshape(n_axes)
            return scale
    return np.ones(n_axes)


@contextmanager
def _metadata(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise StackFormatError(
            f"The OME-Zarr metadata of {path} is damaged ({error!r}). Open an array "
            "inside it, and say what its axes are; or export the image again."
        ) from error


def _dimension_names(array: Any) -> str:
    """Return the axes that an array names itself, if these are letters of ours."""
    names: Sequence[Any] | None = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    axes = "".join(str(each).upper() for each in names)
    fits = len(axes) == array.ndim == len(set(axes)) and set(axes) <= set("TZCYX")
    return axes if fits and {"Y", "X"} <= set(axes) else ""


def _some(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
