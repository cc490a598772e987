"""The words of which shell lines and scripts are made."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_unet.config import Config

PROGRAM = "napari-unet"
THEN = "&&"
"""Stands between the words of two commands of which one follows the other."""


@dataclass(frozen=True)
class Told:
    """What has to be said of images, because their files say nothing or otherwise.

    Attributes
    ----------
    axes : str or None
        One letter per dimension.
    pixel_size : mapping of str to float, or None
        By axis; empty where the pixels are to have no size.
    unit : str or None
        That of the pixel size.
    """

    axes: str | None = None
    pixel_size: Mapping[str, float] | None = None
    unit: str | None = None

    def flags(self) -> list[str]:
        """Return it in the words of the command line."""
        flags = ["--axes", self.axes] if self.axes else []
        if self.pixel_size is not None:
            sizes = [repr(self.pixel_size[a]) for a in "ZYX" if a in self.pixel_size]
            unit = [self.unit] if self.unit and sizes else []
            flags += ["--pixel-size", ",".join(sizes + unit) or "none"]
        return flags

    def opened(self, path: str) -> str:
        """Return the Python expression that opens a file so."""
        opened = call("nu.open_stack", path, **given_only(axes=self.axes))
        if self.pixel_size is None:
            return opened
        size = f"pixel_size={dict(self.pixel_size)!r}, unit={self.unit!r}"
        return f"replace({opened}, {size})"

    def __bool__(self) -> bool:
        return self != Told()


def quoted(words: Iterable[str], *, windows: bool | None = None) -> str:
    """Join the words of a shell line, so that the shell takes them apart again.

    Parameters
    ----------
    words : iterable of str
        Of one command, or of several with `THEN` in between.
    windows : bool, optional
        Whether it is for a Windows shell; by default for this computer's.
    """
    commands: list[list[str]] = [[]]
    for word in words:
        if word == THEN:
            commands.append([])
        else:
            commands[-1].append(word)
    windows = sys.platform == "win32" if windows is None else windows
    join = subprocess.list2cmdline if windows else shlex.join
    return f" {THEN} ".join(map(join, commands))


def minimal(
    config: type[Config],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fewest options from which `config` is built again.

    Parameters
    ----------
    config : type
    options : mapping
        Every option by name.
    """
    whole = config.from_dict(dict(options)).to_dict()
    preset = given_only(preset=whole.get("preset"))
    usual = config.from_dict(preset).to_dict()
    fewest = {k: v for k, v in whole.items() if v != usual[k]} | preset
    if config.from_dict(fewest).to_dict() != whole or None in fewest.values():
        # Nothing on a command line takes back what a preset says.
        usual = config().to_dict()
        fewest = {k: v for k, v in whole.items() if v != usual[k]}
        fewest.pop("preset", None)
    return fewest


def as_flags(options: Mapping[str, Any]) -> list[str]:
    """Write options as flags of the command line."""
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(flag if value else f"--no-{flag[2:]}")
        else:
            several = isinstance(value, list | tuple)
            text = ",".join(map(str, value)) if several else str(value)
            flags += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return flags


def script_calling(function: str, arguments: Iterable[str], told: Told) -> str:
    """Write the script that calls a function of the package, ``nu``.

    Parameters
    ----------
    function : str
        Perhaps with the name of the result before it.
    arguments : iterable of str
        Python expressions.
    told : Told
        What they say of files.
    """
    return script_of(call_lines(function, arguments, {}), told)


def given_only(**options: Any) -> dict[str, Any]:
    """Return the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def call(name: str, *arguments: Any, **named: Any) -> str:
    """Write a call with these values."""
    parts = [repr(each) for each in arguments]
    return f"{name}({', '.join(parts + [f'{k}={v!r}' for k, v in named.items()])})"


def call_lines(
    name: str, arguments: Iterable[str], named: Mapping[str, Any]
) -> list[str]:
    """Write a call with a line for each argument: expressions, and named values."""
    parts = [*arguments, *(f"{key}={value!r}" for key, value in named.items())]
    return [f"{name}(", *(f"    {each}," for each in parts), ")"]


def script_of(lines: Iterable[str], told: Told) -> str:
    """Write a script with what its lines need; `told` is what they say of files."""
    needed = ["from dataclasses import replace", ""] * (told.pixel_size is not None)
    return "\n".join([*needed, "import napari_unet as nu", "", *lines, ""])
