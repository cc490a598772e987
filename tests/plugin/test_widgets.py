"""The widgets in a real napari window, used as a person uses them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import (
    PLUGIN,
    WAIT,
    add_tissue,
    choose,
    click,
    idle,
    notes,
    open_widget,
    run_to_the_end,
)
from napari.layers import Image

from napari_unet.config import TrainingConfig
from napari_unet.data import open_stack, synthetic_em, write_stack
from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    from napari_unet.plugin.predict.widget import PredictWidget
    from napari_unet.plugin.train.widget import TrainWidget

SMALL = {"depth": 1, "width": 8, "patch_size": 64, "batch_size": 2}


def set_options(widget: TrainWidget, **values: Any) -> None:
    widget.advanced.enter(values)


def begin(qtbot: QtBot, widget: TrainWidget) -> None:
    click(qtbot, widget.train_button)
    qtbot.waitUntil(lambda: "step" in widget.progress.words.text(), timeout=WAIT)


def test_open_train_predict_save_and_open_again(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    tmp_path: Path,
    runs_folder: Path,
) -> None:
    for stack, name in zip(
        synthetic_em(4, 96), ("train-volume", "train-labels"), strict=True
    ):
        write_stack(
            tmp_path / f"{name}.tif",
            np.asarray(stack),
            shape=stack.shape,
            axes="ZYX",
            dtype="uint8",
            pixel_size=stack.pixel_size,
            unit="nm",
        )
    viewer = make_napari_viewer()
    for name in ("train-volume", "train-labels"):
        viewer.open(tmp_path / f"{name}.tif", plugin=PLUGIN)
    assert viewer.layers["train-labels"].data.dtype == np.uint8

    train = open_widget(viewer, "Train")
    assert train.image.layer.name == "train-volume"
    assert train.labels.layer.name == "train-labels"
    qtbot.waitUntil(lambda: train.classes.values == (0, 255), timeout=WAIT)
    assert "255 class 1" in train.classes.text()
    set_options(train, steps=30, **SMALL)
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "All steps are done" in train.status.text()
    (run,) = runs_folder.iterdir()
    assert run.name.endswith("train-volume")
    assert (run / "model.safetensors").exists()
    assert not list(run.glob(".pixels-*"))

    click(qtbot, train.predict_button)
    predict: PredictWidget = viewer.window.dock_widgets[f"Predict ({PLUGIN})"]
    assert predict.model.path() == run
    assert "2 classes (0, 255)" in predict.about.text()
    predict.probabilities.setChecked(True)
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    layer = viewer.layers["train-volume prediction"]
    assert set(np.unique(layer.data)) <= {0, 255}
    assert layer.data.dtype == np.uint8
    np.testing.assert_array_equal(layer.scale, (50, 4, 4))
    assert layer.units == viewer.layers["train-volume"].units
    shares = viewer.layers["train-volume P(255)"].data
    np.testing.assert_array_equal(layer.data == 255, shares > 0.5)

    path = tmp_path / "result.labels.tif"
    assert layer.save(str(path)) == [str(path)]  # the long ending is ours
    again = open_stack(path)
    np.testing.assert_array_equal(np.asarray(again), layer.data)
    assert again.dtype == np.uint8
    assert again.pixel_size == {"Z": 50, "Y": 4, "X": 4}
    assert again.unit == "nm"

    copy = tmp_path / "result train-labels.tif"
    path.rename(copy)
    (reopened,) = viewer.open(copy, plugin=PLUGIN)
    np.testing.assert_array_equal(reopened.data, layer.data)
    np.testing.assert_array_equal(reopened.scale, layer.scale)


def test_stop_keeps_the_model(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, runs_folder: Path
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    predict = open_widget(viewer, "Predict")
    set_options(train, **SMALL)
    begin(qtbot, train)
    folder = train.run.path()
    click(qtbot, predict.predict_button)
    assert "no model" in notes()[-1]
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "Stopped" in train.status.text()
    assert train.plot._loss
    assert predict.model.path() == folder
    assert (folder / "model.safetensors").exists()
    assert train.train_button.text() == "&Train"
    assert train.run.path() != folder


def test_closing_the_dock_ends_the_training_and_keeps_the_run(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    is_running: Callable[[int], bool],
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    session, run = session_of(viewer), train.run.path()
    set_options(train, **SMALL)
    begin(qtbot, train)
    pid = session.worker.pid
    viewer.window.remove_dock_widget(train)
    del train
    qtbot.waitUntil(lambda: session.worker.pid == 0, timeout=WAIT)
    assert not is_running(pid)
    assert (run / "model.safetensors").exists()
    assert (run / "last.safetensors").exists()
    assert not list(run.glob(".pixels-*"))


def test_closing_the_viewer_ends_the_worker(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_worker: object,
    is_running: Callable[[int], bool],
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    open_widget(viewer, "Predict")
    session, run = session_of(viewer), train.run.path()
    begin(qtbot, train)
    pid = session.worker.pid
    assert pid > 0
    del train
    viewer.close()
    qtbot.waitUntil(lambda: session.worker.pid == 0, timeout=WAIT)
    assert not is_running(pid)
    qtbot.waitUntil(lambda: not list(run.glob(".pixels-*")), timeout=WAIT)


def test_closing_one_of_two_docks_leaves_the_worker(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    train, predict = (open_widget(viewer, name) for name in ("Train", "Predict"))
    worker = session_of(viewer).worker
    qtbot.waitUntil(lambda: worker.pid > 0, timeout=WAIT)
    pid = worker.pid
    viewer.window.remove_dock_widget(predict)
    assert worker.pid == pid
    assert not worker._closing
    viewer.window.remove_dock_widget(train)
    qtbot.waitUntil(lambda: worker.pid == 0, timeout=WAIT)


def test_a_killed_worker_is_explained_and_the_run_resumed(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    begin(qtbot, train)
    folder = train.run.path()
    os.kill(session_of(viewer).worker.pid, signal.SIGKILL)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "was killed" in notes()[-1]
    assert f"kept in {folder}: press Resume" in notes()[-1]
    assert train.train_button.text() == "Resum&e"
    assert train.run.path() == folder
    begin(qtbot, train)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)


def test_a_killed_training_really_goes_on(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    set_options(train, steps=40, checkpoint_every=0, **SMALL)
    begin(qtbot, train)
    folder = train.run.path()
    qtbot.waitUntil((folder / "last.json").exists, timeout=WAIT)
    os.kill(session_of(viewer).worker.pid, signal.SIGKILL)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    set_options(train, batch_size=1)
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "batch_size was 2, not 1" in notes()[-1]
    assert "Empty the field Run folder to start a new run" in notes()[-1]
    assert train.run.path() == folder
    set_options(train, batch_size=2, steps=45)
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert train.plot._loss[-1][0] == 45
    assert "All steps are done" in train.status.text()
    assert (folder / "model.safetensors").exists()


def test_after_a_death_a_new_run_is_an_empty_field_away(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    begin(qtbot, train)
    folder = train.run.path()
    os.kill(session_of(viewer).worker.pid, signal.SIGKILL)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "smaller batch, need a new run: empty the field" in notes()[-1]
    train.run.line.clear()
    assert train.train_button.text() == "&Train"
    begin(qtbot, train)
    assert train.run.path() != folder
    assert train.run.path().parent == folder.parent
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)


def test_a_chosen_run_is_resumed_with_its_options_and_a_new_time(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_worker: object,
    tmp_path: Path,
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    stored = TrainingConfig(
        budget="10m", width=8, learning_rate=1.5e-7, zero_is_unlabelled=True
    )
    text = json.dumps({"options": stored.to_dict()})
    (tmp_path / "config.json").write_text(text)
    train.run.edited = True  # as when it is chosen in the dialog
    train.run.line.setText(str(tmp_path))
    assert train.train_button.text() == "Resum&e"
    request = train._make_job()._request
    assert request["resume"]
    time = {"budget": "600s", "steps": None, "epochs": None, "steps_per_epoch": None}
    assert request["options"] == time
    train.budget.setValue(60)
    set_options(train, batch_size=1)
    sent = train._make_job()._request["options"]
    assert sent == {**time, "budget": "3600s", "batch_size": 1}


def test_what_a_run_folder_holds_is_left_alone(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_worker: object,
    tmp_path: Path,
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    mine = tmp_path / "run" / "pixels" / "mine.tif"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    train.run.line.clear()
    qtbot.keyClicks(train.run.line, str(tmp_path / "run"))
    begin(qtbot, train)
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert mine.read_text() == "years of work"
    assert not list((tmp_path / "run").glob(".pixels-*"))

    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").touch()
    train.run.line.clear()
    qtbot.keyClicks(train.run.line, str(other))
    click(qtbot, train.train_button)
    assert "holds another run or model" in notes()[-1]
    assert [each.name for each in other.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("name", ["fails", "exits"])
def test_errors_of_the_worker_become_notifications(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_worker: object,
    name: str,
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer, name)
    train = open_widget(viewer, "Train")
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    expected = {"fails": "Too few pixels.", "exits": "ended with code 3: cannot go on"}
    assert expected[name] in notes()[-1]
    assert expected[name] in train.status.text()
    assert train.train_button.isEnabled()


def test_a_folder_that_cannot_be_written_is_said(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_worker: object,
    tmp_path: Path,
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    (tmp_path / "file").touch()
    train.run.line.clear()
    qtbot.keyClicks(train.run.line, str(tmp_path / "file" / "run"))
    click(qtbot, train.train_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert "could not be written to" in notes()[-1]
    assert str(tmp_path / "file" / "run") in notes()[-1]


def test_stop_before_the_first_step_leaves_nothing_behind(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    click(qtbot, train.train_button)
    run = train.run.last
    click(qtbot, train.stop_button)
    qtbot.waitUntil(idle(train), timeout=WAIT)
    assert train.status.text() == "Stopped before the first step."
    assert not list(run.glob(".pixels-*"))
    assert not session_of(viewer).worker.busy


def test_what_is_missing_is_said(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    train, predict = (open_widget(viewer, name) for name in ("Train", "Predict"))
    click(qtbot, train.train_button)
    assert "no image layer to train on" in notes()[-1]
    click(qtbot, predict.predict_button)
    assert "no image layer to predict" in notes()[-1]

    viewer.add_image(np.zeros((4, 32, 32)), name="a")
    click(qtbot, train.train_button)
    assert "no labels layer" in notes()[-1]
    click(qtbot, predict.predict_button)
    assert "no model to predict with" in notes()[-1]

    viewer.add_labels(np.zeros((4, 32, 30), np.uint8), name="b")
    qtbot.waitUntil(
        lambda: "at least two classes" in train.classes.text(), timeout=WAIT
    )
    click(qtbot, train.train_button)
    assert "(4, 32, 32)" in notes()[-1]
    assert "(4, 32, 30)" in notes()[-1]

    viewer.layers.clear()
    viewer.add_image(np.zeros((1, 1, 2, 8, 8)), name="five")
    viewer.add_labels(np.zeros((8, 8), np.uint8))
    click(qtbot, train.train_button)
    assert "'five' has 5 dimensions" in notes()[-1]

    viewer.layers.clear()
    add_tissue(viewer)
    set_options(train, steps=3, epochs=2)
    click(qtbot, train.train_button)
    assert "steps is 3 and epochs is 2" in notes()[-1]
    assert len(notes()) == 7
    assert train.train_button.isEnabled()


def test_a_preset_enters_its_options(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    train = open_widget(make_napari_viewer(), "Train")
    assert train.preset.currentText() == "Quick"
    assert train.budget.budget() == "120s"
    usual = train.advanced.values()
    set_options(train, ignore=[7])
    choose(qtbot, train.preset, "As in the Keras ISBI example")
    entered = train.advanced.values()
    assert TrainingConfig.from_dict(
        {"preset": "keras-isbi", "ignore": [7]}
    ) == TrainingConfig.from_dict(entered)
    assert not train.budget.isEnabled()  # it counts epochs
    choose(qtbot, train.preset, "Patches of many scales")
    set_options(train, learning_rate=0.5)
    assert train.advanced.values() == {
        **usual,
        "ignore": [7],
        "preset": "multiscale",
        "multiscale": True,
        "learning_rate": 0.5,
    }
    choose(qtbot, train.preset, "Own")
    assert train.advanced.values() == {**usual, "preset": None, "ignore": [7]}


def test_the_presets_say_how_long_and_the_user_may_say_otherwise(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    choose(qtbot, train.preset, "Good")
    assert train._make_job()._request["options"]["budget"] == "600s"
    choose(qtbot, train.preset, "Best: while it improves")
    sent = train._make_job()._request["options"]
    assert (sent["budget"], sent["schedule"], sent["patience"]) == (
        "3600s",
        "plateau",
        6,
    )
    train.budget.setFocus()
    train.budget.selectAll()
    qtbot.keyClicks(train.budget, "7")
    sent = train._make_job()._request["options"]
    assert (sent["preset"], sent["budget"]) == ("best", "420s")
    choose(qtbot, train.preset, "As in the 2015 paper")
    sent = train._make_job()._request["options"]
    assert (sent["network"], sent["patience"]) == ("unet-2015", None)


def test_a_model_that_is_gone_or_does_not_fit_is_explained(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, runs_folder: Path
) -> None:
    from napari_unet import Model
    from napari_unet.config import NetworkConfig
    from napari_unet.data import Classes
    from napari_unet.networks import build_network

    config = NetworkConfig(channels=3, depth=1, width=4)
    folder = runs_folder / "colour"
    model = Model(build_network(config), config, Classes((0, 255)))
    model.save(folder / "model.safetensors")
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((40, 40), np.uint8), name="grey")
    predict = open_widget(viewer, "Predict")
    assert "3 channels" in predict.about.text()
    click(qtbot, predict.predict_button)
    qtbot.waitUntil(idle(predict), timeout=WAIT)
    assert "expects 3" in notes()[-1]
    assert [layer.name for layer in viewer.layers] == ["grey"]

    shutil.rmtree(folder)
    click(qtbot, predict.predict_button)
    assert str(folder) in notes()[-1]


def test_classes_follow_the_brush_and_the_meaning_of_zero(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    labels = viewer.add_labels(np.repeat([[0, 1]], 8, axis=0).astype(np.uint8))
    train = open_widget(viewer, "Train")
    qtbot.waitUntil(lambda: train.classes.values == (0, 1), timeout=WAIT)
    assert train.classes.text() == "0 class 0 50.0 %\n1 class 1 50.0 %"
    labels.paint((0, 0), 2)
    qtbot.waitUntil(lambda: train.classes.values == (0, 1, 2), timeout=WAIT)
    labels.undo()
    qtbot.waitUntil(lambda: train.classes.values == (0, 1), timeout=WAIT)
    labels.redo()
    qtbot.waitUntil(lambda: train.classes.values == (0, 1, 2), timeout=WAIT)
    train.zero.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "0 not annotated" in train.classes.text(), timeout=WAIT)
    assert "1 class 0" in train.classes.text()
    viewer.layers.remove(labels)
    assert train.classes.text() == "Choose a labels layer."


def test_the_meaning_of_zero_can_be_taken_back(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    viewer.add_labels(np.repeat([[0, 255]], 8, axis=0).astype(np.uint8))
    train = open_widget(viewer, "Train")
    qtbot.waitUntil(lambda: train.classes.values == (0, 255), timeout=WAIT)
    train.zero.setCurrentIndex(1)
    with qtbot.waitSignal(train.classes.counted, timeout=WAIT):
        pass
    assert train.classes.values == ()
    assert train.zero.isEnabled()
    train.zero.setCurrentIndex(0)
    qtbot.waitUntil(lambda: train.classes.values == (0, 255), timeout=WAIT)
    viewer.layers[0].data = np.repeat([[1, 2]], 8, axis=0).astype(np.uint8)
    qtbot.waitUntil(lambda: train.classes.values == (1, 2), timeout=WAIT)
    assert not train.zero.isEnabled()


def test_layers_are_chosen_by_themselves_and_the_choice_is_kept(
    make_napari_viewer: Callable[..., Viewer], fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    train = open_widget(viewer, "Train")
    assert train.image.layer is None
    add_tissue(viewer)
    assert train.image.layer.name == "tissue"
    assert train.labels.layer.name == "truth"
    viewer.add_labels(np.zeros((4, 96, 96), np.uint8), name="more")
    assert train.labels.layer.name == "truth"
    viewer.layers["truth"].name = "renamed"
    assert train.labels.currentText() == "renamed"
    viewer.layers.remove("renamed")
    assert train.labels.layer.name == "more"
    # A result of ours is not what one wants to learn from.
    viewer.add_labels(
        np.zeros((4, 96, 96), np.uint8), metadata={"napari-unet model": "x"}
    )
    viewer.window.remove_dock_widget(train)
    assert open_widget(viewer, "Train").labels.layer.name == "more"


def test_regression_learns_from_images_too(
    make_napari_viewer: Callable[..., Viewer], fake_worker: object
) -> None:
    viewer = make_napari_viewer()
    train = open_widget(viewer, "Train")
    add_tissue(viewer)
    viewer.add_image(np.zeros((4, 96, 96), np.float32), name="depth")
    assert [train.labels.itemText(i) for i in range(train.labels.count())] == ["truth"]
    train.advanced.enter({"task": "regression"})
    names = [train.labels.itemText(i) for i in range(train.labels.count())]
    assert names == ["tissue", "truth", "depth"]
    assert train.classes.isHidden()
    train.labels.choose(viewer.layers["depth"])
    train.advanced.enter({"task": "classes"})
    assert train.labels.layer.name == "truth"
    assert not train.classes.isHidden()


def add_cells(viewer: Viewer) -> None:
    """A volume of bright boxes, numbered, with voxels twice as deep as wide."""
    numbers = np.zeros((8, 32, 32), np.uint16)
    for number, place in {3: (2, 2), 7: (18, 18), 9: (2, 18)}.items():
        numbers[1:7, *(slice(first, first + 12) for first in place)] = number
    noise = np.random.default_rng(0).normal(size=numbers.shape)
    scale = (2, 1, 1)  # without units
    viewer.add_image((numbers > 0) * 10.0 + noise, name="cells", scale=scale)
    viewer.add_labels(numbers, name="numbers", scale=scale)


def test_objects_of_a_volume_are_learnt_and_found(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    from napari_unet.model import read_info

    viewer = make_napari_viewer()
    add_cells(viewer)
    train, predict = (open_widget(viewer, name) for name in ("Train", "Predict"))
    objects = train.advanced.field("objects")
    qtbot.waitUntil(lambda: not objects.isHidden(), timeout=WAIT)
    set_options(train, network="unet-3d", objects="border", border_width=1, steps=60)
    set_options(train, depth=1, width=8, patch_size=32, patch_depth=4, validation=0.0)
    set_options(train, averaging=0.0, augment="light")
    run_to_the_end(qtbot, train, train.train_button)
    info = read_info(train.run.last)
    assert info["network"]["anisotropy"] == 2
    assert predict.advanced.values()["object_dims"] == 3
    assert predict.objects.isChecked()
    run_to_the_end(qtbot, predict, predict.predict_button)
    found = viewer.layers["cells objects"]
    middles = [found.data[4, y, x] for y, x in ((8, 8), (24, 24), (8, 24))]
    assert len(set(middles) - {0}) == 3
    assert found.data.dtype == np.int32
    assert found.scale.tolist() == [2, 1, 1]


def test_values_are_learnt_and_predicted_as_an_image(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    half = viewer.layers["tissue"].data / 2.0
    viewer.add_image(half, name="half", scale=(50, 4, 4), units=("nm",) * 3)
    train, predict = (open_widget(viewer, name) for name in ("Train", "Predict"))
    set_options(train, task="regression", steps=20, **SMALL)
    train.image.choose(viewer.layers["tissue"])
    train.labels.choose(viewer.layers["half"])
    run_to_the_end(qtbot, train, train.train_button)
    assert predict.probabilities.isHidden()
    predict.image.choose(viewer.layers["tissue"])
    run_to_the_end(qtbot, predict, predict.predict_button)
    result = viewer.layers["tissue prediction"]
    assert isinstance(result, Image)
    assert np.corrcoef(result.data.ravel(), half.ravel())[0, 1] > 0.3


def test_examples_are_shown_as_layers_and_taken_away_with_a_click(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    train = open_widget(viewer, "Train")
    set_options(train, augment="none", **SMALL)
    run = train.run.path()
    assert train.preview_button.text() == "Show au&gmented examples"
    run_to_the_end(qtbot, train, train.preview_button)
    names = [layer.name for layer in viewer.layers]
    assert names == ["tissue", "truth", "tissue patches", "tissue patches labels"]
    assert viewer.layers.selection.active.name == "truth"
    patches, labels = viewer.layers["tissue patches"], viewer.layers[-1]
    assert patches.data.shape == labels.data.shape == (2 * 68, 4 * 68)
    assert set(np.unique(labels.data)) == {0, 255}
    membrane = labels.data[:64, :64] == 0
    assert patches.data[:64, :64][membrane].mean() < patches.data[:64, :64].mean()
    for box in (train.image, train.labels):
        assert [box.itemText(i) for i in range(box.count())] in (["tissue"], ["truth"])
    assert not run.exists()
    assert train.train_button.isEnabled()
    click(qtbot, train.preview_button)
    assert [layer.name for layer in viewer.layers] == ["tissue", "truth"]
    assert train.preview_button.text() == "Show au&gmented examples"
    set_options(train, patch_size=63)
    run_to_the_end(qtbot, train, train.preview_button)
    assert "patch_size is 63" in notes()[-1]
    viewer.layers.clear()


def test_a_time_is_not_asked_for_where_steps_are_given(
    make_napari_viewer: Callable[..., Viewer], fake_worker: object
) -> None:
    train = open_widget(make_napari_viewer(), "Train")
    assert train.budget.isEnabled()
    set_options(train, network="unet-2015", steps=5)
    assert not train.budget.isEnabled()
    train.advanced.field("width").given.setChecked(True)
    assert train.advanced.values()["width"] == 64


def test_the_synthetic_sample_opens(make_napari_viewer: Callable[..., Viewer]) -> None:
    viewer = make_napari_viewer()
    image, labels = viewer.open_sample(PLUGIN, "synthetic_em")
    assert image.data.shape == labels.data.shape
    assert tuple(image.scale) == (50, 4, 4)
    assert set(np.unique(labels.data)) == {0, 255}


def test_the_isbi_sample_opens_from_its_files(
    make_napari_viewer: Callable[..., Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, labels = synthetic_em(2, 64)
    stacks = {"train-volume": image, "train-labels": labels, "test-volume": image}
    monkeypatch.setattr("napari_unet.plugin.samples.fetch_isbi2012", lambda: stacks)
    viewer = make_napari_viewer()
    assert len(viewer.open_sample(PLUGIN, "isbi2012_train")) == 2
    assert len(viewer.open_sample(PLUGIN, "isbi2012_test")) == 1
