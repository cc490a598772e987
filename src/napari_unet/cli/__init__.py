"""The command ``napari-unet``: train, predict, evaluate, networks and so on.

Exit code 0 when all went well, 1 when something failed, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING

from napari_unet.cli import flags
from napari_unet.cli.answers import complain
from napari_unet.cli.batch import add_batch
from napari_unet.cli.demo import add_demo
from napari_unet.cli.describe import add_info, add_networks
from napari_unet.cli.evaluate import add_curves, add_evaluate
from napari_unet.cli.measure import add_measure
from napari_unet.cli.objects import add_objects
from napari_unet.cli.predict import add_predict
from napari_unet.cli.train import add_preview, add_train
from napari_unet.cli.unsure import add_unsure
from napari_unet.errors import ConfigError, UNetError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if given.debug else logging.ERROR)
    try:
        code: int = given.command(given)
        return code
    except UNetError as error:
        if given.debug:
            raise
        complain(str(error))
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        complain("Interrupted.")
        return 1
    except BrokenPipeError:
        # Whoever read our output has left; say nothing more into the closed pipe.
        sys.stdout = None
        return 1
    except Exception as error:
        if given.debug:
            raise
        complain(f"{type(error).__name__}: {error} (--debug shows where).")
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="napari-unet", description="U-Net segmentation of microscopy stacks."
    )
    parser.add_argument("--version", action=flags.Version)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_train(commands)
    add_preview(commands)
    add_predict(commands)
    add_unsure(commands)
    add_batch(commands)
    add_evaluate(commands)
    add_curves(commands)
    add_objects(commands)
    add_measure(commands)
    add_info(commands)
    add_networks(commands)
    add_demo(commands)
    return parser
