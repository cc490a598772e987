"""What the OME-XML of a TIFF file says about its first image."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class OmeHeader:
    """Facts from OME-XML; empty where it does not say."""

    sizes: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Size of a pixel and its unit, by axis."""
    channel_names: tuple[str, ...] = ()
    axes: str = ""
    """The axes as `write_stack` noted them."""
    remarks: tuple[str, ...] = ()


def read_ome(xml: str | None, path: Path) -> OmeHeader:
    """Read the header of an OME-TIFF and check that all files of its set are there.

    Raises
    ------
    StackFormatError
        If a file of the set is missing.
    """
    try:
        root = ElementTree.fromstring(xml or "")
    except ElementTree.ParseError:
        return OmeHeader(
            remarks=("The OME header is damaged; axes and pixel size are not known.",)
        )
    if (link := _child(root, "BinaryOnly")) is not None:
        return OmeHeader(
            remarks=(
                "This is one file of a set described by "
                f"{link.get('MetadataFile', 'another file')}; only this file is read. "
                "Open a folder that holds only the set's TIFF files to read them all.",
            )
        )
    image = _child(root, "Image")
    pixels = _child(image, "Pixels") if image is not None else None
    if image is None or pixels is None:
        return OmeHeader()
    _check_set(root, pixels, path)
    description = _child(image, "Description")
    noted = re.match(
        r"axes=([TZC]*YX)$", (description.text or "") if description is not None else ""
    )
    return OmeHeader(_sizes(pixels), _channel_names(pixels), noted[1] if noted else "")


def _check_set(
    root: ElementTree.Element, pixels: ElementTree.Element, path: Path
) -> None:
    missing = []
    for element in pixels.iter():
        name = element.get("FileName")
        if name is None or element.text == root.get("UUID"):
            continue  # this very file, whatever it is called now
        known = root.get("UUID") is None and name.lower() == path.name.lower()
        if not known and name not in missing and not (path.parent / name).is_file():
            missing.append(name)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise StackFormatError(
            f"{path} is part of a set of files, and {missing[0]}{more} of it is "
            f"missing in {path.parent}. Put all files of the set there under their own "
            "names."
        )


def _sizes(pixels: ElementTree.Element) -> dict[str, tuple[float, str]]:
    sizes = {}
    for axis in "ZYX":
        if (size := _number(pixels.get(f"PhysicalSize{axis}"))) is not None:
            sizes[axis] = size, pixels.get(f"PhysicalSize{axis}Unit", "µm")
    if (interval := _number(pixels.get("TimeIncrement"))) is not None:
        sizes["T"] = interval, pixels.get("TimeIncrementUnit", "s")
    return sizes


def _channel_names(pixels: ElementTree.Element) -> tuple[str, ...]:
    names = [each.get("Name", "") for each in pixels if _tag(each) == "Channel"]
    return tuple(names) if all(names) else ()


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _child(parent: ElementTree.Element, tag: str) -> ElementTree.Element | None:
    return next((each for each in parent if _tag(each) == tag), None)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
