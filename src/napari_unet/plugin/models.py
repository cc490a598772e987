"""Choosing a model, and saying what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QWidget

from napari_unet.errors import ConfigError
from napari_unet.model import MODEL_FILE
from napari_unet.plugin import runs
from napari_unet.plugin.fields import button
from napari_unet.prediction.objects import roles


class ModelChoice(QWidget):
    """The models in the user's runs, the newest first, and any other by its file.

    Parameters
    ----------
    nothing : str
        What it means to choose none, as the first entry; empty where there must be one.
    """

    changed = Signal()

    def __init__(self, nothing: str = "") -> None:
        super().__init__()
        self._nothing = nothing
        self.box = QComboBox()
        self.box.setPlaceholderText("no model yet")
        self.box.setMinimumContentsLength(12)
        self.box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        browse = button("…", "Choose a model file (model.safetensors in a run folder).")
        browse.setFixedWidth(32)
        browse.clicked.connect(self._browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(browse)
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
        for run in runs.trained_runs():
            self._add(run)
        if newest is not None:
            self.choose(newest)
        elif self.box.count():
            self.box.setCurrentIndex(0)

    def choose(self, path: Path) -> None:
        """Choose a model, and list it if it is not listed yet."""
        path = path.parent if path.name == MODEL_FILE else path
        if self.box.findData(path) < 0:
            self._add(path, int(bool(self._nothing)))
        self.box.setCurrentIndex(self.box.findData(path))

    def value(self) -> str | None:
        """Return the path as an option takes it."""
        path = self.path()
        return None if path is None else str(path)

    def setValue(self, value: str | None) -> None:
        """Choose what `value` returned."""
        self.refresh(None if value is None else Path(value))

    def _add(self, path: Path, place: int | None = None) -> None:
        place = self.box.count() if place is None else place
        self.box.insertItem(place, path.stem if path.suffix else path.name, path)

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
