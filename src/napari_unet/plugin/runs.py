"""Where run folders go, and which of them hold a model."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.errors import OutputExistsError
from napari_unet.model import MODEL_FILE
from napari_unet.plugin.settings import preferences

if TYPE_CHECKING:
    from datetime import datetime

FOLDER = "napari-unet runs"
_CONFIG = "config.json"
_FILES = (_CONFIG, "log.jsonl", "last.safetensors", MODEL_FILE)
_ALWAYS_SENT = {
    "budget",
    "steps",
    "epochs",
    "steps_per_epoch",
}  # together they say how long; both may change
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
    models = parent.glob(f"*/{MODEL_FILE}")
    newest_first = sorted(models, key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent for path in newest_first]
