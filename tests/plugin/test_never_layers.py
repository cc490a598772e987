"""Layers are renamed, turned, scaled and deleted while the worker is at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from by_hand import add_tissue, choose, click, idle, notes, open_widget, save_model

from napari_unet.plugin.look.look import WHERE_I_LOOK
from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari import Viewer
    from napari.layers import Layer
    from pytestqt.qtbot import QtBot

    Disturb = Callable[[Viewer, Layer], object]

WAIT = 60_000
SMALL = {"depth": 1, "width": 8, "patch_size": 64, "batch_size": 2}


def rename(viewer: Viewer, layer: Layer) -> None:
    layer.name = f"my {layer.name}"


def turn(viewer: Viewer, layer: Layer) -> None:
    if not layer.multiscale:
        layer.data = np.swapaxes(layer.data, 0, 2)


def scale(viewer: Viewer, layer: Layer) -> None:
    layer.scale = layer.scale * 3
    layer.translate = layer.translate + 7


def delete(viewer: Viewer, layer: Layer) -> None:
    viewer.layers.selection = {layer}
    viewer.layers.remove_selected()


CHANGES: list[Disturb] = [
    rename,
    lambda viewer, _: viewer.dims.roll(),
    lambda viewer, _: viewer.dims.transpose(),
    turn,
    scale,
    delete,
]


@pytest.fixture
def viewer(
    make_napari_viewer: Callable[..., Viewer], request: pytest.FixtureRequest
) -> Iterator[Viewer]:
    """A viewer; drawn only for who looks, as napari may crash when layers go."""
    viewer = make_napari_viewer(show="look" in request.node.name)
    yield viewer
    session_of(viewer).close()


def change_all(qtbot: QtBot, viewer: Viewer, layers: list[Layer]) -> Iterator[None]:
    """Change layers in one way after the other; the window draws after each.

    From the top down: napari itself may crash when images under labels are deleted.
    """
    for change in CHANGES:
        for layer in reversed(layers):
            change(viewer, layer)
            qtbot.wait(30)
        yield


def test_a_training_goes_on_whatever_becomes_of_its_layers(
    viewer: Viewer, qtbot: QtBot
) -> None:
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.advanced.enter(SMALL)
    run = train.run.path()
    click(qtbot, train.train_button)
    qtbot.waitUntil(lambda: bool(train.plot._loss), timeout=WAIT)
    for _ in change_all(qtbot, viewer, list(viewer.layers)):
        step = train.plot._loss[-1][0]
        qtbot.waitUntil(lambda at=step: train.plot._loss[-1][0] > at, timeout=WAIT)
    assert {layer.name for layer in viewer.layers} <= {"tissue live", "my tissue live"}
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert train.status.text().startswith("Stopped. The best model is that of step")
    assert (run / "model.safetensors").exists()
    assert (run / "last.safetensors").exists()
    assert not list(run.glob(".pixels-*"))
    add_tissue(viewer)
    train.advanced.enter({**SMALL, "steps": 2})
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "All steps are done" in train.status.text()


def test_a_prediction_ends_well_whatever_becomes_of_its_layers(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model", depth=2)
    predict = open_widget(viewer, "Predict")
    predict.probabilities.setChecked(True)
    noise = np.random.default_rng(0).integers(0, 255, (6000, 128, 96), np.uint8)
    viewer.add_image(noise, name="noise")
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(lambda: "noise prediction" in viewer.layers, timeout=WAIT)
    for _ in change_all(qtbot, viewer, list(viewer.layers)):
        pass
    assert not viewer.layers
    done = predict._tiles[0]
    qtbot.waitUntil(lambda: predict._tiles[0] > done, timeout=WAIT)
    click(qtbot, predict.cancel_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert predict.status.text() == "Cancelled. Nothing was added."
    add_tissue(viewer)
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert predict.status.text() == "Added the layer 'tissue prediction'."


def test_patches_are_shown_whatever_becomes_of_the_layers(
    viewer: Viewer, qtbot: QtBot
) -> None:
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    train.advanced.enter(SMALL)
    click(qtbot, train.preview_button)
    for _ in change_all(qtbot, viewer, list(viewer.layers)):
        pass
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert notes() == []
    assert [layer.name for layer in viewer.layers] == [
        "tissue patches",
        "tissue patches labels",
    ]


@pytest.mark.parametrize("which", ["tissue", "tissue prediction, where looked at"])
def test_looking_ends_well_whatever_becomes_of_the_layer(
    viewer: Viewer, qtbot: QtBot, runs_folder: Path, which: str
) -> None:
    save_model(runs_folder / "model", depth=2)
    add_tissue(viewer)
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, WHERE_I_LOOK)
    for _ in range(2):  # the second after all that became of the first
        click(qtbot, predict.predict_button)
        qtbot.waitUntil(
            lambda: predict.status.text() == "All that is in view is computed.",
            timeout=WAIT,
        )
        prediction = viewer.layers[-1]
        for _ in change_all(qtbot, viewer, [viewer.layers[which]]):
            pass
        assert which not in viewer.layers
        if which == "tissue":
            assert prediction in viewer.layers
            prediction.visible = False
            prediction.visible = True
            add_tissue(viewer)
        viewer.dims.order = (0, 1, 2)
        qtbot.wait(200)
    assert not [each for each in notes() if "rror" in each]
