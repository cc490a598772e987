"""The list of models, searched and chosen from as a person does."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from by_hand import save_model
from PIL import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from superqt.utils import qimage_to_array

from napari_unet import train
from napari_unet.data import synthetic_em
from napari_unet.plugin import runs
from napari_unet.plugin.parts.models import ModelChoice

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

NOW = datetime(2025, 3, 4, 15, 6, tzinfo=UTC)


def make_run(folder: Path, image: str, when: datetime, *, picture: bool = True) -> None:
    save_model(folder)
    record = {"options": {}, "data": {"pairs": [{"image": {"name": image}}]}}
    (folder / "config.json").write_text(json.dumps(record))
    os.utime(folder / "model.safetensors", (when.timestamp(),) * 2)
    if picture:
        red = np.zeros((32, 32, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
        Image.fromarray(red).save(folder / "thumbnail.png")


@pytest.fixture
def choice(runs_folder: Path, qtbot: QtBot) -> ModelChoice:
    """Of three runs, the newest first: cells, worms, and one that is damaged."""
    make_run(runs_folder / "2025-03-04 10-00 cells", "cells", NOW)
    make_run(runs_folder / "my worms", "w1", NOW.replace(month=2), picture=False)
    damaged = runs_folder / "damaged"
    damaged.mkdir()
    (damaged / "model.safetensors").write_text("no model")
    (damaged / "config.json").write_text("{")
    os.utime(damaged / "model.safetensors", (1, 1))
    choice = ModelChoice()
    qtbot.addWidget(choice)
    choice.show()
    return choice


def unfold(qtbot: QtBot, choice: ModelChoice) -> None:
    """Open the list by a key, and wait until all is known of its models."""
    qtbot.keyClick(choice.box, Qt.Key.Key_F4)
    wait_for_details(qtbot, choice)


def wait_for_details(qtbot: QtBot, choice: ModelChoice) -> None:
    assert choice.box.popup.isVisible()
    last = choice.box.model().index(choice.box.count() - 1, 0)
    qtbot.waitUntil(lambda: last.data(Qt.ItemDataRole.UserRole + 1) is not None)


def listed(choice: ModelChoice) -> Iterable[str]:
    rows = choice.box.popup.list.model()
    return [rows.index(i, 0).data() for i in range(rows.rowCount())]


def test_what_is_said_of_a_run(runs_folder: Path, choice: ModelChoice) -> None:
    assert [each.name for each in runs.trained_runs()] == [
        "2025-03-04 10-00 cells",
        "my worms",
        "damaged",
    ]
    said = [runs.look_up(each, NOW) for each in runs.trained_runs()]
    assert [each.title for each in said] == ["cells", "my worms · w1", "damaged"]
    assert [each.facts for each in said] == [
        "today 15:06",
        "2025-02-04 15:06",
        "⚠ The model is missing or damaged.",
    ]
    picture = runs_folder / "2025-03-04 10-00 cells" / "thumbnail.png"
    assert [each.thumbnail for each in said] == [picture, None, None]
    gone = runs.look_up(runs_folder / "gone", NOW)
    assert gone.facts == "⚠ The model is missing or damaged."


def test_the_score_is_that_of_the_model(runs_folder: Path) -> None:
    model = save_model(runs_folder / "a")
    model.history["score"] = 0.87654
    model.save(runs_folder / "a" / "model.safetensors")
    assert runs.look_up(runs_folder / "a", NOW).facts.endswith(" · score 0.877")


def test_a_finished_training_is_listed_with_all_that_is_known(
    runs_folder: Path,
) -> None:
    image, labels = synthetic_em(4, 64)
    run = runs_folder / "2025-03-04 10-00 tissue"
    small = {"steps": 2, "depth": 1, "width": 4, "patch_size": 32, "batch_size": 1}
    model = train(replace(image, name="tissue"), labels, run=run, **small)
    listed = runs.look_up(run, datetime.now().astimezone())
    assert listed.title == "tissue"
    assert listed.facts.startswith("today ")
    assert listed.facts.endswith(f"score {model.history['score']:.3f}")
    assert listed.thumbnail == run / "thumbnail.png"


def test_a_model_is_found_by_typing(qtbot: QtBot, choice: ModelChoice) -> None:
    unfold(qtbot, choice)
    popup = choice.box.popup
    assert len(list(listed(choice))) == 3
    qtbot.keyClicks(popup.search, "W1")  # the image's name, which the folder's lacks
    assert listed(choice) == ["my worms"]
    qtbot.keyClick(popup.search, Qt.Key.Key_Return)
    assert not popup.isVisible()
    assert choice.path().name == "my worms"
    unfold(qtbot, choice)
    assert popup.search.text() == ""
    qtbot.keyClick(popup.search, Qt.Key.Key_Up)
    qtbot.keyClick(popup.search, Qt.Key.Key_Return)
    assert choice.path().name == "2025-03-04 10-00 cells"
    unfold(qtbot, choice)
    qtbot.keyClicks(popup.search, "no such model")
    qtbot.keyClick(popup.search, Qt.Key.Key_Return)
    assert popup.isVisible()
    qtbot.keyClick(popup.search, Qt.Key.Key_Escape)
    assert not popup.isVisible()
    assert choice.path().name == "2025-03-04 10-00 cells"


def test_a_model_is_chosen_by_a_click_on_its_picture(
    qtbot: QtBot, choice: ModelChoice
) -> None:
    choice.box.setCurrentIndex(2)
    qtbot.mouseClick(choice.box, Qt.MouseButton.LeftButton)
    wait_for_details(qtbot, choice)
    view = choice.box.popup.list
    drawn = qimage_to_array(view.viewport().grab().toImage())[..., :3].astype(int)
    red = (np.abs(drawn - [255, 0, 0]).max(axis=-1) < 10).nonzero()
    assert len(red[0]) > 500
    middle = QPoint(int(red[1].mean()), int(red[0].mean()))
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=middle)
    assert choice.path().name == "2025-03-04 10-00 cells"
    assert not choice.box.popup.isVisible()


def test_arrow_keys_choose_without_the_list(qtbot: QtBot, choice: ModelChoice) -> None:
    qtbot.keyClick(choice.box, Qt.Key.Key_Down)
    assert choice.path().name == "my worms"


def drop(choice: ModelChoice, path: Path) -> bool:
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(path))])
    how = (files, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    entering = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, *how)
    choice.dragEnterEvent(entering)
    if entering.isAccepted():
        choice.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, *how))
    return entering.isAccepted()


def test_what_is_dropped_is_chosen(choice: ModelChoice, tmp_path: Path) -> None:
    save_model(tmp_path / "elsewhere")
    assert drop(choice, tmp_path / "elsewhere" / "model.safetensors")
    assert choice.path() == tmp_path / "elsewhere"
    assert drop(choice, tmp_path / "my.safetensors")
    assert choice.path() == tmp_path / "my.safetensors"
    assert not drop(choice, tmp_path)
    assert drop(choice, tmp_path / "elsewhere")
    assert choice.path() == tmp_path / "elsewhere"
