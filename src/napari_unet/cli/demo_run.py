"""The whole way on one stack: train, predict what was not seen, score, show."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.cli.console import show
from napari_unet.config import TrainingConfig
from napari_unet.control import stop_on_interrupt
from napari_unet.data import Stack, check_pair, open_stack, synthetic_em, write_stack
from napari_unet.errors import ConfigError, StackFormatError, UNetError
from napari_unet.evaluation import (
    Evaluation,
    comparison_picture,
    curves_picture,
    evaluate,
)
from napari_unet.events import Event, PredictionFinished, TrainingFinished
from napari_unet.files import write_text
from napari_unet.model import Model
from napari_unet.prediction import predict_to_files
from napari_unet.training import train_events
from napari_unet.training.run import RunFolder

if TYPE_CHECKING:
    from napari_unet.cli.console import Face

NAME = "unseen"
"""What the sections that the model has not seen are called."""

SHARE_UNSEEN = 0.25
SYNTHETIC_SECTIONS = 24


def run_demo(
    out: Path, data: Path | None, budget: str, face: Face, *, window: bool
) -> Evaluation:
    """Train on the first part of a stack, and predict and score the rest.

    Parameters
    ----------
    out : Path
        Folder for everything; a former demo there is renamed, not lost.
    data : Path or None
        Folder with ``train-volume.tif`` and ``train-labels.tif``; None takes the
        synthetic EM stack.
    budget : str
        Time to train for.
    face : {"bar", "json", "quiet"}
    window : bool
        Whether to show the result in napari, or without a display to save a picture
        of its window.

    Returns
    -------
    Evaluation

    Raises
    ------
    UNetError
        If the data cannot be read, the training fails, or the demo is interrupted.
    """
    config = TrainingConfig(budget=budget)
    _check_own_folder(out, data)
    image, labels = _open(data)
    first_unseen = _first_unseen(image)
    _set_aside(out)
    with stop_on_interrupt() as stop:
        known, unseen = slice(0, first_unseen), slice(first_unseen, None)
        training = train_events(
            [(image.select(known), labels.select(known))],
            config,
            run=out / "run",
            should_stop=stop.is_set,
        )
        _check_finished(show(training, face, "Training"), face)
        seen_never = _keep(out / f"{NAME}.tif", image.select(unseen))
        truth = _keep(out / f"{NAME}.truth.tif", labels.select(unseen))
        prediction = predict_to_files(
            Model.load(out / "run"),
            seen_never,
            out,
            probabilities=True,
            should_stop=stop.is_set,
        )
        if not isinstance(show(prediction, face, "Predicting"), PredictionFinished):
            raise UNetError(f"Stopped. The model is kept in {out / 'run'}.")
    scores = evaluate(open_stack(out / f"{NAME}.prob.tif"), truth)
    _report(out, scores, seen_never, truth)
    if face == "bar":
        sys.stdout.write(scores.text())
        sys.stdout.write(
            f"Everything is in {out}{os.sep}; the picture is picture.png.\n"
        )
    if window:
        _show_window(out, face)
    return scores


def _open(data: Path | None) -> tuple[Stack, Stack]:
    if data is None:
        return synthetic_em(SYNTHETIC_SECTIONS)
    image = open_stack(data / "train-volume.tif")
    labels = open_stack(data / "train-labels.tif")
    check_pair(image, labels)
    return image, labels


def _first_unseen(image: Stack) -> int:
    if image.n_sections < 4:
        raise StackFormatError(
            f"{image.label} has {image.n_sections} section(s), but the demo needs at "
            "least 4, to train on some and score on others."
        )
    return image.n_sections - max(1, round(SHARE_UNSEEN * image.n_sections))


def _check_own_folder(out: Path, data: Path | None) -> None:
    """Refuse to move the folder that holds the data, or the one we stand in."""
    inside = [Path.cwd(), *([data.resolve()] if data else [])]
    if any(folder.is_relative_to(out.resolve()) for folder in inside):
        raise ConfigError(
            f"The demo needs a folder of its own, but {out} holds other things; give "
            "--out another name."
        )


def _set_aside(out: Path) -> None:
    """Rename a folder that is in the way: it may hold a model somebody wants."""
    if not out.exists() or not any(out.iterdir()):
        return
    number = 1
    while (other := out.with_name(f"{out.name}-{number}")).exists():
        number += 1
    out.rename(other)


def _check_finished(last: Event | None, face: Face) -> None:
    """Say how the training ended; raise unless the whole budget was used well."""
    assert isinstance(last, TrainingFinished)
    if last.reason in ("stopped", "not finite"):
        raise UNetError(last.message)
    _say(face, last.message)


def _keep(path: Path, stack: Stack) -> Stack:
    """Write a stack of sections, and open what was written."""
    channels = (stack.n_channels,) if stack.n_channels > 1 else ()
    write_stack(
        path,
        (plane for index in range(stack.n_sections) for plane in stack.section(index)),
        shape=(stack.n_sections, *channels, *stack.section_shape),
        axes="ZCYX" if channels else "ZYX",
        dtype=stack.dtype,
        pixel_size={a: s for a, s in stack.pixel_size.items() if a in "ZYX"},
        unit=stack.unit,
    )
    return open_stack(path)


def _report(out: Path, scores: Evaluation, image: Stack, truth: Stack) -> None:
    write_text(out / "scores.txt", scores.text())
    write_text(out / "scores.json", json.dumps(scores.to_dict(), indent=2) + "\n")
    log = RunFolder(out / "run").log()
    curves_picture(out / "curves.png", log, title="The training")
    comparison_picture(
        out / "picture.png",
        image.section(0)[0],
        truth.section(0)[0],
        open_stack(out / f"{NAME}.labels.tif").section(0)[0],
        title="The first section that the model has not seen",
        losses=_smooth(
            [(e["step"], e["loss"]) for e in log if e["event"] == "StepDone"]
        ),
        scores=[(e["step"], e["score"]) for e in log if e["event"] == "Validated"],
        score_name="mean IoU of the held-out part",
    )


def _smooth(losses: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Average the losses of ten steps at a time: single ones scatter too much."""
    groups = [losses[start : start + 10] for start in range(0, len(losses), 10)]
    return [(group[-1][0], float(np.mean([v for _, v in group]))) for group in groups]


