"""The parts of the plugin that need no viewer."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from by_hand import save_model
from qtpy.QtWidgets import QComboBox
from superqt import QCollapsible

from napari_unet.config import NETWORKS, PredictionConfig, TrainingConfig, options
from napari_unet.data import Classes, Stack
from napari_unet.errors import StackFormatError
from napari_unet.events import PatchesDrawn
from napari_unet.plugin import pixels, runs
from napari_unet.plugin.layers import layer_from_stack
from napari_unet.plugin.parts.fields import BudgetField, FolderField, clock
from napari_unet.plugin.parts.forms import OptionsForm
from napari_unet.plugin.parts.models import ModelChoice, describe, told_by
from napari_unet.plugin.pixel_job import PixelJob
from napari_unet.plugin.results import Target, result_layers
from napari_unet.plugin.train.preview import PatchPlace
from napari_unet.plugin.worker_client import WorkerClient

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

NOW = datetime(2025, 3, 4, 15, 6, tzinfo=UTC)


@pytest.mark.parametrize("config", [TrainingConfig, PredictionConfig])
def test_forms_enter_every_default(config: type, qtbot: QtBot) -> None:
    form = OptionsForm(options(config))
    qtbot.addWidget(form)
    assert config.from_dict(form.values()) == config()


def test_forms_take_values_back(qtbot: QtBot) -> None:
    config = TrainingConfig(
        steps=7, device="cpu", flip=False, width=8, dropout=0.5, ignore=(-1, 255)
    )
    form = OptionsForm(options(TrainingConfig))
    qtbot.addWidget(form)
    form.enter({**config.to_dict(), "unknown": 1})
    assert form.values() == config.to_dict()
    form.enter({"steps": None})
    assert form.values()["steps"] is None


def test_forms_allow_what_options_allow(qtbot: QtBot) -> None:
    form = OptionsForm(options(TrainingConfig))
    qtbot.addWidget(form)
    rate = form.field("learning_rate")
    assert form.values()["learning_rate"] is None
    rate.given.setChecked(True)
    assert rate.number.value() == 1e-7  # no usual one: it depends on the optimizer
    form.suggest({"learning_rate": 0.01, "batch_size": 7})
    assert form.values()["learning_rate"] == 1e-7  # what is given stays
    assert form.values()["batch_size"] == 2
    rate.number.setValue(2e-3)
    assert rate.number.text() == "0.002"
    rate.number.setValue(1e-7)
    assert form.values()["learning_rate"] == 1e-7
    assert rate.number.text() == "0.00000010"
    rate.number.setValue(5)
    assert form.values()["learning_rate"] == 1
    assert form.values()["class_balance"] is None  # neither yes nor no
    form.enter({"class_balance": False})
    assert form.values()["class_balance"] is False
    steps = form.field("steps")
    with qtbot.waitSignal(form.changed):
        steps.given.setChecked(True)
    steps.number.setValue(30)
    assert form.values()["steps"] == 30
    steps.given.setChecked(False)
    assert form.values()["steps"] is None


def test_budgets_are_ones_the_config_reads(qtbot: QtBot) -> None:
    field = BudgetField()
    qtbot.addWidget(field)
    assert TrainingConfig(budget=field.budget()).budget == "120s"
    field.setValue(0.5)
    assert field.budget() == "30s"
    assert field.lineEdit().text() == "0.5 min"
    field.setValue(60)
    assert field.lineEdit().text() == "60 min"


def test_options_are_found_by_a_word(qtbot: QtBot) -> None:
    form = OptionsForm(options(TrainingConfig))
    qtbot.addWidget(form)
    form.show()
    groups = {each.text(): each for each in form.findChildren(QCollapsible)}
    assert not any(each.isExpanded() for each in groups.values())
    qtbot.keyClicks(form.search, "Elastic")
    assert [name for name in groups if groups[name].isVisible()] == ["Augmentation"]
    assert groups["Augmentation"].isExpanded()
    assert form.field("elastic_grid").isVisible()
    assert not form.field("gamma").isVisible()
    form.search.clear()
    assert all(each.isVisible() for each in groups.values())
    assert not any(each.isExpanded() for each in groups.values())
    few = OptionsForm(options(TrainingConfig)[:5])
    qtbot.addWidget(few)
    assert few.search.isHidden()


def test_clock() -> None:
    assert [clock(each) for each in (0, 59.6, 61, 3725)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:02:05",
    ]


def test_typing_a_folder_counts_as_editing(qtbot: QtBot, tmp_path: Path) -> None:
    field = FolderField("hint")
    qtbot.addWidget(field)
    field.suggest(tmp_path / "a")
    assert not field.edited
    field.line.clear()
    qtbot.keyClicks(field.line, "~/b")
    assert field.edited
    assert field.path() == Path.home() / "b"


def test_new_runs_are_named_after_time_and_image(runs_folder: Path) -> None:
    first = runs.new_run("my/cells: 1.", NOW)
    assert first == runs_folder / "2025-03-04 15-06 my cells 1"
    first.mkdir()
    assert runs.new_run("my/cells: 1.", NOW).name.endswith("my cells 1 2")
    assert runs.new_run("", NOW).name == "2025-03-04 15-06"


def test_runs_go_to_the_documents_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # of the folder that tests use otherwise
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert runs.runs_folder() == tmp_path / "napari-unet runs"
    (tmp_path / "Documents").mkdir()
    assert runs.runs_folder() == tmp_path / "Documents" / "napari-unet runs"


def test_trained_runs_are_listed_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(("old", "new", "untrained")):
        (tmp_path / name).mkdir()
        if name != "untrained":
            model = tmp_path / name / "model.safetensors"
            model.touch()
            os.utime(model, (age, age))
    assert [each.name for each in runs.trained_runs(tmp_path)] == ["new", "old"]
    assert runs.trained_runs(tmp_path / "missing") == []


def test_stored_options(tmp_path: Path) -> None:
    assert runs.stored_options(tmp_path) is None
    (tmp_path / "config.json").write_text('{"options": {"depth": 2}}')
    assert runs.stored_options(tmp_path) == {"depth": 2}
    (tmp_path / "config.json").write_text('{"options": [2]}')
    assert runs.stored_options(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    assert runs.stored_options(tmp_path) is None


class Lazy:
    """Counts how much is read at once."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        self.ndim = pixels.ndim
        self.reads: list[int] = []

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        part = self.pixels[key]
        self.reads.append(part.nbytes)
        return part


