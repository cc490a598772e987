"""The commands ``train`` and ``preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli import flags, inputs
from napari_unet.cli.answers import complain, face, say, show_facts
from napari_unet.config import TrainingConfig
from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from napari_unet.data import Stack


def add_train(commands: Any) -> None:
    """Add the command ``train``."""
    parser = flags.command(
        commands, "train", _train, "train a network on an annotated image"
    )
    _add_data(parser)
    flags.add_as_stack(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be trained on which pairs, and how fast; do not train",
    )
    _add_run(parser)
    flags.add_overwrite(parser, "replace a run that is in that folder")
    flags.add_image_flags(parser)
    flags.add_output_flags(parser)
    flags.add_options(parser, TrainingConfig)
    parser.usage = "%(prog)s IMAGE LABELS --run RUN [options]"


def _add_data(parser: argparse.ArgumentParser) -> None:
    """Let the images and masks be named, and others to judge by."""
    parser.add_argument(
        "image", type=Path, help="image: file, or folder or pattern of several images"
    )
    parser.add_argument(
        "labels", type=Path, help="its mask: file, or folder; files are paired by name"
    )
    parser.add_argument(
        "--also",
        type=Path,
        nargs=2,
        action="append",
        metavar=("IMAGE", "LABELS"),
        help="another image and its mask; may be given several times",
    )
    parser.add_argument(
        "--val-image", type=Path, help="other images to judge by; nothing is held out"
    )
    parser.add_argument("--val-labels", type=Path, help="their masks")


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Let the folder of the run be named, and how it is gone on with."""
    parser.add_argument(
        "--run",
        "--run-folder",  # torchrun takes --run for a part of its own --run-path
        type=Path,
        help="folder for the run; needed unless --dry-run is given",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in that folder"
    )
    parser.add_argument(
        "--new-labels",
        action="store_true",
        help="resume with labels that have changed since",
    )


def _train(given: argparse.Namespace) -> int:
    from napari_unet.cli.console import show
    from napari_unet.control import stop_on_interrupt
    from napari_unet.events import TrainingFinished

    chosen = _chosen(given)
    pairs = inputs.open_pairs(given, given.image, given.labels)
    pairs += inputs.open_also(given)
    held_out = inputs.open_held_out(given)

    from napari_unet.training import train_events
    from napari_unet.training.going_on import check_budget, training_config
    from napari_unet.training.parallel import find_team

    check_budget(chosen)
    team = find_team()
    team.join()  # before what only one may fail at, for which others would wait
    resume = given.resume or team.was_at(given.run)
    earlier = given.run if resume and team.leads else None
    config = training_config(chosen, earlier)
    if given.dry_run:
        return _dry_run(given, pairs, config, held_out) if team.leads else 0
    with stop_on_interrupt(insist=not team.several) as stop:
        events = train_events(
            pairs,
            config,
            run=given.run,
            held_out=held_out,
            resume=resume,
            overwrite=given.overwrite,
            new_labels=given.new_labels,
            should_stop=stop.is_set,
            team=team,
        )
        last = show(events, face(given) if team.leads else "quiet", "Training")
    if not team.leads:
        return 0
    assert isinstance(last, TrainingFinished)
    if last.reason == "not finite":
        complain(last.message)
        return 1
    say(given, last.message)
    return 0


def _chosen(given: argparse.Namespace) -> dict[str, Any]:
    """Return the options given; what is wrong is said before torch is loaded."""
    if given.run is None and not given.dry_run:
        raise ConfigError("Say by --run in which folder to keep the training.")
    chosen = flags.chosen(given, TrainingConfig)
    TrainingConfig.from_dict(chosen)
    return chosen


def _dry_run(
    given: argparse.Namespace,
    pairs: list[tuple[Stack, Stack]],
    config: TrainingConfig,
    held_out: list[tuple[Stack, Stack]],
) -> int:
    """Say what would be trained on what, and how fast that is here."""
    from napari_unet.training.dataset import Dataset
    from napari_unet.training.probe import probe
    from napari_unet.training.record import describe_plan

    plan = describe_plan(Dataset(pairs, config, held_out))
    told = probe(pairs, config, held_out=held_out).facts()
    show_facts(given, {**told, **plan})
    return 0


def add_preview(commands: Any) -> None:
    """Add the command ``preview``."""
    text = "write training patches, varied as a training varies them, to look at"
    parser = flags.command(commands, "preview", _preview, text)
    parser.add_argument("image", type=Path, help="image: file, or folder of sections")
    parser.add_argument("labels", type=Path, help="its mask, likewise")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for image.tif and labels.tif"
    )
    parser.add_argument(
        "--patches", type=flags.count, default=8, help="how many (default: 8)"
    )
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
        say(given, str(path))
    return 0
