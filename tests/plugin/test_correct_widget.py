"""The Correct widget in a real napari window, used as a person uses it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from by_hand import (
    WAIT,
    add_tissue,
    choose,
    click,
    notes,
    open_widget,
    run_to_the_end,
    save_model,
)
from qtpy.QtCore import Qt

from napari_unet.data import Classes
from napari_unet.model import find_model, read_info
from napari_unet.plugin import runs
from napari_unet.plugin.correct.places import FRAME_KEY
from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]


def predicted(
    viewer: Viewer, qtbot: QtBot, folder: Path, *, probabilities: bool = True
) -> Any:
    """Predict the tissue, and open Correct."""
    save_model(folder / "model", Classes((0, 255)), depth=1)
    add_tissue(viewer)
    viewer.layers.remove("truth")
    predict = open_widget(viewer, "Predict")
    predict.probabilities.setChecked(probabilities)
    run_to_the_end(qtbot, predict, predict.predict_button)
    return open_widget(viewer, "Correct")


def find(qtbot: QtBot, correct: Any) -> None:
    click(qtbot, correct.unsure.find_button)
    qtbot.waitUntil(lambda: correct.unsure._job is None, timeout=WAIT)


def start_painting(qtbot: QtBot, viewer: Viewer, correct: Any) -> Any:
    click(qtbot, correct.paint.paint_button)
    qtbot.waitUntil(lambda: "tissue corrections" in viewer.layers, timeout=WAIT)
    layer = viewer.layers["tissue corrections"]
    qtbot.waitUntil(lambda: layer.mode == "paint", timeout=WAIT)
    return layer


def accept(qtbot: QtBot, correct: Any, what: str) -> None:
    choose(qtbot, correct.paint.what, what)
    correct.paint.status.setText("")
    click(qtbot, correct.paint.accept_button)
    qtbot.waitUntil(lambda: not correct.paint._busy, timeout=WAIT)
    qtbot.waitUntil(lambda: bool(correct.paint.status.text()), timeout=WAIT)


def test_it_finds_unsure_places_and_goes_there(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    correct = predicted(viewer, qtbot, runs_folder)
    assert correct.image.layer.name == "tissue"
    correct.unsure.size_.setValue(24)
    find(qtbot, correct)
    table = correct.unsure.table
    assert 4 <= table.rowCount() <= 10
    unsure = viewer.layers["tissue uncertainty"]
    shares = [viewer.layers[f"tissue P({value})"].data for value in (0, 255)]
    entropy = -sum(p * np.log2(np.maximum(p, 1e-9)) for p in map(np.asarray, shares))
    np.testing.assert_allclose(unsure.data, entropy, atol=1e-4)
    np.testing.assert_array_equal(unsure.scale, viewer.layers["tissue"].scale)

    def is_there() -> None:
        z, y, x = correct.unsure.place.position
        world = viewer.layers["tissue"].data_to_world((z, y, x))
        assert viewer.dims.current_step[0] == z
        np.testing.assert_allclose(viewer.scene.camera.center[1:], world[1:])
        (frame,) = [each for each in viewer.layers if FRAME_KEY in each.metadata]
        low, high = frame.data[0].min(axis=0), frame.data[0].max(axis=0)
        np.testing.assert_allclose((low + high) / 2, (z, y, x))
        np.testing.assert_allclose(high - low, (0, 24, 24))

    assert table.currentRow() == 0
    is_there()
    click(qtbot, correct.unsure.next_button)
    assert table.currentRow() == 1
    is_there()
    qtbot.keyClick(table, Qt.Key.Key_Space)  # done
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert table.currentRow() == 2
    is_there()
    click(qtbot, correct.unsure.back_button)
    assert table.currentRow() == 0
    viewer.scene.camera.center = (0, 0, 0)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    is_there()
    item = table.visualItemRect(table.item(3, 2))
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=item.center())
    assert table.currentRow() == 3
    is_there()


def test_without_probabilities_the_model_is_asked(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder, probabilities=False)
    before = len(viewer.layers)
    find(qtbot, correct)
    assert correct.unsure.table.rowCount() > 0
    added = {each.name for each in viewer.layers} - {"tissue", "tissue prediction"}
    assert added == {"tissue uncertainty", "tissue unsure place"}
    find(qtbot, correct)  # now from the layer that is there
    assert len(viewer.layers) == before + 2


def test_painting_is_apart_from_the_prediction_and_can_be_undone(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder)
    prediction = np.array(viewer.layers["tissue prediction"].data)
    layer = start_painting(qtbot, viewer, correct)
    tissue = viewer.layers["tissue"]
    assert viewer.layers.selection.active == layer and layer.mode == "paint"
    assert layer.data.shape == tissue.data.shape
    np.testing.assert_array_equal(layer.scale, tissue.scale)
    np.testing.assert_array_equal(layer.translate, tissue.translate)
    assert layer.units == tissue.units
    assert set(np.unique(layer.data)) == {254}  # 0 is a class here
    assert layer.get_color(0)[3] > 0
    choose(qtbot, correct.paint.classes, "0")
    assert layer.selected_label == 0
    layer.paint((1, 20, 20), 0)
    assert set(np.unique(layer.data)) == {0, 254}
    painted = layer.data == 0
    section = 2
    viewer.dims.set_current_step(0, section)
    accept(qtbot, correct, "this section")
    np.testing.assert_array_equal(layer.data[section], prediction[section])
    assert (layer.data[1][~painted[1]] == 254).all()
    layer.undo()
    assert (layer.data[section] == 254).all()
    np.testing.assert_array_equal(layer.data == 0, painted)
    layer.redo()
    np.testing.assert_array_equal(layer.data[section], prediction[section])
    viewer.dims.set_current_step(0, 1)
    accept(qtbot, correct, "this section")
    np.testing.assert_array_equal(
        layer.data[1][~painted[1]], prediction[1][~painted[1]]
    )
    assert (layer.data[1][painted[1]] == 0).all()  # painting wins
    layer.undo()
    layer.undo()
    layer.undo()
    assert (layer.data == 254).all()
    np.testing.assert_array_equal(viewer.layers["tissue prediction"].data, prediction)


def test_a_place_is_accepted_and_ticked(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder)
    click(qtbot, correct.paint.accept_button)
    qtbot.waitUntil(lambda: "tissue corrections" in viewer.layers, timeout=WAIT)
    qtbot.waitUntil(lambda: said("No place is looked at") == 1, timeout=WAIT)
    correct.unsure.size_.setValue(20)
    find(qtbot, correct)
    z, y, x = correct.unsure.place.position
    accept(qtbot, correct, "this place")
    box = z, slice(max(0, y - 10), y + 10), slice(max(0, x - 10), x + 10)
    layer = viewer.layers["tissue corrections"]
    truth = np.asarray(viewer.layers["tissue prediction"].data[box])
    np.testing.assert_array_equal(layer.data[box], truth)
    assert (layer.data != 254).sum() == truth.size
    assert correct.unsure.table.is_done(0)
    find(qtbot, correct)  # what is annotated now is not listed again
    table = correct.unsure.table
    for place in table._places:
        assert layer.data[place.position] == 254


def test_the_view_is_accepted_where_a_part_was_predicted(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model", Classes((0, 255)), depth=1)
    viewer = make_napari_viewer()
    add_tissue(viewer)
    viewer.dims.set_current_step(0, 3)
    predict = open_widget(viewer, "Predict")
    choose(qtbot, predict.where, "current section")
    run_to_the_end(qtbot, predict, predict.predict_button)
    correct = open_widget(viewer, "Correct")
    viewer.dims.set_current_step(0, 0)
    choose(qtbot, correct.paint.what, "this section")
    click(qtbot, correct.paint.accept_button)
    qtbot.waitUntil(lambda: said("has nothing at this section") == 1, timeout=WAIT)
    viewer.dims.set_current_step(0, 3)
    accept(qtbot, correct, "all (edit a copy)")
    layer, prediction = (
        viewer.layers[f"tissue {e}"] for e in ("corrections", "prediction")
    )
    np.testing.assert_array_equal(layer.data[3], prediction.data[0])
    assert (layer.data[:3] == 254).all()
    find(qtbot, correct)
    places = correct.unsure.table._places  # the model was asked of the whole image
    assert places and all(each.position[0] < 3 for each in places)


def test_corrections_are_saved_and_found_again(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder)
    assert correct.paint.open_button.isHidden()
    layer = start_painting(qtbot, viewer, correct)
    folder = runs_folder / "annotations"
    assert not folder.exists()  # nothing is painted yet
    layer.paint((1, 20, 20), 0)
    layer.paint((2, 40, 40), 255)
    painted = np.array(layer.data)
    qtbot.waitUntil(lambda: saved(folder, painted), timeout=WAIT)
    layer.undo()
    before = np.array(layer.data)
    assert (before != painted).any()
    qtbot.waitUntil(lambda: saved(folder, before), timeout=WAIT)
    viewer.layers.remove(layer)
    assert not correct.paint.open_button.isHidden()
    click(qtbot, correct.paint.open_button)
    qtbot.waitUntil(lambda: "tissue corrections" in viewer.layers, timeout=WAIT)
    again = viewer.layers["tissue corrections"]
    np.testing.assert_array_equal(again.data, before)
    assert again.colormap.background_value == 254
    assert again.data_to_world((1, 2, 3)) == viewer.layers["tissue"].data_to_world(
        (1, 2, 3)
    )
    again.paint((0, 60, 60), 255)
    more = np.array(again.data)
    qtbot.waitUntil(lambda: saved(folder, more), timeout=WAIT)
    assert len(list(folder.iterdir())) == 1
    (opened,) = viewer.open(next(folder.iterdir()), plugin="napari-unet-lab")
    np.testing.assert_array_equal(opened.data, more)
    assert opened.colormap.background_value == 254
    np.testing.assert_allclose(opened.scale, (50, 4, 4))


def said(words: str) -> int:
    """How often the user was told so."""
    return sum(words in each for each in notes())


def saved(folder: Path, pixels: np.ndarray) -> bool:
    """Whether the folder holds the corrections as they are."""
    import zarr

    stores = list(folder.glob("*.zarr/0/zarr.json"))
    if not stores:
        return False
    return np.array_equal(zarr.open_array(stores[0].parent, mode="r")[...], pixels)


def test_what_cannot_be_saved_is_said_once_and_painting_goes_on(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    correct = predicted(viewer, qtbot, runs_folder)
    layer = start_painting(qtbot, viewer, correct)
    folder = runs_folder / "annotations"
    folder.write_text("a file is in the way")
    layer.paint((1, 20, 20), 0)
    qtbot.waitUntil(lambda: said("could not be saved") == 1, timeout=WAIT)
    layer.paint((1, 30, 30), 0)
    qtbot.wait(2500)
    assert said("could not be saved") == 1
    folder.unlink()
    layer.paint((1, 40, 40), 0)
    pixels = np.array(layer.data)
    qtbot.waitUntil(lambda: saved(folder, pixels), timeout=WAIT)
    assert (layer.data == 0).sum() > 100


def test_scribbles_are_copied_and_train_is_made_ready(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model", Classes((1, 2)), depth=1)
    viewer = make_napari_viewer()
    add_tissue(viewer)
    scribbles = np.zeros((4, 96, 96), np.int32)
    scribbles[0, 10:20, 10:20] = 1
    scribbles[2, 40:50, 10:20] = 2
    viewer.layers["truth"].data = scribbles
    predict = open_widget(viewer, "Predict")
    run_to_the_end(qtbot, predict, predict.predict_button)
    correct = open_widget(viewer, "Correct")
    click(qtbot, correct.train_button)
    assert "There are no corrections yet" in notes()[-1]
    layer = start_painting(qtbot, viewer, correct)
    np.testing.assert_array_equal(layer.data, scribbles)
    layer.paint((2, 45, 15), 1)  # the correction wins
    assert layer.data[2, 45, 15] == 1
    assert scribbles[2, 45, 15] == 2
    learnt = remember_data(runs_folder)
    click(qtbot, correct.train_button)
    train = viewer.window.dock_widgets["Train (napari-unet-lab)"]
    assert train.image.layer == viewer.layers["tissue"]
    assert train.labels.layer == layer
    assert train.zero.currentData() is True
    assert learnt.stem in train.data.pairs.text()  # what it knows, it keeps in mind
    entered = train.advanced.values()
    assert entered["init"] == str(runs_folder / "model")
    assert (entered["depth"], entered["width"]) == (1, 4)
    train.advanced.enter({"steps": 2, "patch_size": 32})
    run_to_the_end(qtbot, train, train.train_button)
    trained = train.session.model
    assert read_info(trained)["classes"]["values"] == [1, 2]
    options = runs.stored_options(find_model(trained).parent)
    assert options["init"] == str(runs_folder / "model")
    assert options["zero_is_unlabelled"] is True


def remember_data(folder: Path) -> Path:
    """Have the model's run say that it has learnt from files."""
    paths = [folder / "earlier.tif", folder / "earlier strokes.tif"]
    strokes = np.zeros((64, 64), np.uint8)
    strokes[:20], strokes[40:] = 1, 2
    tifffile.imwrite(paths[0], np.arange(4096, dtype=np.uint16).reshape(64, 64))
    tifffile.imwrite(paths[1], strokes)
    pair = {
        name: {"source": str(path)}
        for name, path in zip(("image", "labels"), paths, strict=True)
    }
    config = {"options": {}, "data": {"pairs": [pair]}}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    return paths[0]


