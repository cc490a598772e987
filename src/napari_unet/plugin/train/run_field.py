"""The folder that the next training goes to, and what is kept in it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from napari_unet.plugin import runs
from napari_unet.plugin.parts.fields import FolderField

if TYPE_CHECKING:
    from pathlib import Path


class RunField(FolderField):
    """Suggests a new folder for each training; one that holds a run is resumed.

    Attributes
    ----------
    last : Path or None
        The folder of the last training, or of the run that was chosen last.
    kept : bool
        Whether it is to be resumed, after the worker died or failed.
    """

    def __init__(self) -> None:
        super().__init__("Folder for this run: its model, log and checkpoints.")
        self.line.setPlaceholderText("a new folder")
        self.last: Path | None = None
        self.kept = False
        self._resuming = False

    def stored(self) -> dict[str, Any] | None:
        """Return the options of the run in the folder that is named, if there is one.

        An empty line names none, not the home folder.
        """
        named = self.line.text().strip()
        return runs.stored_options(self.path()) if named else None

    def suggest_new(self, name: str) -> None:
        """Suggest a folder for an image, unless the user named one or a run is kept."""
        if not (self.edited or self.kept):
            self.suggest(runs.new_run(name, datetime.now().astimezone()))

    def take_empty(self) -> None:
        """Understand an empty line as the wish for a new folder, when it is needed."""
        if not self.line.text().strip():
            self.edited = self.kept = False

    def begin(self, run: Path, *, resume: bool) -> None:
        """Note the training that begins."""
        self.last, self._resuming, self.kept = run, resume, False

    def after_failure(self) -> str:
        """Say what is left of a training that failed."""
        if self._resuming:
            self.kept = True
            return " Empty the field Run folder to start a new run."
        if self.last is None or not runs.can_resume(self.last):
            return ""
        self.kept = True
        return (
            f" The run is kept in {self.last}: press Resume to go on with it, or empty "
            "the field Run folder to start a new one."
        )

    def after_death(self) -> str:
        """Say what is left of a training whose worker died."""
        if self.last is None or runs.stored_options(self.last) is None:
            return ""
        self.kept = True
        return (
            f" The run is kept in {self.last}: press Resume to go on with it as it is. "
            "Other options, such as a smaller batch, need a new run: empty the field "
            "Run folder to start one."
        )