def _show_window(out: Path, face: Face) -> None:
    """Open napari on the result, or save a picture of the window without a display."""
    if find_spec("napari") is None:
        _say(face, "napari is not installed, so there is no window to show.")
        return
    command = [sys.executable, "-m", "napari_unet.plugin.show"]
    for option, kind in {
        "image": "tif",
        "labels": "labels.tif",
        "truth": "truth.tif",
        "probabilities": "prob.tif",
    }.items():
        command += [f"--{option}", str(out / f"{NAME}.{kind}")]
    if _has_display():
        _say(face, "Opening napari; close its window to end.")
        if subprocess.run(command, check=False).returncode:
            _say(
                face, "The window could not be opened; the pictures are in the folder."
            )
    else:
        _draw_window(command, out / "window.png", face)


def _draw_window(command: list[str], screenshot: Path, face: Face) -> None:
    """Save a picture of the window that a command would open."""
    xvfb = shutil.which("xvfb-run")
    if xvfb is None:
        _say(face, "There is no display, and no Xvfb to draw the window on.")
        return
    screen = [xvfb, "-a", "-s", "-screen 0 1600x1000x24"]
    try:
        done = subprocess.run(
            [*screen, *command, "--screenshot", str(screenshot)],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        _say(face, "The napari window could not be drawn: it took over five minutes.")
        return
    if done.returncode or not screenshot.exists():
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        _say(face, f"The napari window could not be drawn ({reason}).")
    else:
        _say(face, f"The napari window is pictured in {screenshot}.")


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ))


def _say(face: Face, text: str) -> None:
    if face == "bar":
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
