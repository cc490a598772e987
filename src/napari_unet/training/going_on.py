"""The options of a training: as given, and as a run had them that is gone on with."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_unet.config import TrainingConfig, seconds
from napari_unet.errors import ConfigError
from napari_unet.model import read_info
from napari_unet.presets import PRESETS
from napari_unet.training.run import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

_HOW_LONG = ("budget", "steps", "epochs")
_MAY_CHANGE = {
    *_HOW_LONG,
    "steps_per_epoch",
    "patience",
    "checkpoint_every",
    "device",
    "precision",
    "class_names",
    "preset",  # what it stands for is compared
}

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


def check_budget(given: dict[str, Any]) -> None:
    """Raise `ConfigError` if more than one of the options given says how long."""
    several = [name for name in _HOW_LONG if given.get(name) is not None]
    if len(several) > 1:
        raise ConfigError(
            f"Say how long to train in one way: {' and '.join(several)} were given."
        )


def training_config(
    given: dict[str, Any], resumed: Path | None, *, more: bool = False
) -> TrainingConfig:
    """Complete the options given: by those of the resumed run, or by the defaults.

    Parameters
    ----------
    given : dict
    resumed : Path, optional
        The folder of the run to be gone on with.
    more : bool
        Whether the time, steps or epochs given come on top once those of the run are
        used up; else they are totals.

    Raises
    ------
    ConfigError
        If an option is unknown or out of range, or is another one than the run to be
        resumed was started with.
    TrainingError
        If there is no run to resume.
    """
    if resumed is None:
        return TrainingConfig.from_dict(given)
    given = {**PRESETS.get(str(given.get("preset")), {}), **given}
    if more:
        given = on_top(given, RunFolder(resumed))
    asked = TrainingConfig.from_dict(given).to_dict()
    # What is left open now was filled in when the run was started.
    given = {
        name: asked[name]
        for name in given
        if name in _MAY_CHANGE or asked[name] not in (None, "auto")
    }
    recorded: dict[str, Any] = RunFolder(resumed).config()["options"]
    changed = [
        f"{name} was {recorded.get(name)!r}, not {value!r}"
        for name, value in given.items()
        if name not in _MAY_CHANGE and value != recorded.get(name)
    ]
    if changed:
        raise ConfigError(
            f"The run in {resumed} was started with other options: "
            f"{'; '.join(changed)}. Leave these out to resume it, or start a new run."
        )
    if given.keys() & _HOW_LONG:  # what is given now counts more than what was then
        recorded |= {"steps": None, "epochs": None, "steps_per_epoch": None}
    return TrainingConfig.from_dict({**recorded, **given})
