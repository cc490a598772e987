"""Where run folders go, which of them hold a model, and what a list says of each."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_unet.errors import ModelError, OutputExistsError
from napari_unet.model import MODEL_FILE, THUMBNAIL_FILE, find_model, read_info
from napari_unet.plugin.settings import preferences

FOLDER = "napari-unet runs"
_CONFIG = "config.json"
_LAST = "last.safetensors"
_FILES = (_CONFIG, "log.jsonl", _LAST, MODEL_FILE)
_ALWAYS_SENT = {
    "budget",
    "steps",
    "epochs",
    "steps_per_epoch",
}  # together they say how long; both may change
_DATED = re.compile(r"^\d{4}-\d\d-\d\d \d\d-\d\d ")  # as `new_run` names a folder
_PRECISION = 5e-9  # of the number fields, which show 8 decimals


def runs_folder() -> Path:
    """Return the folder that new runs go to, by default in the user's documents.

    It is not created.
    """
    if preferred := preferences().get("training", "runs").strip():
        return Path(preferred).expanduser()
    documents = Path.home() / "Documents"
    return (documents if documents.is_dir() else Path.home()) / FOLDER


def new_run(image: str, now: datetime, parent: Path | None = None) -> Path:
    """Name a run folder that does not exist yet after the time and the image."""
    words = re.sub(r"[^\w.-]+", " ", image).strip(" .")[:40].strip(" .")
    name = f"{now:%Y-%m-%d %H-%M} {words}".strip()
    parent = parent or runs_folder()
    path, count = parent / name, 1
    while path.exists():
        count += 1
        path = parent / f"{name} {count}"
    return path


def stored_options(run: Path) -> dict[str, Any] | None:
    """Return the options of the run that a folder holds; None if it holds none."""
    try:
        stored = json.loads((run / _CONFIG).read_text("utf-8"))
        options: dict[str, Any] = stored["options"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return options if isinstance(options, dict) else None


def can_resume(run: Path) -> bool:
    """Tell whether a folder holds a run with a state to go on from."""
    return (run / _LAST).exists() and stored_options(run) is not None


def trained_on(run: Path) -> list[tuple[Path, Path]]:
    """Return the image and the labels of each pair of files a run has learnt from.

    Those that are no longer there, or were layers, are left out.
    """
    try:
        data = json.loads((run / _CONFIG).read_text("utf-8"))["data"]["pairs"]
        named = [(each["image"]["source"], each["labels"]["source"]) for each in data]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    pairs = [(Path(image), Path(labels)) for image, labels in named if image and labels]
    return [pair for pair in pairs if all(each.exists() for each in pair)]


def check_free(run: Path) -> None:
    """Raise `OutputExistsError` if a folder holds a run or a model already."""
    if any((run / name).exists() for name in _FILES):
        raise OutputExistsError(
            f"{run} holds another run or model, which cannot be resumed. Choose "
            "another folder, or empty the field Run folder for a new one."
        )


def changes(entered: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """Return what to resume a run with: its time, and options that were changed.

    Parameters
    ----------
    entered : dict
        Options as they stand in the fields, by name.
    stored : dict
        Those of the run.
    """
    return {
        name: value
        for name, value in entered.items()
        if name in _ALWAYS_SENT or not _same(value, stored.get(name))
    }


def _same(entered: Any, stored: Any) -> bool:
    if isinstance(entered, float) and isinstance(stored, int | float):
        return math.isclose(entered, stored, rel_tol=0, abs_tol=_PRECISION)
    return bool(entered == stored)


def trained_runs(parent: Path | None = None) -> list[Path]:
    """List the run folders that hold a model, the newest first."""
    parent = parent or runs_folder()
    models = list(parent.glob(f"*/{MODEL_FILE}"))
    return [path.parent for path in sorted(models, key=changed, reverse=True)]


@dataclass(frozen=True)
class Listed:
    """What a list of models says of one.

    Attributes
    ----------
    title : str
        The run's name without its date, and the image if that names another one.
    facts : str
        When it was trained and how good it is; or what is wrong with it.
    thumbnail : Path or None
        A picture of what it predicts.
    """

    title: str
    facts: str
    thumbnail: Path | None


def look_up(path: Path, now: datetime) -> Listed:
    """Read what a list says of a run folder or model file; nothing is raised.

    Parameters
    ----------
    path : Path
    now : datetime
        With a time zone.
    """
    title = _DATED.sub("", name_of(path))
    if (data := _data_of(path)) and data not in title:
        title += f" · {data}"
    try:
        file = find_model(path)
        history = read_info(file).get("history") or {}
        facts = [_when(file, now)]
        if isinstance(score := history.get("score"), int | float):
            facts.append(f"score {score:.3f}")
    except (ModelError, OSError):
        facts = ["⚠ The model is missing or damaged."]
    picture = path / THUMBNAIL_FILE
    return Listed(title, " · ".join(facts), picture if picture.is_file() else None)


def name_of(path: Path) -> str:
    """Return what a run folder or model file is called."""
    return path.stem if path.suffix == ".safetensors" else path.name


def _data_of(run: Path) -> str:
    """Return the name of the image that a run was trained on; empty if not known."""
    try:
        stored = json.loads((run / _CONFIG).read_text("utf-8"))
        images = [pair["image"]["name"] for pair in stored["data"]["pairs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if len(images) > 1:
        return f"{len(images)} images"
    return str(images[0] or "") if images else ""


def _when(file: Path, now: datetime) -> str:
    then = datetime.fromtimestamp(changed(file), now.tzinfo)
    today = then.date() == now.date()
    return f"today {then:%H:%M}" if today else f"{then:%Y-%m-%d %H:%M}"


def changed(path: Path) -> float:
    """Return when a file was written last, in seconds; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:  # it was removed since it was listed
        return 0.0
