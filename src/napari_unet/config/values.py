"""Numbers, times and amounts of memory as people write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def whole_numbers(given: Any, name: str) -> tuple[int, ...]:
    """Read ``"254,255"``, a number, several or nothing as a tuple of numbers.

    Raises
    ------
    ConfigError
        If there is anything else in it; the message calls the option `name`.
    """
    if given is None:
        return ()
    parts = (given,) if isinstance(given, int) else given
    try:
        if isinstance(given, str):
            parts = re.findall(r"[^,;\s]+", given)
        numbers = [int(part) if isinstance(part, str) else part for part in parts]
        if any(not isinstance(each, int) or isinstance(each, bool) for each in numbers):
            raise TypeError
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name} is {given!r}, but it must be whole numbers, such as 254,255."
        ) from None
    return tuple(dict.fromkeys(numbers))


def seconds(budget: str | float) -> float:
    """Read a time budget such as ``"3m"``, ``"90s"``, ``"1h"`` or ``"1h30m"``.

    Parameters
    ----------
    budget : str or float
        The text, or a plain number of seconds.

    Returns
    -------
    float
        The budget in seconds, more than 0.

    Raises
    ------
    ConfigError
        If it cannot be read or is not positive.
    """
    text = str(budget).strip().lower()
    parts = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m(?:in)?)?(?:([\d.]+)s?)?", text)
    try:
        if not text or parts is None:
            raise ValueError
        hours, minutes, rest = (float(part or 0) for part in parts.groups())
        total = 3600 * hours + 60 * minutes + rest
        if not 0 < total < float("inf"):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"The budget is {budget!r}, but it must be a time such as 90s, 3m or 1h30m."
        ) from None
    return total


def number_of_bytes(memory: str) -> int:
    """Read an amount of memory such as ``"2GB"``, ``"1.5 G"``, ``"500MB"`` or bytes.

    Raises
    ------
    ConfigError
        If it cannot be read, or is less than 1 MB.
    """
    text = memory.lower().replace(" ", "")
    found = re.fullmatch(r"(\d+\.?\d*)([kmgt]?)(?:i?b)?", text)
    power = " kmgt".index(found[2] or " ") if found else 0
    size = int(float(found[1]) * 1024**power) if found else 0
    if size < 2**20:
        raise ConfigError(
            f"memory is {memory!r}, but it must be at least 1MB, such as 2GB or 500MB."
        )
    return size


def read_names(names: str | None) -> dict[int, str]:
    """Read names of classes such as ``"0=background, 255=nucleus"`` by mask value.

    Raises
    ------
    ConfigError
        If it cannot be read, or a value or a name comes twice.
    """
    found: dict[int, str] = {}
    parts = re.split(r",\s*(?=-?\d+\s*=)", names or "")  # a name may hold a comma
    for part in filter(str.strip, parts):
        value, _, name = (each.strip() for each in part.partition("="))
        whole = re.fullmatch(r"-?\d+", value)
        if not (whole and name) or int(value) in found or name in found.values():
            raise ConfigError(
                f"class_names is {names!r}, but it must be mask values, each with a "
                "name of its own, such as 0=background,255=nucleus."
            )
        found[int(value)] = name
    return found


def write_names(names: Mapping[int, str]) -> str | None:
    """Write what `read_names` reads; None where there are no names."""
    return ",".join(f"{value}={name}" for value, name in names.items()) or None


def read_values(values: str | None) -> dict[int, int]:
    """Read which value stands for which, such as ``"1=0,2=255"``.

    Raises
    ------
    ConfigError
        If it cannot be read, or a value comes twice on either side.
    """
    pairs = [part.split("=") for part in (values or "").split(",") if part.strip()]
    try:
        found = {int(own): int(meant) for own, meant in pairs}
    except ValueError:
        found = {}
    if len(found) < len(pairs) or len(set(found.values())) < len(pairs):
        raise ConfigError(
            f"prediction_values is {values!r}, but it must be values of the "
            "prediction, each with the one it stands for, such as 1=0,2=255."
        )
    return found


def write_values(values: Mapping[int, int]) -> str:
    """Write what `read_values` reads."""
    return ",".join(f"{own}={meant}" for own, meant in values.items())
