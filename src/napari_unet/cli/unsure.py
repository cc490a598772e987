"""The command ``unsure``."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli import flags
from napari_unet.cli.answers import say, write
from napari_unet.errors import OutputExistsError
from napari_unet.files import replacing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable


def add_unsure(commands: Any) -> None:
    """Add the command ``unsure``."""
    parser = flags.command(
        commands, "unsure", _unsure, "find the places most worth annotating next"
    )
    parser.add_argument(
        "prediction",
        type=Path,
        help="probabilities or uncertainty, as predict writes them",
    )
    parser.add_argument("--out", type=Path, help="write the places to this CSV file")
    parser.add_argument(
        "-n", type=flags.count, default=10, help="how many (default: 10)"
    )
    parser.add_argument(
        "--size",
        type=flags.count,
        default=48,
        help="rows and columns of a place, in pixels (default: 48)",
    )
    parser.add_argument(
        "--annotated", type=Path, help="labels of the image; what they hold is left out"
    )
    parser.add_argument(
        "--unlabelled",
        type=int,
        default=0,
        help="value in these labels that means not annotated (default: 0)",
    )
    flags.add_overwrite(parser, "replace that CSV file")
    parser.add_argument("--axes", help="axes of the image, such as ZYX or ZCYX")
    flags.add_output_flags(parser)


def _unsure(given: argparse.Namespace) -> int:
    from napari_unet.data import open_stack
    from napari_unet.prediction.unsure import find_unsure

    if given.out is not None and given.out.exists() and not given.overwrite:
        raise OutputExistsError(
            f"{given.out} exists already: choose another name, or give --overwrite."
        )
    stack = open_stack(given.prediction, axes=given.axes)
    places = find_unsure(
        stack,
        given.n,
        size=given.size,
        annotated=given.annotated,
        unlabelled=given.unlabelled,
    )
    header = [*stack.section_axes.lower(), "score"]
    rows = [[*place.position, round(place.score, 4)] for place in places]
    if given.out is not None:
        with replacing(given.out) as part, part.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        say(given, str(given.out))
    elif not given.json:
        say(given, _table([header, *rows]))
    if given.json:
        write(json.dumps([dict(zip(header, row, strict=True)) for row in rows]))
    return 0


def _table(rows: Iterable[list[Any]]) -> str:
    return "\n".join("".join(f"{each:>8}" for each in row) for row in rows)
