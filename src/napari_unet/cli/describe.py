"""The commands ``info`` and ``networks``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli import flags, inputs
from napari_unet.cli.answers import show_facts, write
from napari_unet.config import PredictionConfig

if TYPE_CHECKING:
    import argparse


def add_info(commands: Any) -> None:
    """Add the command ``info``."""
    parser = flags.command(
        commands, "info", _info, "describe an image, a model or a run"
    )
    parser.add_argument("file", type=Path, help=f"image, or {flags.MODEL}")
    parser.add_argument(
        "image", type=Path, nargs="?", help="how a model would predict it"
    )
    parser.add_argument(
        "--shape",
        type=flags.shape,
        metavar="N,N,N",
        help="how a model would predict an image so large, such as 30,512,512",
    )
    flags.add_image_flags(parser)
    flags.add_output_flags(parser)
    flags.add_options(parser, PredictionConfig)
    parser.usage = "%(prog)s FILE [IMAGE | --shape N,N,N] [options]"


def _info(given: argparse.Namespace) -> int:
    facts = _facts(given.file, given)
    if given.image or given.shape:
        facts["prediction"] = _plan(given)
    show_facts(given, facts)
    return 0


def _plan(given: argparse.Namespace) -> dict[str, Any]:
    from napari_unet.prediction.planning import plan

    options = flags.chosen(given, PredictionConfig)
    if given.shape:
        return plan(given.file, given.shape, axes=given.axes, **options).to_dict()
    image = inputs.open_one(given.image, given, axes=given.axes)
    return plan(given.file, image, **options).to_dict()


def _facts(path: Path, given: argparse.Namespace) -> dict[str, Any]:
    from napari_unet.model import MODEL_FILE, read_info

    is_run = (path / "config.json").exists() or (path / MODEL_FILE).exists()
    if is_run or path.suffix == ".safetensors":
        return read_info(path)
    stack = inputs.open_one(path, given, axes=given.axes)
    return {
        "name": stack.name,
        "axes": stack.axes,
        "shape": list(stack.shape),
        "dtype": str(stack.dtype),
        "pixel_size": dict(stack.pixel_size),
        "unit": stack.unit,
        "channels": list(stack.channel_names) or stack.n_channels,
        "sections": stack.n_sections,
        "remarks": list(stack.remarks),
    }


def add_networks(commands: Any) -> None:
    """Add the command ``networks``."""
    parser = flags.command(commands, "networks", _networks, "list the networks")
    for name, default in (("channels", 1), ("classes", 2)):
        parser.add_argument(
            f"--{name}",
            type=flags.count,
            default=default,
            help=f"count parameters for so many {name} (default: {default})",
        )
    parser.add_argument(
        "--encoders",
        action="store_true",
        help="list the names of the networks with a pretrained encoder instead",
    )
    flags.add_output_flags(parser)


def _networks(given: argparse.Namespace) -> int:
    from napari_unet.cli.console import show_networks
    from napari_unet.networks import list_networks
    from napari_unet.networks.encoders import encoder_networks

    if given.encoders:
        for name in encoder_networks():
            write(json.dumps({"name": name}) if given.json else name)
        return 0
    found = list_networks(given.channels, given.classes)
    if given.json:
        for each in found:
            write(json.dumps(asdict(each)))
    elif not given.quiet:
        show_networks(found)
    return 0
