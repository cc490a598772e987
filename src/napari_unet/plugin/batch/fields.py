"""The fields of the Batch widget: which images, and what is written of them."""

from __future__ import annotations

from functools import partial
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_unet.data.read.tiff import ENDINGS, stem
from napari_unet.plugin.parts.fields import (
    button,
    choice,
    folded,
    form_in,
    row_of,
    tick,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_BETWEEN = "; "


class InputsField(QWidget):
    """Folders, files, patterns or tables of images, typed, chosen or dropped."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._chosen: list[str] = []
        self.line = QLineEdit()
        self.line.setPlaceholderText("drop a folder, files or a CSV")
        self.line.setAcceptDrops(False)  # the widget takes them
        self.line.setToolTip(
            "<p>A folder with all that is in it, files, patterns such as day?/*.tif, "
            "or a CSV table with the columns path, truth and region; several are set "
            "off by semicolons.</p>"
        )
        self.folder = button("Fol&der …", "Choose a folder, or an OME-Zarr store.")
        self.files = button("F&iles …", "Choose images, or a CSV table of images.")
        self.line.textEdited.connect(self._on_typed)
        self.folder.clicked.connect(self._choose_folder)
        self.files.clicked.connect(self._choose_files)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        column.addWidget(row_of(self.folder, self.files))

    def paths(self) -> list[str]:
        """Return what is entered."""
        return list(self._chosen)

    def take(self, paths: Sequence[str]) -> None:
        """Enter other paths."""
        self._chosen = list(paths)
        self.line.setText(_BETWEEN.join(paths))
        self.changed.emit()

    def _on_typed(self, text: str) -> None:
        parts = filter(None, (each.strip() for each in text.split(";")))
        self._chosen = [str(Path(each).expanduser()) for each in parts]
        self.changed.emit()

    def _choose_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, "Folder of images"):
            self.take([path])

    def _choose_files(self) -> None:
        kinds = " ".join(f"*{each}" for each in (*ENDINGS, ".csv"))
        paths, _ = QFileDialog.getOpenFileNames(
            self, "Images", "", f"Images and tables ({kinds});;All files (*)"
        )
        if paths:
            self.take(paths)


def suggest_output(inputs: Sequence[str]) -> Path:
    """Return a folder beside the input, for what is predicted."""
    first = Path(inputs[0])
    if magic := [n for n, part in enumerate(first.parts) if has_magic(part)]:
        first = Path(*first.parts[: magic[0]])
    elif len(inputs) > 1 and not first.is_dir():
        first = first.parent
    is_table = first.suffix.lower() == ".csv"
    name = first.stem if is_table else first.name if first.is_dir() else stem(first)
    return first.with_name(f"{name} predicted") if name else Path.home() / "predicted"


class OptionalFolder(QWidget):
    """A folder that may be left out.

    Parameters
    ----------
    title, hint : str
    """

    changed = Signal()

    def __init__(self, title: str, hint: str) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.setPlaceholderText("none")
        self.line.setClearButtonEnabled(True)
        self.line.setToolTip(f"<p>{hint}</p>")
        self.line.textChanged.connect(self.changed)
        self.browse = button("…", hint)
        self.browse.setFixedWidth(32)
        self.browse.clicked.connect(partial(self._choose, title))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(row_of(self.line, self.browse))

    def path(self) -> Path | None:
        """Return the folder, or None."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def _choose(self, title: str, _: bool = False) -> None:
        if path := QFileDialog.getExistingDirectory(self, title):
            self.line.setText(path)


class RareFields(QWidget):
    """What is seldom told of the images and of what is written, to unfold."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.axes = QLineEdit()
        self.axes.setPlaceholderText("as the files say")
        self.axes.setToolTip("<p>Axes of all images, such as ZYX or TZCYX.</p>")
        self.table = choice(
            {"CSV": "csv", "Parquet": "parquet"},
            "How measurements of objects are written.",
        )
        self.overwrite = tick(
            "replace other files",
            "Replace files in the output folder that no batch has written.",
        )
        content = QWidget()
        form: QFormLayout = form_in(content)
        form.setContentsMargins(10, 0, 0, 6)
        form.addRow("axes", self.axes)
        form.addRow("table", self.table)
        form.addRow(self.overwrite)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(folded("Images and tables", content))
        self.axes.textChanged.connect(self.changed)

    def values(self) -> dict[str, Any]:
        """Return what is not usual, by the names of the command line's flags."""
        entered = {
            "axes": self.axes.text().strip().upper() or None,
            "table": self.table.currentData(),
            "overwrite": self.overwrite.isChecked(),
        }
        usual = {"axes": None, "table": "csv", "overwrite": False}
        return {name: each for name, each in entered.items() if each != usual[name]}
