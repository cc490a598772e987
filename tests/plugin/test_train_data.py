"""The Data box of the Train widget: which layers, which classes, what 0 means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from by_hand import add_tissue, choose, click, open_widget, run_to_the_end
from qtpy.QtCore import Qt

from napari_unet.plugin.train.data_box import ZERO_KEY

WAIT = 20_000  # milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from pytestqt.qtbot import QtBot


def add(viewer: Viewer, kind: str, name: str, *shape: int) -> Any:
    dtype = np.uint8 if kind == "labels" else np.float32
    return getattr(viewer, f"add_{kind}")(np.zeros(shape, dtype), name=name)


def strokes(*values: int) -> np.ndarray:
    """A labels layer of 1000 pixels with a stroke of 10 of each value."""
    drawn = np.zeros((20, 50), np.uint8)
    for row, value in enumerate(values):
        drawn[2 * row, :10] = value
    return drawn


def rewrite(qtbot: QtBot, field: Any, text: str) -> None:
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, text)
    qtbot.keyClick(field, Qt.Key.Key_Return)


def test_the_labels_that_fit_the_image_are_taken(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add(viewer, "image", "wide", 20, 50)
    add(viewer, "image", "high", 50, 20)
    for name, *shape in (("of wide", 20, 50), ("of high", 50, 20), ("odd", 9, 9)):
        add(viewer, "labels", name, *shape)
    data = open_widget(viewer, "Train").data
    assert (data.image.layer.name, data.labels.layer.name) == ("high", "of high")
    assert data.note.isHidden()
    choose(qtbot, data.image, "wide")
    assert data.labels.layer.name == "of wide"
    choose(qtbot, data.labels, "of high")
    assert data.image.layer.name == "high"
    choose(qtbot, data.labels, "odd")
    assert data.labels.layer.name == "odd"  # the user's choice, and what is wrong
    assert "'odd' (9, 9) does not fit 'high' (50, 20)" in data.note.text()
    assert not data.note.isHidden()


def test_names_decide_between_labels_that_fit_and_nothing_is_guessed_silently(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add(viewer, "image", "cells 1", 20, 50)
    add(viewer, "labels", "cells 1 truth", 20, 50)
    add(viewer, "labels", "cells 2 truth", 20, 50)
    data = open_widget(viewer, "Train").data
    assert data.labels.layer.name == "cells 1 truth"
    assert data.note.text() == ""
    viewer.layers[0].name = "tissue"
    assert data.labels.layer.name == "cells 1 truth"
    assert "'cells 2 truth' would fit as well" in data.note.text()
    choose(qtbot, data.labels, "cells 2 truth")
    assert data.note.text() == ""


def test_names_of_classes_are_written_in_place_and_come_back_with_the_prediction(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train, predict = (open_widget(viewer, name) for name in ("Train", "Predict"))
    classes = train.classes
    qtbot.waitUntil(lambda: classes.values == (0, 255), timeout=WAIT)
    rewrite(qtbot, classes.name_field(0), "membrane")
    rewrite(qtbot, classes.name_field(255), "membrane")
    assert classes.names() == {0: "membrane"}  # each has a name of its own
    assert "name of its own" in classes.name_field(255).placeholderText()
    rewrite(qtbot, classes.name_field(255), "cell")
    viewer.layers["truth"].paint((0, 0, 0), 7)
    qtbot.waitUntil(lambda: classes.values == (0, 7, 255), timeout=WAIT)
    viewer.layers["truth"].paint((0, 0, 0), 255)
    qtbot.waitUntil(lambda: classes.values == (0, 255), timeout=WAIT)
    assert classes.text().splitlines()[1].startswith("255 cell ")
    size = {"depth": 1, "width": 8, "patch_size": 64}
    train.advanced.enter({"steps": 3, **size})
    run_to_the_end(qtbot, train, train.train_button)
    assert "2 classes (membrane, cell)" in predict.about.text()
    predict.probabilities.setChecked(True)
    run_to_the_end(qtbot, predict, predict.predict_button)
    assert "tissue P(cell)" in viewer.layers


def test_strokes_are_taken_for_strokes_unless_the_user_says_otherwise(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((20, 50)), name="image")
    layer = viewer.add_labels(strokes(1), name="labels")
    train = open_widget(viewer, "Train")
    data = train.data
    qtbot.waitUntil(lambda: train.classes.values == (0, 1), timeout=WAIT)
    assert data.zero.currentData() is False
    assert "paint some of the background" in data.about_zero.text()
    layer.data = strokes(1, 2)
    qtbot.waitUntil(lambda: "0 not annotated" in train.classes.text(), timeout=WAIT)
    assert data.zero.currentData() is True
    assert "Only 2.0 % is painted" in data.about_zero.text()
    choose(qtbot, data.zero, "a class, such as background")
    layer.data = strokes(1, 2, 3)
    qtbot.waitUntil(lambda: 3 in train.classes.values, timeout=WAIT)
    assert data.zero.currentData() is False
    assert data.about_zero.text() == ""
    dense = viewer.add_labels(np.repeat([[0, 9]], 25, 1).repeat(20, 0), name="dense")
    choose(qtbot, data.labels, "dense")
    qtbot.waitUntil(lambda: train.classes.values == (0, 9), timeout=WAIT)
    assert data.zero.currentData() is False
    choose(qtbot, data.labels, "labels")
    assert layer.metadata[ZERO_KEY] is False
    assert ZERO_KEY not in dense.metadata


def test_a_dense_mask_after_strokes_counts_its_background(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((20, 50)), name="image")
    viewer.add_labels(strokes(1, 2), name="strokes")
    viewer.add_labels(np.repeat([[0, 9]], 25, 1).repeat(20, 0), name="dense")
    train = open_widget(viewer, "Train")
    choose(qtbot, train.labels, "strokes")
    qtbot.waitUntil(lambda: train.zero.currentData() is True, timeout=WAIT)
    choose(qtbot, train.labels, "dense")
    qtbot.waitUntil(lambda: train.classes.values == (0, 9), timeout=WAIT)
    assert train.zero.currentData() is False


def test_a_click_on_a_colour_paints_with_it(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    qtbot.waitUntil(lambda: train.classes.values == (0, 255), timeout=WAIT)
    viewer.layers.selection.active = viewer.layers["tissue"]
    click(qtbot, train.classes._rows[1].cells[0])
    layer = viewer.layers.selection.active
    assert (layer.name, layer.selected_label, layer.mode) == ("truth", 255, "paint")
