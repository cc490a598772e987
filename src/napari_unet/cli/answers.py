"""What the commands print, by how they were asked to."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from napari_unet.cli.console import Face


def face(given: argparse.Namespace) -> Face:
    """Return how the events are to be shown."""
    return "json" if given.json else "quiet" if given.quiet else "bar"


def show_facts(given: argparse.Namespace, facts: dict[str, Any]) -> None:
    """Print facts as a table, or as JSON."""
    from napari_unet.cli import console

    if given.json:
        write(json.dumps(facts))
    elif not given.quiet:
        console.show_facts(facts)


def say(given: argparse.Namespace, text: str) -> None:
    """Print what came out, unless silence or JSON was asked for."""
    if not (given.quiet or given.json):
        write(text)


def write(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """Print a line that says what went wrong."""
    sys.stderr.write(f"napari-unet: {text}\n")
