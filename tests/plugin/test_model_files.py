"""Model files that are dropped on the window or opened in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from by_hand import PLUGIN, notes, open_widget, save_model
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QWidget

from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer

    MakeViewer = Callable[..., Viewer]


def drop(window: QWidget, path: Path) -> None:
    """Drop a file on the canvas."""
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(path))])
    (target,) = (
        each
        for each in window.findChildren(QWidget)
        if type(each).__name__ == "QtViewer"
    )
    target.dropEvent(
        QDropEvent(
            QPointF(9, 9),
            Qt.DropAction.CopyAction,
            files,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )


def predict_of(viewer: Viewer) -> Any:
    return viewer.window.dock_widgets[f"Predict ({PLUGIN})"]


def test_a_dropped_model_is_chosen_and_predict_opens(
    make_napari_viewer: MakeViewer, fake_worker: object, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        save_model(tmp_path / name)
    viewer = make_napari_viewer()
    train = open_widget(viewer, "Train")
    drop(train.window(), tmp_path / "first" / "model.safetensors")
    assert predict_of(viewer).model.path() == tmp_path / "first"
    assert "2 classes" in predict_of(viewer).about.text()
    viewer.open(tmp_path / "second", plugin=PLUGIN)  # its run folder
    assert predict_of(viewer).model.path() == tmp_path / "second"
    assert session_of(viewer).models == [tmp_path / "second", tmp_path / "first"]
    assert train.init.box.row_of(tmp_path / "first") == 2
    assert train.init.path() is None  # what was chosen there stays
    assert list(viewer.layers) == []
    assert notes() == ["The model first is chosen.", "The model second is chosen."]


def test_another_safetensors_file_is_refused_in_a_sentence(
    make_napari_viewer: MakeViewer, fake_worker: object, tmp_path: Path
) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    foreign, broken = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"weight": np.zeros(3)}, foreign)
    broken.write_text("no model")
    viewer = make_napari_viewer()
    train = open_widget(viewer, "Train")
    for file, said in {
        foreign: "was not written by this program",
        broken: "is not a model file, or a damaged one",
    }.items():
        drop(train.window(), file)
        assert notes()[-1].startswith(str(file))
        assert said in notes()[-1]
    assert list(viewer.layers) == []
    assert f"Predict ({PLUGIN})" not in viewer.window.dock_widgets
    assert session_of(viewer).model is None
