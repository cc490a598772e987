"""The command ``predict``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_unet.cli import flags, inputs
from napari_unet.cli.answers import complain, face, say
from napari_unet.config import OutputConfig, PredictionConfig
from napari_unet.errors import ConfigError, UNetError


def add_predict(commands: Any) -> None:
    """Add the command ``predict``."""
    parser = flags.command(commands, "predict", _predict, "predict images with a model")
    parser.add_argument("model", type=Path, help=flags.MODEL)
    parser.add_argument("input", type=Path, nargs="+", help="images: files, or folders")
    parser.add_argument(
        "--as-stack",
        action=argparse.BooleanOptionalAction,
        help="take the files of a folder as the sections of one stack, or each alone "
        "(default: alone if the model was trained on several images)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for <stem>.labels.tif and so on (.prediction.tif of a model of "
        "regression, .prob.tif, .objects.tif, .uncertainty.tif), or with --format "
        "ome-zarr for <stem>.prediction.zarr; or the name of one .tif or .zarr",
    )
    parser.add_argument(
        "--region",
        help="only this part, such as 0:10,0:512,100:612: a range for each axis of the "
        "labels, rows and columns last",
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="write probabilities as well"
    )
    parser.add_argument(
        "--objects", action="store_true", help="write numbered objects as well"
    )
    flags.add_overwrite(parser, "replace results that are in that folder")
    flags.add_image_flags(parser)
    flags.add_output_flags(parser)
    flags.add_options(parser, OutputConfig)
    flags.add_options(parser, PredictionConfig)
    parser.usage = "%(prog)s MODEL INPUT [INPUT ...] --out OUT [options]"


def _predict(given: argparse.Namespace) -> int:
    from napari_unet.control import stop_on_interrupt
    from napari_unet.model import Model
    from napari_unet.prediction.results import find_store

    config = PredictionConfig.from_dict(flags.chosen(given, PredictionConfig))
    model = Model.load(given.model)
    given.input = inputs.each_file(given, model)
    files = OutputConfig.from_dict(flags.chosen(given, OutputConfig))
    _refuse_same_output(given, files)
    failed = 0
    with stop_on_interrupt() as stop:
        for path in given.input:
            try:
                _predict_one(given, model, config, files, path, stop.is_set)
            except ConfigError:
                raise
            except UNetError as error:
                if given.debug:
                    raise
                complain(str(error))
                failed += 1
            if stop.is_set():
                resumes = find_store(path.name, given.out, files) is not None
                more = " The same command goes on with it." if resumes else ""
                complain(f"Stopped at {path}; what was finished is kept.{more}")
                return 1
    return 1 if failed else 0


def _predict_one(
    given: argparse.Namespace,
    model: Any,
    config: PredictionConfig,
    files: OutputConfig,
    path: Path,
    should_stop: Any,
) -> None:
    from napari_unet.cli.console import show
    from napari_unet.events import PredictionFinished
    from napari_unet.prediction import predict_to_files

    events = predict_to_files(
        model,
        inputs.open_one(path, given, axes=given.axes),
        given.out,
        config,
        files=files,
        probabilities=given.probabilities,
        objects=given.objects,
        region=given.region,
        overwrite=given.overwrite,
        should_stop=should_stop,
    )
    title, many = path.name, len(given.input)
    if many > 1:
        title += f" ({given.input.index(path) + 1} of {many})"
    last = show(events, face(given), title, brief=many > 1)
    if isinstance(last, PredictionFinished):
        say(given, "\n".join(last.files))


def _refuse_same_output(given: argparse.Namespace, files: OutputConfig) -> None:
    from napari_unet.data.read.tiff import name_in_store
    from napari_unet.prediction.results import find_store, find_tiffs

    seen: dict[Path, Path] = {}
    for path in given.input:
        name = name_in_store(path)
        out = find_store(name, given.out, files)
        out = out or find_tiffs(name, given.out, ["labels"])["labels"]
        if out in seen:
            raise ConfigError(
                f"{seen[out]} and {path} would both be written to {out}: predict them "
                "into different folders."
            )
        seen[out] = path