def test_pixels_are_copied_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "_CHUNK", 100)
    lazy = Lazy(np.arange(7 * 4 * 10, dtype=">u2").reshape(7, 4, 10))
    files = {tmp_path / "sub" / "a.npy": Stack(lazy, "ZYX")}
    assert pixels.write_pixels(files, threading.Event())
    copy = np.load(tmp_path / "sub" / "a.npy")
    np.testing.assert_array_equal(copy, lazy.pixels)
    assert copy.dtype == np.dtype("uint16")
    assert max(lazy.reads) <= 100
    pixels.remove(tmp_path / "sub")
    pixels.remove(tmp_path / "sub")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_viewer_left_is_swept_away(tmp_path: Path) -> None:
    first = pixels.private_folder(tmp_path)
    name = first.name.split(str(os.getpid()))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / str(dead.pid).join(name)
    elsewhere = tmp_path / f".pixels-otherhost-{dead.pid}-abc"
    for folder in (left, elsewhere):
        folder.mkdir()
        (folder / "image.npy").write_bytes(b"0")
    second = pixels.private_folder(tmp_path)
    assert not left.exists()  # while those of living viewers, and of others, stay
    assert {*tmp_path.iterdir()} == {first, second, elsewhere}


def test_copying_stops_when_cancelled(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    lazy = Lazy(np.zeros((2, 2)))
    assert not pixels.write_pixels({tmp_path / "a.npy": Stack(lazy, "YX")}, cancelled)
    assert lazy.reads == []


INFO = {"classes": {"names": ["membrane", "cell"]}}


def test_results_become_layers_in_the_axes_of_the_image(tmp_path: Path) -> None:
    labels = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)  # Z, Y, X
    shares = np.stack([labels, labels + 1], axis=1).astype(np.float32)
    files = {}
    found = {"labels": labels, "probabilities": shares, "uncertainty": labels / 24}
    for name, each in found.items():
        files[name] = str(tmp_path / f"{name}.npy")
        np.save(files[name], each)
    target = Target("tissue", "YZX", {"scale": [1, 2, 3]})
    layers = result_layers(target, INFO, "m", files)
    assert [kind for _, _, kind in layers] == ["image", "image", "image", "labels"]
    names = ["P(membrane)", "P(cell)", "uncertainty", "prediction"]
    assert [meta["name"] for _, meta, _ in layers] == [f"tissue {n}" for n in names]
    assert all(meta["scale"] == [1, 2, 3] for _, meta, _ in layers)
    np.testing.assert_array_equal(layers[3][0], labels.transpose(1, 0, 2))
    np.testing.assert_array_equal(layers[1][0], labels.transpose(1, 0, 2) + 1)
    assert layers[3][0].dtype == np.uint16


