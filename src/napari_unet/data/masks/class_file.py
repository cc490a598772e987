"""``classes.yaml`` beside the masks: the names of the classes.

Each line is a mask value and its name; ``ignore`` may list values that are not
annotated; a colour is written as in HTML::

    0: background
    255: nucleus
    "#ff0000": vessel
    ignore: [254]
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_unet.data.stack import Stack

FILE = "classes.yaml"
_LARGEST = 2**16  # bytes; a class list is short


def read_class_files(masks: Sequence[Stack]) -> tuple[dict[int, str], tuple[int, ...]]:
    """Read the class lists beside masks: names of values, and ignored values.

    Raises
    ------
    MaskError
        If one is damaged, or two name a value differently.
    """
    names: dict[int, str] = {}
    ignored: set[int] = set()
    for folder in dict.fromkeys(filter(None, map(_folder, masks))):
        if not (folder / FILE).is_file():
            continue
        found, also_ignored = _read(folder / FILE)
        for value, name in found.items():
            if names.setdefault(value, name) != name:
                raise MaskError(
                    f"{folder / FILE} calls the value {value} {name!r}, but another "
                    f"{FILE} calls it {names[value]!r}. Let them agree."
                )
        ignored |= also_ignored
    return names, tuple(sorted(ignored))


def _folder(mask: Stack) -> Path | None:
    if mask.source is None:
        return None
    return mask.source if mask.source.is_dir() else mask.source.parent


def _read(path: Path) -> tuple[dict[int, str], set[int]]:
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too long for a list of classes")
        listed = yaml.safe_load(path.read_text("utf-8"))
        if not isinstance(listed, dict):
            raise ValueError("it is no list of values and names")
        ignore = listed.pop("ignore", [])
        ignored = {_value(each) for each in _as_list(ignore)}
        names = {_value(value): _name(name) for value, name in listed.items()}
    except (OSError, ValueError, yaml.YAMLError) as error:
        cause = " ".join(str(error).split()).rstrip(".")
        raise MaskError(
            f"{path} cannot be used: {cause}. Write a value and a name on each line, "
            "such as 255: nucleus, and no more."
        ) from error
    if len(set(names.values())) < len(names):
        raise MaskError(f"{path} gives two values the same name. Let them differ.")
    return names, ignored


def _as_list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _value(given: Any) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    if isinstance(given, str) and re.fullmatch("#[0-9a-fA-F]{6}", given):
        packed = int(given[1:], 16)
        red, green, blue = packed >> 16, packed >> 8 & 255, packed & 255
        return red if red == green == blue else (1 << 24) + packed
    raise ValueError(f"{given!r} is no whole number and no colour such as '#ff0000'")


def _name(given: Any) -> str:
    if given is None or isinstance(given, list | dict):
        raise ValueError(f"{given!r} is no name")
    return str(given)
