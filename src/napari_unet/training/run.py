"""The run folder: all the state of a training, on disk, whole at every moment."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.errors import OutputExistsError, TrainingError, UNetError
from napari_unet.files import replacing, write_text
from napari_unet.model import MODEL_FILE, THUMBNAIL_FILE

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from napari_unet.events import Event

_FILES = ("config.json", "log.jsonl", "last.safetensors", "last.json", MODEL_FILE)


@dataclass
class Progress:
    """Where a training stands.

    Attributes
    ----------
    step : int
        Steps done.
    elapsed : float
        Seconds spent.
    validations : int
        How many twentieths of the budget have been validated.
    validated : int
        Step of the last validation.
    best_step : int
        Step of the best model so far.
    best, smoothed : float or None
        Its smoothed score, and the current smoothed score.
    stale : int
        Validations since the best one.
    cuts : int
        How often two more of them had passed; the schedule plateau then halves the
        learning rate.
    """

    step: int = 0
    elapsed: float = 0.0
    validations: int = 0
    validated: int = -1
    best_step: int = 0
    best: float | None = None
    smoothed: float | None = None
    stale: int = 0
    cuts: int = 0


class RunFolder:
    """The files of one training.

    ``config.json`` holds what was asked for, ``log.jsonl`` one event a line,
    ``last.safetensors`` all that is needed to go on, ``last.json`` the same progress
    for people to read, ``model.safetensors`` the best model so far. In
    the end there is ``thumbnail.png``, a picture for lists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / MODEL_FILE
        self.last = path / "last.safetensors"
        self._config = path / "config.json"
        self._log = path / "log.jsonl"

    def create(self, config: dict[str, Any], *, overwrite: bool = False) -> None:
        """Start a new run.

        Raises
        ------
        OutputExistsError
            If the folder holds a run already and `overwrite` is false.
        UNetError
            If it cannot be made or written to.
        """
        if not overwrite:
            self.check_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in (*_FILES, THUMBNAIL_FILE):
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise UNetError(
                f"{self.path} cannot be the folder of a run ({error.strerror}). Choose "
                "another one, which you may write to."
            ) from error
        write_text(self._config, json.dumps(config, indent=2) + "\n")
        write_text(self._log, "")

    def check_free(self) -> None:
        """Raise `OutputExistsError` if the folder holds a run or a model already."""
        if any((self.path / name).exists() for name in _FILES):
            raise OutputExistsError(
                f"{self.path} holds a run already: resume it (resume, --resume), "
                "replace it (overwrite, --overwrite), or choose another folder."
            )

    def reopen(self, options: dict[str, Any]) -> None:
        """Note the options a run goes on with, and clear up after a kill."""
        for part in self.path.glob(".*.part"):  # of files that were being written
            part.unlink()
        config = self.config()
        if config["options"] != options:
            write_text(
                self._config, json.dumps({**config, "options": options}, indent=2)
            )

    def note_data(self, data: dict[str, Any], step: int) -> None:
        """Note that from a step on the run goes on with other annotations."""
        config = self.config()
        before = config["data"]
        history = [*before.get("history", []), {"step": step, "sha256": data["sha256"]}]
        config["data"] = {**data, "history": history}
        write_text(self._config, json.dumps(config, indent=2) + "\n")

    @property
    def launch(self) -> str | None:
        """What started the processes that began the run together, if any did."""
        found: str | None = None
        if self._config.exists():
            found = self.config().get("launch")
        return found

    def config(self) -> dict[str, Any]:
        """Return what `create` was given.

        Raises
        ------
        TrainingError
            If the folder holds no run, or a damaged one.
        """
        try:
            config: dict[str, Any] = json.loads(self._config.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise TrainingError(
                f"{self.path} holds no run: it has no config.json."
            ) from None
        except ValueError as error:
            raise TrainingError(f"{self._config} is damaged: {error}.") from error
        return config

    def append(self, event: Event) -> None:
        """Add an event to the log.

        Raises
        ------
        TrainingError
            If the disk is full, or the folder has vanished.
        """
        try:
            with open(self._log, "a", encoding="utf-8", opener=_open_existing) as file:
                file.write(event.to_json() + "\n")
        except OSError as error:
            raise self._lost(error) from error

    def check_there(self) -> None:
        """Raise `TrainingError` if the folder has vanished: nothing is put there."""
        if not self._log.exists():
            raise self._lost("it was removed")

    def _lost(self, why: object) -> TrainingError:
        return TrainingError(
            f"{self._log} could not be written ({why}). The training ended; make room "
            "and resume it, or start a new run in another folder."
        )

    def log(self) -> list[dict[str, Any]]:
        """Return the events logged so far; a line broken by a crash is left out."""
        if not self._log.exists():
            return []
        events = []
        for line in self._log.read_text("utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events

    def rewind_log(self, step: int) -> None:
        """Drop the events after `step`, which a resumed run will go through again."""
        kept = [event for event in self.log() if event.get("step", 0) <= step]
        write_text(self._log, "".join(json.dumps(event) + "\n" for event in kept))

    def save_last(self, progress: Progress, tensors: dict[str, torch.Tensor]) -> None:
        """Write the state to resume from; errors are those of `append`."""
        self.check_there()
        from safetensors.torch import save_file

        text = json.dumps(asdict(progress), indent=2)
        with replacing(self.last) as part:
            save_file(tensors, part, {"progress": text})
        write_text(self.path / "last.json", text + "\n")

    def progress(self) -> Progress:
        """Return where the run stood when `save_last` was called last."""
        last = self.load_last()
        return last[0] if last else Progress()

    def load_last(self) -> tuple[Progress, dict[str, torch.Tensor]] | None:
        """Return what `save_last` wrote last, or None if it never did.

        Raises
        ------
        TrainingError
            If it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        if not self.last.exists():
            return None
        try:
            with safe_open(self.last, framework="pt") as file:
                progress = Progress(**json.loads(file.metadata()["progress"]))
                return progress, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{self.last} is damaged: {error}.") from error


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    names = ("napari-unet-lab", "torch", "numpy", "scipy", "scikit-image", "tifffile")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def _open_existing(path: str, flags: int) -> int:
    """Open a file, but never one that is not there: its folder was removed."""
    return os.open(path, flags & ~os.O_CREAT)