def test_results_are_those_of_the_file_at_any_time(tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", np.zeros((2, 3), np.uint8))
    files = {"labels": str(tmp_path / "l.npy")}
    ((data, _, _),) = result_layers(Target("a", "YX", {}), INFO, "m", files)
    writer = np.lib.format.open_memmap(tmp_path / "l.npy", "r+")
    writer[1, 2] = 255
    assert data.tolist() == [[0, 0, 0], [0, 0, 255]]
    data[0, 0] = 7  # painted by the user
    assert writer[0, 0] == 7
    pixels.remove(tmp_path)
    assert data.tolist() == [[7, 0, 0], [0, 0, 255]]


def test_huge_sections_are_views_in_several_resolutions(tmp_path: Path) -> None:
    writer = np.lib.format.open_memmap(
        tmp_path / "l.npy", "w+", np.uint8, (2, 9000, 16)
    )
    files = {"labels": str(tmp_path / "l.npy")}
    ((levels, meta, _),) = result_layers(Target("a", "ZYX", {}), INFO, "m", files)
    assert meta["multiscale"]
    shapes = [(2, 9000, 16), (2, 4500, 8), (2, 2250, 4), (2, 1125, 2)]
    assert [each.shape for each in levels] == shapes
    writer[1, 8000, 8] = 5
    assert [int(each[1].max()) for each in levels] == [5, 5, 5, 5]


def test_predicted_values_become_an_image(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)  # Z, Y, X
    np.save(tmp_path / "l.npy", values)
    target = Target("tissue", "YZX", {"scale": [1, 2, 3]})
    info = {"classes": None, "scale": {"mean": 5.0, "deviation": 1.5}}
    files = {"prediction": str(tmp_path / "l.npy")}
    ((data, meta, kind),) = result_layers(target, info, "m", files)
    assert (kind, meta["name"], meta["scale"]) == (
        "image",
        "tissue prediction",
        [1, 2, 3],
    )
    assert meta["contrast_limits"] == (2, 8)
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, values.transpose(1, 0, 2))


def test_float_labels_become_whole_numbers() -> None:
    from napari.layers import Labels

    stack = Stack(np.array([[0, 1.0]]), "YX")
    data, meta, _ = layer_from_stack(stack, "labels")
    assert Labels(data, **meta).data.tolist() == [[0, 1]]
    assert layer_from_stack(stack, "image")[0].dtype == np.float64


def test_only_the_time_and_what_was_changed_is_sent_to_a_run() -> None:
    stored = {"budget": "120s", "steps": None, "width": 16, "scale": 1.23456789e-1}
    entered = {"budget": "120s", "steps": None, "width": 16, "scale": 0.12345679}
    assert runs.changes(entered, stored) == {"budget": "120s", "steps": None}
    entered |= {"width": 8, "scale": 0.1234}
    changed = runs.changes(entered, stored)
    assert changed == {"budget": "120s", "steps": None, "width": 8, "scale": 0.1234}


@pytest.mark.parametrize("do", ["train", "predict"])
def test_a_full_disk_is_said_with_a_way_out(
    tmp_path: Path, qtbot: QtBot, do: str
) -> None:
    job = PixelJob(WorkerClient(), {"do": do}, lambda _: {}, tmp_path / "pixels")
    said: list[str] = []
    job.failed.connect(said.append)
    job._on_unprepared(OSError("No space left on device"))
    assert "No space left on device" in said[0]
    assert ("choose another run folder" in said[0]) == (do == "train")
    job._on_unprepared(StackFormatError("a.tif is cut off."))
    assert "could not be read (a.tif is cut off.)" in said[1]


def test_models_are_described() -> None:
    info = {
        "classes": Classes((0, 255)).to_dict(),
        "network": {"channels": 3},
        "pixel_size": {"Z": 50, "Y": 4, "X": 4.5},
        "unit": "nm",
        "history": {"score": 0.87654},
    }
    assert describe(info) == (
        "2 classes (0, 255) · 3 channels · pixels of 4 × 4.5 nm "
        "· validation score 0.877"
    )
    assert describe({**info, "pixel_size": {}, "history": {}}).endswith("3 channels")
    assert describe({**info, "classes": None}).startswith("predicts values · 3")


