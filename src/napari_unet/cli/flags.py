"""The flags of the command line; those of the options come from `config`."""

from __future__ import annotations

import argparse
import sys
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn

from napari_unet.config import options

if TYPE_CHECKING:
    from napari_unet.config import Config


MODEL = "run folder or .safetensors file"
_METAVARS = {int: "N", float: "X", str: "TEXT"}


def command(commands: Any, name: str, function: Any, text: str) -> Any:
    """Add a command to the parser, run by `function`."""
    parser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    parser.set_defaults(command=function)
    return parser


def add_overwrite(parser: argparse.ArgumentParser, text: str) -> None:
    """Let results be replaced."""
    parser.add_argument("--overwrite", action="store_true", help=text)


def add_as_stack(parser: argparse.ArgumentParser) -> None:
    """Let the files of two folders be one stack each, instead of pairs."""
    parser.add_argument(
        "--as-stack",
        action="store_true",
        help="take the files of each folder as the sections of one stack",
    )


def add_image_flags(parser: argparse.ArgumentParser) -> None:
    """Let the axes, the pixel size and a range of sections be told."""
    parser.add_argument("--axes", help="axes of the image, such as ZYX or TZCYX")
    parser.add_argument(
        "--pixel-size",
        type=pixel_size,
        metavar="Z,Y,X,UNIT",
        help="pixel size where the file says none or a wrong one, such as 50,4,4,nm or "
        "0.5,0.5,µm; none for no size",
    )
    add_sections(parser)


def add_sections(parser: argparse.ArgumentParser) -> None:
    """Let a range of sections be chosen."""
    parser.add_argument(
        "--sections",
        type=section_range,
        metavar="FROM:TO",
        help="only these sections, counted from 0, TO not included; it may lie beyond "
        "the end",
    )


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Let the output be chosen; every command has these."""
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="print JSON, one per line")
    parser.add_argument("--debug", action="store_true", help="show where errors arise")


def add_options(parser: argparse.ArgumentParser, config: type[Config]) -> None:
    """Make a flag of each option; only those given appear in the result."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for each in options(config):
        if each.group not in groups:
            groups[each.group] = parser.add_argument_group(each.group)
        how: dict[str, Any] = {"help": each.help, "default": argparse.SUPPRESS}
        if each.default not in (None, ()):
            how["help"] += f" (default: {each.default})"
        if each.many:
            how["metavar"] = "VALUES"
        elif each.type is bool:
            how["action"] = argparse.BooleanOptionalAction
        else:
            how["type"] = each.type
            how["choices"] = each.choices or None
            how["metavar"] = None if each.choices else _METAVARS[each.type]
        groups[each.group].add_argument("--" + each.name.replace("_", "-"), **how)


def chosen(given: argparse.Namespace, config: type[Config]) -> dict[str, Any]:
    """Return the options of `config` that were given, by name."""
    names = [each.name for each in options(config)]
    return {name: getattr(given, name) for name in names if hasattr(given, name)}


def section_range(text: str) -> slice:
    """Read ``FROM:TO``."""
    first, colon, last = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range such as 0:18")
    try:
        return slice(int(first or 0), int(last) if last else None)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a range such as 0:18"
        ) from None


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of at least 1"
        )
    return int(text)


def pixel_size(text: str) -> tuple[dict[str, float], str | None]:
    """Read ``50,4,4,nm``: the sizes along the last axes out of ZYX, and their unit."""
    if text == "none":
        return {}, None
    *numbers, last = text.split(",")
    unit: str | None = last.strip()
    try:
        float(last)
    except ValueError:
        pass
    else:
        numbers, unit = [*numbers, last], None
    try:
        sizes = [float(each) for each in numbers]
        if not 1 <= len(sizes) <= 3 or not all(0 < each < inf for each in sizes):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a pixel size such as 50,4,4,nm"
        ) from None
    return dict(zip("ZYX"[-len(sizes) :], sizes, strict=True)), unit


def shape(text: str) -> tuple[int, ...]:
    """Read ``30,512,512``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a shape such as 30,512,512"
        ) from None


class Version(argparse.Action):
    """Prints the version, looked up only when it is asked for."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> NoReturn:
        """Print it and end."""
        import napari_unet

        sys.stdout.write(f"napari-unet {napari_unet.__version__}\n")
        parser.exit()
