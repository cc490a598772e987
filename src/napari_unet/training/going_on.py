"""The options with which a run that has ended is gone on with, or started from."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_unet.config import TrainingConfig, seconds
from napari_unet.model import read_info

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.training.run import RunFolder

_ITS_OWN = {
    "budget",
    "steps",
    "epochs",
    "steps_per_epoch",
    "init",
    "pretrained",
    "freeze",
}
"""What a run that starts from another one does not take over from it."""


def continued_config(given: dict[str, Any], earlier: Path) -> TrainingConfig:
    """Complete the options of a new run that starts from the model of an earlier one.

    Parameters
    ----------
    given : dict
        Options that are to be others; the network stays what it is if none of its own
        is among them.
    earlier : Path
        A run folder or a model file. What it had been told is taken over, but for how
        long to train and where its own weights had come from.

    Raises
    ------
    ModelError
        If there is no model.
    ConfigError
        If an option is unknown or out of range.
    """
    told = read_info(earlier).get("history", {}).get("options", {})
    names = {each.name for each in fields(TrainingConfig)} - _ITS_OWN
    kept = {name: told[name] for name in names & told.keys()}
    return TrainingConfig.from_dict({**kept, **given, "init": str(earlier)})


def on_top(given: dict[str, Any], run: RunFolder) -> dict[str, Any]:
    """Let a time, steps or epochs come on top of what a run has used up.

    Those of a run that was stopped or killed before stay totals.
    """
    log = run.log()
    if not log or log[-1].get("reason") not in ("budget", "steps", "no progress"):
        return given
    progress, told = run.progress(), run.config()["options"]
    if given.get("steps") is not None:
        return {**given, "steps": progress.step + given["steps"]}
    if given.get("epochs") is not None:
        return {**given, "epochs": (told.get("epochs") or 0) + given["epochs"]}
    more = seconds(given.get("budget") or told["budget"])
    return {**given, "budget": f"{progress.elapsed + more:.0f}s"}
