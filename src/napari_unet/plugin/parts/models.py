"""Choosing a model, and saying what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from napari_unet.config import TrainingConfig
from napari_unet.errors import ConfigError, UNetError
from napari_unet.model import MODEL_FILE, read_info
from napari_unet.plugin import runs
from napari_unet.plugin.parts.fields import button
from napari_unet.plugin.parts.model_list import ModelBox
from napari_unet.prediction.objects import roles

if TYPE_CHECKING:
    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_unet.plugin.session import Session

_ITS_OWN = {"preset", "steps", "epochs", "steps_per_epoch", "init", "pretrained"}
_ITS_OWN |= {"freeze", "validation"}


class ModelChoice(QWidget):
    """The models of the session and of the user's runs, and any other by its file.

    A model file or a run folder can be dropped on it.

    Parameters
    ----------
    nothing : str
        What it means to choose none, as the first entry; empty where there must be one.
    session : Session, optional
        Its models are listed wherever they lie.
    """

    changed = Signal()

    def __init__(self, nothing: str = "", session: Session | None = None) -> None:
        super().__init__()
        self._nothing = nothing
        self._session = session
        self.box = ModelBox()
        browse = button("…", "Choose a model file (model.safetensors in a run folder).")
        browse.setFixedWidth(32)
        browse.clicked.connect(self._browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(browse)
        self.setAcceptDrops(True)
        self.box.currentIndexChanged.connect(self._on_index)
        self.refresh()

    def path(self) -> Path | None:
        """Return the chosen run folder or model file, or None."""
        return self.box.currentData()

    def refresh(self, newest: Path | None = None) -> None:
        """List the models anew and choose `newest`, or else the first entry."""
        self.box.clear()
        if self._nothing:
            self.box.addItem(self._nothing, None)
        listed = runs.trained_runs()
        here = self._session.models if self._session is not None else []
        for path in [each for each in here if each not in listed] + listed:
            self._add(path, self.box.count())
        if newest is not None:
            self.choose(newest)
        elif self.box.count():
            self.box.setCurrentIndex(0)

    def choose(self, path: Path) -> None:
        """Choose a model, and list it if it is not listed yet."""
        path = run_or_file(path)
        if self.box.row_of(path) < 0:
            self._add(path, int(bool(self._nothing)))
        self.box.setCurrentIndex(self.box.row_of(path))

    def value(self) -> str | None:
        """Return the path as an option takes it."""
        path = self.path()
        return None if path is None else str(path)

    def setValue(self, value: str | None) -> None:
        """Choose what `value` returned."""
        self.refresh(None if value is None else Path(value))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take what may be a model; the viewer gets anything else."""
        event.setAccepted(_dropped(event) is not None)

    def dropEvent(self, event: QDropEvent) -> None:
        """Choose the model."""
        if (path := _dropped(event)) is not None:
            self.choose(path)

    def _add(self, path: Path, place: int) -> None:
        self.box.insertItem(place, runs.name_of(path), path)

    def _on_index(self) -> None:
        path = self.path()
        self.box.setToolTip("" if path is None else f"<p>{path}</p>")
        self.changed.emit()

    def _browse(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Model", str(runs.runs_folder()), "U-Net model (*.safetensors)"
        )
        if chosen:
            self.choose(Path(chosen))


def run_or_file(path: Path) -> Path:
    """Return the run folder of a run's model, and of any other its file."""
    return path.parent if path.name == MODEL_FILE else path


def _dropped(event: QDropEvent) -> Path | None:
    """Return the model file or run folder that is dropped, if it is one."""
    files = [Path(url.toLocalFile()) for url in event.mimeData().urls()]
    if len(files) != 1:
        return None
    (path,) = files
    is_run = path.is_dir() and (path / MODEL_FILE).is_file()
    return path if is_run or path.suffix == ".safetensors" else None


def told_by(path: Path) -> dict[str, Any]:
    """Return the options of a model's training that one from it takes over.

    How long to train, where the weights come from, and what of other annotations is
    held out, is said anew.
    """
    try:
        told = read_info(path).get("history", {}).get("options", {})
        TrainingConfig.from_dict(told)
    except (UNetError, TypeError):
        return {}  # of another version, or gone: the worker will say what is wrong
    return {name: value for name, value in told.items() if name not in _ITS_OWN}


def has_objects(info: dict[str, Any]) -> bool:
    """Tell from `read_info` whether objects can be found in what a model predicts."""
    names = (info["classes"] or {}).get("names", ())
    try:
        roles(len(names) or 1, names)
    except ConfigError:
        return False
    return True


def describe(info: dict[str, Any]) -> str:
    """Say in a line or two what a model expects and gives, from `read_info`."""
    names = (info["classes"] or {}).get("names", [])
    channels = info["network"]["channels"]
    parts = [
        f"{len(names)} classes ({', '.join(names)})" if names else "predicts values",
        "1 channel" if channels == 1 else f"{channels} channels",
    ]
    size = info.get("pixel_size") or {}
    if "X" in size:
        parts.append(
            f"pixels of {size.get('Y', size['X']):g} × {size['X']:g} "
            f"{info.get('unit') or ''}".strip()
        )
    if (score := info.get("history", {}).get("score")) is not None:
        parts.append(f"validation score {score:.3f}")
    return " · ".join(parts)
