"""The command ``napari-unet``: train, predict, evaluate, networks and so on.

Exit code 0 when all went well, 1 when something failed, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet import flags, inputs
from napari_unet.config import OutputConfig, PredictionConfig, TrainingConfig
from napari_unet.errors import ConfigError, UNetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.console import Face
    from napari_unet.data import Stack
    from napari_unet.evaluation.layout import Report

MODEL = "run folder or .safetensors file"


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
        _complain(str(error))
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        _complain("Interrupted.")
        return 1
    except BrokenPipeError:
        # Whoever read our output has left; say nothing more into the closed pipe.
        sys.stdout = None
        return 1
    except Exception as error:
        if given.debug:
            raise
        _complain(f"{type(error).__name__}: {error} (--debug shows where).")
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="napari-unet", description="U-Net segmentation of microscopy stacks."
    )
    parser.add_argument("--version", action=flags.Version)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_preview(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_curves(commands)
    _add_info(commands)
    _add_networks(commands)
    _add_demo(commands)
    return parser


# -- train ---------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    parser = flags.command(
        commands, "train", _train, "train a network on an annotated image"
    )
    parser.add_argument(
        "image", type=Path, help="image: file, or folder or pattern of several images"
    )
    parser.add_argument(
        "labels", type=Path, help="its mask: file, or folder; files are paired by name"
    )
    parser.add_argument(
        "--val-image", type=Path, help="other images to judge by; nothing is held out"
    )
    parser.add_argument("--val-labels", type=Path, help="their masks")
    flags.add_as_stack(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be trained on which pairs, do not train",
    )
    parser.add_argument(
        "--run", type=Path, help="folder for the run; needed unless --dry-run is given"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in that folder"
    )
    flags.add_overwrite(parser, "replace a run that is in that folder")
    flags.add_image_flags(parser)
    flags.add_output_flags(parser)
    flags.add_options(parser, TrainingConfig)
    parser.usage = "%(prog)s IMAGE LABELS --run RUN [options]"


def _train(given: argparse.Namespace) -> int:
    from napari_unet.console import show, stop_on_interrupt
    from napari_unet.events import TrainingFinished

    if given.run is None and not given.dry_run:
        raise ConfigError("Say by --run in which folder to keep the training.")
    chosen = flags.chosen(given, TrainingConfig)
    TrainingConfig.from_dict(chosen)  # says what is wrong before torch is loaded
    pairs = inputs.open_pairs(given, given.image, given.labels)
    held_out = inputs.open_held_out(given)

    from napari_unet.training import train_events
    from napari_unet.training.train import check_budget, training_config

    check_budget(chosen)
    config = training_config(chosen, given.run if given.resume else None)
    if given.dry_run:
        return _dry_run(given, pairs, config, held_out)
    with stop_on_interrupt() as stop:
        events = train_events(
            pairs,
            config,
            run=given.run,
            held_out=held_out,
            resume=given.resume,
            overwrite=given.overwrite,
            should_stop=stop.is_set,
        )
        last = show(events, _face(given), "Training")
    assert isinstance(last, TrainingFinished)
    if last.reason == "not finite":
        _complain(last.message)
        return 1
    _say(given, last.message)
    return 0


def _dry_run(
    given: argparse.Namespace,
    pairs: list[tuple[Stack, Stack]],
    config: TrainingConfig,
    held_out: list[tuple[Stack, Stack]],
) -> int:
    """Say what would be trained on what."""
    from napari_unet.training.dataset import Dataset
    from napari_unet.training.record import describe_plan

    _show_facts(given, describe_plan(Dataset(pairs, config, held_out)))
    return 0


def _add_preview(commands: Any) -> None:
    text = "write training patches, varied as a training varies them, to look at"
    parser = flags.command(commands, "preview", _preview, text)
    parser.add_argument("image", type=Path, help="image: file, or folder of sections")
    parser.add_argument("labels", type=Path, help="its mask, likewise")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for image.tif and labels.tif"
    )
    parser.add_argument("--patches", type=int, default=8, help="how many (default: 8)")
    flags.add_overwrite(parser, "replace a preview that is in that folder")
    flags.add_image_flags(parser)
    flags.add_output_flags(parser)
    flags.add_options(parser, TrainingConfig)
    parser.usage = "%(prog)s IMAGE LABELS --out OUT [options]"


def _preview(given: argparse.Namespace) -> int:
    from napari_unet.data import write_stack

    image, labels = inputs.open_pair(given, given.image, given.labels)

    from napari_unet.training import preview_patches

    chosen = flags.chosen(given, TrainingConfig)
    grey, mask = preview_patches(image, labels, given.patches, **chosen)
    of_image, of_mask = ("ZCYX", "ZYX") if mask.ndim == 3 else ("TCZYX", "TZYX")
    for name, patches, axes in (("image", grey, of_image), ("labels", mask, of_mask)):
        path = write_stack(
            given.out / f"{name}.tif",
            patches.reshape(-1, *patches.shape[-2:]),
            shape=patches.shape,
            axes=axes,
            dtype=patches.dtype,
            overwrite=given.overwrite,
        )
        _say(given, str(path))
    return 0


# -- predict -------------------------------------------------------------------------


def _add_predict(commands: Any) -> None:
    parser = flags.command(commands, "predict", _predict, "predict images with a model")
    parser.add_argument("model", type=Path, help=MODEL)
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
    from napari_unet.console import stop_on_interrupt
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
                _complain(str(error))
                failed += 1
            if stop.is_set():
                resumes = find_store(path.name, given.out, files) is not None
                more = " The same command goes on with it." if resumes else ""
                _complain(f"Stopped at {path}; what was finished is kept.{more}")
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
    from napari_unet.console import show
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
    last = show(events, _face(given), title, brief=many > 1)
    if isinstance(last, PredictionFinished):
        _say(given, "\n".join(last.files))


def _refuse_same_output(given: argparse.Namespace, files: OutputConfig) -> None:
    from napari_unet.data.tiff import name_in_store
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


# -- evaluate, info, networks, demo --------------------------------------------------


def _add_evaluate(commands: Any) -> None:
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
        _write(json.dumps(scores.to_dict()))
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


def _add_curves(commands: Any) -> None:
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
    _say(given, str(out))
    return 0


def _add_info(commands: Any) -> None:
    parser = flags.command(
        commands, "info", _info, "describe an image, a model or a run"
    )
    parser.add_argument("file", type=Path, help=f"image, or {MODEL}")
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
    _show_facts(given, facts)
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


def _add_networks(commands: Any) -> None:
    parser = flags.command(commands, "networks", _networks, "list the networks")
    for name, default in (("channels", 1), ("classes", 2)):
        parser.add_argument(
            f"--{name}",
            type=int,
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
    from napari_unet.console import show_networks
    from napari_unet.networks import list_networks
    from napari_unet.networks.encoders import encoder_networks

    if given.encoders:
        for name in encoder_networks():
            _write(json.dumps({"name": name}) if given.json else name)
        return 0
    found = list_networks(given.channels, given.classes)
    if given.json:
        for each in found:
            _write(json.dumps(asdict(each)))
    elif not given.quiet:
        show_networks(found)
    return 0


def _add_demo(commands: Any) -> None:
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
    from napari_unet.demo import run_demo

    run_demo(given.out, given.data, given.budget, _face(given), window=given.window)
    return 0


# -- what the commands share ---------------------------------------------------------


def _face(given: argparse.Namespace) -> Face:
    return "json" if given.json else "quiet" if given.quiet else "bar"


def _show_facts(given: argparse.Namespace, facts: dict[str, Any]) -> None:
    from napari_unet.console import show_facts

    if given.json:
        _write(json.dumps(facts))
    elif not given.quiet:
        show_facts(facts)


def _say(given: argparse.Namespace, text: str) -> None:
    """Print what came out, unless silence or JSON was asked for."""
    if not (given.quiet or given.json):
        _write(text)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"napari-unet: {text}\n")
