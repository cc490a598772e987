"""The command ``batch``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli import flags
from napari_unet.cli.answers import complain, face, say, write
from napari_unet.config import ClusterConfig, OutputConfig, PredictionConfig

if TYPE_CHECKING:
    import argparse

    from napari_unet.batch.order import Order
    from napari_unet.batch.outlook import Outlook, Total


def add_batch(commands: Any) -> None:
    """Add the command ``batch``."""
    parser = flags.command(
        commands, "batch", _batch, "predict many images, and go on after any kill"
    )
    parser.add_argument("model", type=Path, help=flags.MODEL)
    parser.add_argument(
        "input",
        nargs="+",
        help="images: files, folders with all that is in them, patterns, OME-Zarr, or "
        "a CSV table with the columns path, truth and region",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="output folder; it keeps the folders of the input, and a manifest by "
        "which the same command goes on",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list what would be done, with tiles, memory and time; predict nothing",
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="try again what has failed"
    )
    _add_wanted(parser)
    parser.add_argument("--axes", help="axes of the images, such as ZYX or TZCYX")
    flags.add_overwrite(parser, "replace files that no batch has written")
    flags.add_output_flags(parser)
    flags.add_options(parser, OutputConfig)
    flags.add_options(parser, PredictionConfig)
    flags.add_options(parser, ClusterConfig)
    parser.usage = "%(prog)s MODEL INPUT [INPUT ...] --out OUT [options]"


def _add_wanted(parser: argparse.ArgumentParser) -> None:
    """Let be said what is wanted besides labels."""
    parser.add_argument(
        "--truth", type=Path, help="folder of masks to score by, found by name"
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="write probabilities as well"
    )
    parser.add_argument(
        "--objects",
        action="store_true",
        help="write numbered objects as well, and a table of their measurements",
    )
    parser.add_argument(
        "--table",
        choices=("csv", "parquet"),
        default="csv",
        help="how measurements are written (default: csv)",
    )


def _batch(given: argparse.Namespace) -> int:
    from napari_unet.batch.run import run_batch
    from napari_unet.cli.batch_bar import show_batch
    from napari_unet.control import stop_on_interrupt
    from napari_unet.events import BatchFinished

    order = _order(given)
    if given.dry_run:
        return _dry_run(given, order)
    with stop_on_interrupt() as stop:
        last = show_batch(run_batch(order, stop.is_set), face(given))
    assert isinstance(last, BatchFinished)
    words = f"{last.done} of {last.total} images are done"
    words += f", {last.failed} failed" if last.failed else ""
    words += f", {last.left} are left: the same command goes on" if last.left else ""
    say(given, f"{words}. {' and '.join(last.reports)} say more.")
    if last.failed:
        complain(f"{last.failed} of {last.total} images failed: see {last.reports[0]}.")
    return 1 if last.failed or last.left else 0


def _order(given: argparse.Namespace) -> Order:
    from napari_unet.batch.order import Order

    return Order(
        given.model,
        given.input,
        given.out,
        PredictionConfig.from_dict(flags.chosen(given, PredictionConfig)),
        OutputConfig.from_dict(flags.chosen(given, OutputConfig)),
        given.probabilities,
        given.objects,
        given.table,
        given.truth,
        given.axes,
        given.retry_failed,
        given.overwrite,
        ClusterConfig.from_dict(flags.chosen(given, ClusterConfig)),
    )


def _dry_run(given: argparse.Namespace, order: Order) -> int:
    """List what would be done; 1 if an image cannot be."""
    from napari_unet.batch.outlook import Total, look_ahead

    total = Total()
    for each in look_ahead(order):
        total = total.plus(each)
        _tell(given, each)
    _tell(given, total)
    return 1 if total.failing else 0


def _tell(given: argparse.Namespace, outlook: Outlook | Total) -> None:
    if given.json:
        write(json.dumps(outlook.to_dict()))
    else:
        say(given, outlook.line())