def test_the_newest_model_is_chosen(
    qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    choice = ModelChoice()
    qtbot.addWidget(choice)
    choice.refresh()
    assert choice.path() is None
    run = runs_folder / "a"
    run.mkdir()
    (run / "model.safetensors").touch()
    choice.refresh()
    assert choice.path() == run
    choice.refresh(tmp_path / "elsewhere" / "model.safetensors")
    assert choice.path() == tmp_path / "elsewhere"
    choice.choose(tmp_path / "my.safetensors")
    assert choice.path() == tmp_path / "my.safetensors"
    assert choice.box.count() == 3


def test_what_is_held_out_of_other_annotations_is_said_anew(tmp_path: Path) -> None:
    """A model of whole masks may go on with the strokes of corrections."""
    model = save_model(tmp_path)
    told = TrainingConfig(loss="dice", steps=7, validation=0.1).to_dict()
    dataclasses.replace(model, history={"options": told}).save(
        tmp_path / "model.safetensors"
    )
    taken = told_by(tmp_path)
    assert taken["loss"] == "dice"
    assert not {"steps", "validation"} & taken.keys()


def test_options_are_not_forgotten_by_the_widgets() -> None:
    from napari_unet.plugin.train.options import _SHOWN_ELSEWHERE

    assert {each.name for each in dataclasses.fields(TrainingConfig)} > _SHOWN_ELSEWHERE


def test_a_suggested_word_can_be_replaced_by_another(qtbot: QtBot) -> None:
    form = OptionsForm(options(TrainingConfig))
    qtbot.addWidget(form)
    field = form.field("network")
    assert isinstance(field, QComboBox)
    assert [field.itemText(i) for i in range(field.count())] == list(NETWORKS)
    assert form.values()["network"] == "unet"
    form.enter({"network": "unet-resnet34"})
    assert form.values()["network"] == "unet-resnet34"


def test_numbers_left_out_start_from_what_is_usual(qtbot: QtBot) -> None:
    form = OptionsForm(options(TrainingConfig))
    qtbot.addWidget(form)
    form.suggest({"width": 64})
    assert form.values()["width"] is None
    for name, expected in {"width": 64, "depth": 4, "steps": 1000, "clip": 1}.items():
        field = form.field(name)
        assert field.number.isHidden()
        field.given.setChecked(True)
        assert not field.number.isHidden()
        assert form.values()[name] == expected


def test_options_are_grouped_as_in_the_config(qtbot: QtBot) -> None:
    form = OptionsForm(options(TrainingConfig), elsewhere=("network",))
    qtbot.addWidget(form)
    groups = {each.text(): each for each in form.findChildren(QCollapsible)}
    assert list(groups)[-1] == "Computing"
    assert groups["Network"].isAncestorOf(form.field("depth"))
    assert not groups["Network"].isAncestorOf(form.field("network"))
    assert groups["Loss"].isAncestorOf(form.field("border_sigma"))
    assert form.values() == TrainingConfig().to_dict()


def test_a_model_to_start_from_can_be_none(qtbot: QtBot, runs_folder: Path) -> None:
    run = runs_folder / "a"
    run.mkdir()
    (run / "model.safetensors").touch()
    form = OptionsForm(
        options(TrainingConfig), made={"init": ModelChoice("start afresh")}
    )
    qtbot.addWidget(form)
    assert form.values()["init"] is None
    form.field("init").box.setCurrentIndex(1)
    assert form.values()["init"] == str(run)
    form.enter({"init": "/elsewhere/b.safetensors"})
    assert form.values()["init"] == "/elsewhere/b.safetensors"
    form.enter({"init": None})
    assert form.values()["init"] is None


def test_patches_are_laid_out_right_of_the_image(tmp_path: Path) -> None:
    from napari.layers import Image

    layer = Image(
        np.zeros((9, 30, 50)), scale=(5, 2, 3), translate=(0, 7, 100), name="a"
    )
    place = PatchPlace.of(layer, Stack(layer.data, "ZYX", name="a"))
    images = np.arange(1, 6, dtype=np.float32)[:, None, None, None]
    np.save(tmp_path / "i.npy", np.broadcast_to(images, (5, 1, 6, 6)))
    labels = np.full((5, 2, 2), 255, np.uint8)  # of a network that crops 2 pixels
    np.save(tmp_path / "l.npy", labels)
    drawn = PatchesDrawn(str(tmp_path / "i.npy"), str(tmp_path / "l.npy"))
    (image, meta, _), (mask, _, kind) = place.layers(drawn)
    assert (meta["name"], kind) == ("a patches", "labels")
    assert image.shape == mask.shape == (20, 40)  # two rows of four, with gaps of 4
    assert image[::10, ::10].tolist() == [[1, 2, 3, 4], [5, 1, 1, 1]]
    assert np.argwhere(mask)[[0, -1]].tolist() == [[2, 2], [13, 3]]
    assert meta["scale"] == [2, 3]
    assert meta["translate"] == [7, 100 + 3 * 54]
    assert layer.translate.tolist() == [0, 7, 100]
