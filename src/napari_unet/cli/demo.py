"""The command ``demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_unet.cli import flags
from napari_unet.cli.answers import face


def add_demo(commands: Any) -> None:
    """Add the command ``demo``."""
    parser = flags.command(
        commands, "demo", _demo, "train, predict and score, and look at the result"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder (default: demo)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with train-volume.tif and train-labels.tif "
        "(default: a synthetic EM stack)",
    )
    parser.add_argument("--budget", default="2m", help="time to train (default: 2m)")
    parser.add_argument(
        "--window",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show the result in napari, or without a display its picture",
    )
    flags.add_output_flags(parser)


def _demo(given: argparse.Namespace) -> int:
    from napari_unet.cli.demo_run import run_demo

    run_demo(given.out, given.data, given.budget, face(given), window=given.window)
    return 0
