"""Pixel size and unit, from the header of a TIFF file or by axis."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_unet.data.read.ome import OmeHeader

_NAMES = {
    "um": "µm",
    "micron": "µm",
    "microns": "µm",
    "micrometer": "µm",
    "micrometre": "µm",
    "\\u00b5m": "µm",
    "\\u03bcm": "µm",
    "\\xb5m": "µm",
    "μm": "µm",  # Greek mu instead of the micro sign
    "nanometer": "nm",
    "nanometre": "nm",
    "millimeter": "mm",
    "millimetre": "mm",
    "centimeter": "cm",
    "picometer": "pm",
    "meter": "m",
    "angstrom": "Å",
}
METRES = {
    "Å": 1e-10,
    "pm": 1e-12,
    "nm": 1e-9,
    "µm": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "m": 1.0,
}
"""Length of a unit."""


@dataclass(frozen=True)
class Calibration:
    """Size of a pixel by axis, its unit, and the names of the channels."""

    pixel_size: dict[str, float] = field(default_factory=dict)
    unit: str | None = None
    channel_names: tuple[str, ...] = ()


def normal_unit(unit: str | None) -> str | None:
    """Return the usual sign of a unit; None where it is no unit of length."""
    text = (unit or "").strip()
    text = _NAMES.get(text.lower(), text)
    return None if text.lower() in ("", "pixel", "pixels", "reference frame") else text


def read_calibration(file: Any, ome: OmeHeader) -> Calibration:
    """Read the calibration of an open `tifffile.TiffFile`.

    Plain resolution tags are not believed: 72 dots per inch is no microscope.
    """
    if file.is_ome:
        return _from_ome(ome)
    if file.is_imagej:
        return _from_imagej(file)
    return Calibration()


def in_one_unit(
    sizes: Mapping[str, tuple[float, str | None]],
) -> tuple[dict[str, float], str | None]:
    """Convert sizes by axis, each with its unit, to the unit of X.

    One that cannot be converted is left out. That of T is kept if it is in seconds.
    """
    spatial = {axis: size for axis, size in sizes.items() if axis != "T"}
    units = {axis: normal_unit(unit) for axis, (_, unit) in spatial.items()}
    unit = units.get("X") or next(iter(units.values()), None)
    found = {}
    for axis, (size, _) in spatial.items():
        own = units[axis]
        if own != unit and not {own, unit} <= set(METRES):
            continue
        scale = 1.0 if own == unit else METRES[own or ""] / METRES[unit or ""]
        found[axis] = size * scale
    if "T" in sizes and sizes["T"][1] in ("s", "second"):
        found["T"] = sizes["T"][0]
    return _usable(found), unit if found else None


def _from_ome(ome: OmeHeader) -> Calibration:
    sizes, unit = in_one_unit(ome.sizes)
    return Calibration(sizes, unit, ome.channel_names)


def _from_imagej(file: Any) -> Calibration:
    about = file.imagej_metadata or {}
    unit = normal_unit(str(about.get("unit", "")))
    if unit is None or unit.lower() in ("inch", "inches", "cm"):
        return Calibration()
    sizes = {"Z": abs(float(about.get("spacing", 0)))}
    tags = file.pages[0].tags
    for axis, tag in (("Y", "YResolution"), ("X", "XResolution")):
        pixels, length = getattr(tags.get(tag), "value", (0, 0))
        sizes[axis] = length / pixels if pixels else 0.0
    return Calibration(_usable(sizes), unit)


def _usable(sizes: dict[str, float]) -> dict[str, float]:
    return {axis: size for axis, size in sizes.items() if 0 < size < math.inf}