def slow_prediction(viewer: Viewer, folder: Path) -> Any:
    """Add what a prediction of many sections leaves, and open Correct."""
    save_model(folder / "model", Classes((0, 255)), depth=1)
    shape = (400, 256, 256)
    image = viewer.add_image(np.zeros(shape, np.uint8), name="slow")
    known = {"image": str(image.unique_id), "prediction": "p", "start": [0, 0, 0]}
    unsure = np.random.default_rng(0).random(shape, np.float32)
    for what, add, pixels in (
        ("uncertainty", viewer.add_image, unsure),
        ("labels", viewer.add_labels, np.zeros(shape, np.uint8)),
    ):
        about = {**known, "what": what, "class": 0}
        metadata = {MODEL_KEY: str(folder / "model"), RESULT_KEY: about}
        add(pixels, name=f"slow {what}", metadata=metadata)
    return open_widget(viewer, "Correct")


def test_a_search_is_cancelled_and_outlives_its_layers(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    correct = slow_prediction(viewer, runs_folder)
    unsure = correct.unsure
    click(qtbot, unsure.find_button)
    qtbot.waitUntil(lambda: "section" in unsure.progress.words.text(), timeout=WAIT)
    assert not unsure.find_button.isEnabled()
    click(qtbot, unsure.cancel_button)
    qtbot.waitUntil(lambda: unsure._job is None, timeout=WAIT)
    assert unsure.status.text() == "Cancelled."
    assert unsure.table.rowCount() == 0
    click(qtbot, unsure.find_button)
    qtbot.waitUntil(lambda: "section" in unsure.progress.words.text(), timeout=WAIT)
    viewer.layers["slow"].name = "renamed"
    viewer.layers["renamed"].scale = (5, 2, 2)
    viewer.layers.remove("slow uncertainty")
    viewer.layers.remove("slow labels")
    qtbot.waitUntil(lambda: unsure._job is None, timeout=WAIT)
    assert unsure.table.rowCount() == 10
    place, world = unsure.place.position, viewer.layers["renamed"].data_to_world
    np.testing.assert_allclose(viewer.scene.camera.center[1:], world(place)[1:])
    assert "renamed unsure place" in viewer.layers
    assert not correct.paint.isEnabled()  # nothing is predicted any more
    viewer.layers.remove("renamed")
    click(qtbot, unsure.next_button)
    assert "no longer in the viewer" in unsure.status.text()
    click(qtbot, unsure.find_button)
    assert "There is no prediction to correct" in notes()[-1]
    assert unsure.find_button.isEnabled()
    viewer.window.remove_dock_widget(correct)
    assert not [each for each in viewer.layers if FRAME_KEY in each.metadata]
