"""What comes after a prediction is one click away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from by_hand import PLUGIN, click, open_widget
from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY, LayerChoice
from napari_unet.plugin.predict import next_steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from pytestqt.qtbot import QtBot


def test_only_widgets_that_exist_are_offered(
    make_napari_viewer: Callable[..., Viewer], fake_worker: object, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    steps = open_widget(viewer, "Predict").next_steps
    assert set(steps.buttons) == next_steps._widgets() & {
        "Objects",
        "Correct",
        "Evaluate",
    }


def test_a_step_opens_its_widget_on_the_prediction(
    make_napari_viewer: Callable[..., Viewer],
    fake_worker: object,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = make_napari_viewer()
    monkeypatch.setattr(next_steps, "_widgets", lambda: {"Evaluate"})
    steps = open_widget(viewer, "Predict").next_steps
    assert steps.isHidden()
    known = {"what": "labels", "prediction": "a"}
    guess = viewer.add_labels(
        np.zeros((8, 8), np.uint8), name="guess", metadata={RESULT_KEY: known}
    )
    truth = viewer.add_labels(np.zeros((8, 8), np.uint8), name="truth")
    assert not steps.isHidden()
    opened = QWidget()
    qtbot.addWidget(opened)
    field = LayerChoice(viewer, Labels, "")
    field.setParent(opened)
    field.choose(truth)
    asked: list[object] = []

    def open_it(*which: object, tabify: bool) -> tuple[QWidget, QWidget]:
        asked.extend(which)
        return opened, opened

    window = type(viewer.window)
    monkeypatch.setattr(
        window, "add_plugin_dock_widget", lambda _, *a, **k: open_it(*a, **k)
    )
    click(qtbot, steps.buttons["Evaluate"])
    assert asked == [PLUGIN, "Evaluate"]
    assert field.layer is guess
    assert viewer.layers.selection.active is guess
    viewer.layers.remove(guess)
    assert steps.isHidden()


@pytest.mark.parametrize("name", ["Objects", "Correct", "Evaluate"])
def test_a_widget_opens_on_the_prediction_that_is_active(
    make_napari_viewer: Callable[..., Viewer],
    fake_worker: object,
    qtbot: QtBot,
    name: str,
) -> None:
    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((8, 8)), name="image")
    guesses = [
        viewer.add_labels(
            np.zeros((8, 8), np.uint8),
            name=name,
            metadata={
                MODEL_KEY: "m",
                RESULT_KEY: {
                    "what": "labels",
                    "prediction": name,
                    "image": str(image.unique_id),
                },
            },
        )
        for name in ("first", "second")
    ]
    steps = open_widget(viewer, "Predict").next_steps
    viewer.layers.selection.active = guesses[0]
    click(qtbot, steps.buttons[name])
    opened = viewer.window.dock_widgets[f"{name} ({PLUGIN})"]
    assert opened.prediction.layer is guesses[0]
