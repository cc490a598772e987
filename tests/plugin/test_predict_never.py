"""What may go wrong around a prediction ends in a sentence and in order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import WAIT, choose, click, idle, notes, open_widget, save_model

from napari_unet.data import Classes
from napari_unet.plugin.look.look import WHERE_I_LOOK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]


@pytest.fixture
def run(runs_folder: Path) -> Path:
    save_model(runs_folder / "model", Classes((10, 255)), depth=2)
    return runs_folder / "model"


def begin(qtbot: QtBot, predict: Any) -> None:
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(lambda: predict._tiles[0] >= 1, timeout=WAIT)


def add_slow_image(viewer: Viewer) -> Any:
    noise = np.random.default_rng(0).integers(0, 255, (6000, 128, 96), np.uint8)
    return viewer.add_image(noise, name="slow")


def test_an_image_may_be_rescaled_renamed_and_turned_meanwhile(
    make_napari_viewer: MakeViewer, qtbot: QtBot, run: Path
) -> None:
    viewer = make_napari_viewer()
    image = add_slow_image(viewer)
    predict = open_widget(viewer, "Predict")
    begin(qtbot, predict)
    assert "What is not predicted yet is 0." in predict.status.text()
    said = "of 6000 sections are complete"
    qtbot.waitUntil(lambda: said in predict.status.text(), timeout=WAIT)
    image.name = "other"
    image.scale = (1, 2, 2)
    viewer.dims.order = (1, 0, 2)
    click(qtbot, predict.cancel_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    result = viewer.layers["slow prediction (partial)"]
    assert result.scale.tolist() == [1, 1, 1]
    assert result.data.shape == image.data.shape
    assert "the rest of it is 0" in predict.status.text()
    complete = int(predict.status.text().split("The first ")[1].split()[0])
    assert 0 <= complete < 6000
    empty = ~result.data.any(axis=(1, 2))
    assert not empty[:complete].any()
    assert "The image was rescaled meanwhile" in predict.status.text()
    assert predict.predict_button.isEnabled()
    assert notes() == []


def test_a_model_may_be_deleted_before_it_is_used(
    make_napari_viewer: MakeViewer, qtbot: QtBot, fake_worker: object, run: Path
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((4, 32, 32)), name="tissue")
    predict = open_widget(viewer, "Predict")
    assert "2 classes" in predict.about.text()
    (run / "model.safetensors").unlink()
    click(qtbot, predict.predict_button)
    assert "holds no model.safetensors" in notes()[-1]
    assert predict.about.text() == notes()[-1]
    assert idle(predict)()
    assert predict.predict_button.isEnabled()
    choose(qtbot, predict.where, WHERE_I_LOOK)
    click(qtbot, predict.predict_button)
    assert "holds no model.safetensors" in notes()[-1]
    assert len(viewer.layers) == 1


def test_broken_runs_are_listed_and_said_to_be_broken(
    make_napari_viewer: MakeViewer, fake_worker: object, runs_folder: Path
) -> None:
    from safetensors.numpy import save_file

    from napari_unet.model import FORMAT

    for name in ("no record", "no model", "no network", "text"):
        save_model(runs_folder / name)
    (runs_folder / "no record" / "config.json").write_text("{")
    (runs_folder / "no model" / "model.safetensors").unlink()
    (runs_folder / "text" / "model.safetensors").write_text("text")
    metadata = {"format": FORMAT, "model": json.dumps({"name": "x"})}
    save_file({}, runs_folder / "no network" / "model.safetensors", metadata)
    viewer = make_napari_viewer()
    predict = open_widget(viewer, "Predict")
    listed = [predict.model.box.itemText(i) for i in range(predict.model.box.count())]
    assert sorted(listed) == ["no network", "no record", "text"]
    for name, said in {
        "no network": "it describes no network",
        "text": "is not a model file",
        "no record": "2 classes",
        "no model": "holds no model.safetensors",
    }.items():
        predict.model.choose(runs_folder / name)
        assert said in predict.about.text()
    assert notes() == []


@pytest.mark.parametrize("where", ["whole image", WHERE_I_LOOK])
def test_an_image_that_does_not_fit_is_refused_with_what_was_said(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    fake_worker: object,
    runs_folder: Path,
    where: str,
) -> None:
    networks = {"grey": {}, "colour": {"channels": 3}, "volume": {"dims": 3}}
    for name, network in networks.items():
        save_model(runs_folder / name, **network)
    viewer = make_napari_viewer()
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, where)
    cases = {
        ("colour", (40, 40)): "merge them",
        ("grey", (40, 40, 3)): "split it",
        ("volume", (40, 40)): "no Z",
    }
    for (name, shape), said in cases.items():
        viewer.layers.clear()
        viewer.add_image(np.zeros(shape, np.uint8), rgb=len(shape) == 3)
        predict.model.choose(runs_folder / name)
        assert not predict.fit.isHidden()
        assert said in predict.fit.words.text()
        click(qtbot, predict.predict_button)
        assert notes()[-1] in predict.fit.words.text()
        assert idle(predict)()
    assert len(viewer.layers) == 1
