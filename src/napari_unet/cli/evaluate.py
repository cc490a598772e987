"""The commands ``evaluate`` and ``curves``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli import flags, inputs
from napari_unet.cli.answers import say, write

if TYPE_CHECKING:
    from napari_unet.data import Stack
    from napari_unet.evaluation.layout import Report


def add_evaluate(commands: Any) -> None:
    """Add the command ``evaluate``."""
    parser = flags.command(commands, "evaluate", _evaluate, "score a prediction")
    parser.add_argument(
        "prediction",
        type=Path,
        help="labels in mask values, or probabilities; or a folder of them",
    )
    parser.add_argument(
        "truth", type=Path, help="the mask it should equal; of a folder, paired by name"
    )
    flags.add_as_stack(parser)
    parser.add_argument(
        "--ignore", help="mask values that are not scored, such as 254,255"
    )
    parser.add_argument(
        "--cell-value", type=int, help="mask value of cells (default: the highest)"
    )
    parser.add_argument(
        "--membranes",
        action=argparse.BooleanOptionalAction,
        help="score membranes by V_rand and V_info (default: when there are 2 classes)",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--objects",
        action="store_true",
        help="score objects, of which both hold the numbers",
    )
    kind.add_argument(
        "--regression",
        action="store_true",
        help="score values, as regression predicts them",
    )
    parser.add_argument(
        "--object-dims",
        type=int,
        choices=(2, 3),
        default=2,
        help="3 when objects go through sections (default: 2)",
    )
    flags.add_sections(parser)
    flags.add_output_flags(parser)


def _evaluate(given: argparse.Namespace) -> int:
    from rich.console import Console

    predictions, truths = inputs.open_results(given)
    scores = _scores(given, predictions, truths)
    if given.json:
        write(json.dumps(scores.to_dict()))
    elif not given.quiet:
        Console().print(scores.table())
    return 0


def _scores(
    given: argparse.Namespace, prediction: list[Stack], truth: list[Stack]
) -> Report:
    from napari_unet.evaluation import (
        evaluate,
        evaluate_objects,
        evaluate_regression,
    )

    if given.regression:
        return evaluate_regression(prediction, truth, ignore=given.ignore)
    if given.objects:
        return evaluate_objects(
            prediction, truth, dims=given.object_dims, ignore=given.ignore
        )
    return evaluate(
        prediction,
        truth,
        ignore=given.ignore,
        membranes=given.membranes,
        cell_value=given.cell_value,
    )


def add_curves(commands: Any) -> None:
    """Add the command ``curves``."""
    parser = flags.command(
        commands, "curves", _curves, "draw the loss and scores of a run as a picture"
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument(
        "--out", type=Path, help="the PNG (default: curves.png in the run folder)"
    )
    flags.add_output_flags(parser)


def _curves(given: argparse.Namespace) -> int:
    from napari_unet.evaluation import curves_picture
    from napari_unet.training.run import RunFolder

    out = given.out or given.run / "curves.png"
    run = RunFolder(given.run)
    run.config()  # says what is wrong where this is no run
    curves_picture(out, run.log(), title=given.run.resolve().name)
    say(given, str(out))
    return 0
