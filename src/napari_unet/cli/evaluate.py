"""The commands ``evaluate`` and ``curves``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli import flags, inputs
from napari_unet.cli.answers import say, write
from napari_unet.config import EvaluationConfig

if TYPE_CHECKING:
    import argparse

    from napari_unet.evaluation.whole import Evaluated


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
    _add_kind(parser)
    _add_files(parser)
    parser.add_argument("--image", type=Path, help="what was predicted, for pictures")
    parser.add_argument(
        "--model",
        type=Path,
        help=f"what predicted ({flags.MODEL}): says whether it was trained on this",
    )
    parser.add_argument(
        "--region",
        help="the part of the truth that was predicted, such as 0:10,0:512,100:612",
    )
    flags.add_overwrite(parser, "replace the report and the errors")
    flags.add_sections(parser)
    flags.add_options(parser, EvaluationConfig)
    flags.add_output_flags(parser)


def _add_kind(parser: argparse.ArgumentParser) -> None:
    """Let objects or values be scored instead of classes."""
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


def _add_files(parser: argparse.ArgumentParser) -> None:
    """Let be named what is written."""
    parser.add_argument(
        "--report", type=Path, help="write all of it as this HTML page, with pictures"
    )
    parser.add_argument(
        "--errors",
        type=Path,
        help="write this TIFF: 1 missed, 2 false, 3 split, 4 merged, 0 right; of "
        "values the difference",
    )


def _evaluate(given: argparse.Namespace) -> int:
    from rich.console import Console

    from napari_unet.evaluation.report_page import check_free
    from napari_unet.evaluation.whole import write_errors

    for path in filter(None, (given.report, given.errors)):
        check_free(path, overwrite=given.overwrite)
    done = _scores(given)
    if given.errors:
        write_errors(given.errors, done.comparison, overwrite=given.overwrite)
    if given.report:
        done.page.write(given.report, overwrite=given.overwrite)
    if given.json:
        write(json.dumps(done.report.to_dict()))
    elif not given.quiet:
        Console().print(done.report.table())
    return 0


def _scores(given: argparse.Namespace) -> Evaluated:
    from napari_unet.data.region import find_region
    from napari_unet.evaluation.comparison import finish
    from napari_unet.evaluation.whole import evaluate_wholly

    predictions, truths = inputs.open_results(given)
    images = []
    if given.image:
        images = inputs.open_images(given, len(truths))
    region = find_region(truths[0], given.region) if given.region else None
    kind = "objects" if given.objects else "values" if given.regression else "classes"
    config = EvaluationConfig(**flags.chosen(given, EvaluationConfig))
    return finish(
        evaluate_wholly(
            predictions,
            truths,
            config,
            kind=kind,
            images=images,
            model=given.model,
            region=region,
        )
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
