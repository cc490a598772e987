"""Where run folders go, and which of them hold a model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.model import MODEL_FILE

if TYPE_CHECKING:
    from datetime import datetime

FOLDER = "napari-unet runs"
_CONFIG = "config.json"


def runs_folder() -> Path:
    """Return the folder that new runs go to, in the user's documents; not created."""
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
    return options


def trained_runs(parent: Path | None = None) -> list[Path]:
    """List the run folders that hold a model, the newest first."""
    parent = parent or runs_folder()
    models = parent.glob(f"*/{MODEL_FILE}")
    newest_first = sorted(models, key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent for path in newest_first]
