"""What is copied from the widgets, run in a process of its own, gives the same."""

from __future__ import annotations

import gc
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import (
    COMMAND,
    DONE_COMMAND,
    DONE_PYTHON,
    PYTHON,
    WAIT,
    add_tissue,
    assert_same_model,
    choose,
    click,
    copied,
    idle,
    notes,
    open_widget,
    run,
    save_model,
)
from napari.layers import Labels
from qtpy.QtCore import QTimer
from safetensors.numpy import load_file

from napari_unet.data import Classes, open_stack, synthetic_em, write_stack
from napari_unet.errors import UNetError
from napari_unet.plugin.replay.sources import LayerRef
from napari_unet.plugin.train.pairs import FilePair

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]

SMALL = {"depth": 1, "width": 4, "patch_size": 32, "batch_size": 2}


def train(qtbot: QtBot, viewer: Viewer, **options: Any) -> Any:
    widget = open_widget(viewer, "Train")
    widget.advanced.enter({**SMALL, "steps": 6, **options})
    click(qtbot, widget.train_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    assert "All steps are done" in widget.status.text()
    return widget


def plain_bytes(path: Path) -> bytes:
    """A file without the number that OME-TIFF gives to each."""
    return re.sub(rb"urn:uuid:[0-9a-f-]{36}", b"", path.read_bytes())


def write_sample(folder: Path) -> None:
    for stack, name in zip(synthetic_em(4, 96), ("em", "cells"), strict=True):
        write_stack(
            folder / f"{name}.tif",
            np.asarray(stack),
            shape=stack.shape,
            axes="ZYX",
            dtype="uint8",
            pixel_size=stack.pixel_size,
            unit="nm",
        )


def test_a_training_on_painted_layers_again(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer, "tissue ä 'b'")
    widget = train(qtbot, viewer, seed=7, ignore=[3])
    (first,) = runs_folder.iterdir()
    before = np.array(viewer.layers["truth"].data)
    np.testing.assert_array_equal(np.asarray(open_stack(first / "labels.tif")), before)
    viewer.layers["truth"].data[:, :50] = 255  # what comes later is not what was done
    for key in (DONE_COMMAND, DONE_PYTHON):
        text = copied(qtbot, widget, key)
        assert "is in no file as it is now: see" in widget.status.text()
        run(text, tmp_path)
    again = sorted(runs_folder.glob("*again*"))
    assert len(again) == 2
    for each in again:
        assert_same_model(first, each)
    assert sorted(each.name for each in first.glob("*.tif")) == [
        "image.tif",
        "labels.tif",
    ]


def test_a_training_on_files_names_them(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "my däta"
    folder.mkdir()
    write_sample(folder)
    viewer = make_napari_viewer()
    viewer.open(folder / "em.tif", plugin="napari")
    (labels,) = viewer.open(folder / "cells.tif", plugin="napari", layer_type="labels")
    widget = train(qtbot, viewer)
    (first,) = runs_folder.iterdir()
    assert not list(first.glob("*.tif"))
    text = copied(qtbot, widget, DONE_COMMAND)
    words = shlex.split(text)
    assert words[2:4] == [str(folder / "em.tif"), str(folder / "cells.tif")]
    run(text, tmp_path)
    (again,) = runs_folder.glob("*again*")
    assert_same_model(first, again)

    labels.data[0, 0, :3] = 255 - labels.data[0, 0, :3]  # painted on since it was read
    words = shlex.split(copied(qtbot, widget, COMMAND))
    assert words[2] == str(folder / "em.tif")
    kept = Path(words[3])
    assert kept.name == "labels.tif"
    assert str(kept) in widget.status.text()
    np.testing.assert_array_equal(np.asarray(open_stack(kept)), labels.data)


def test_a_training_on_several_images(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    write_sample(tmp_path)  # 3.6 nm a pixel, the layers 4 nm
    viewer = make_napari_viewer()
    add_tissue(viewer)
    viewer.add_image(viewer.layers["tissue"].data[:2, 8:] // 2, name="other")
    painted = viewer.add_labels(viewer.layers["truth"].data[:2, 8:], name="strokes")
    widget = open_widget(viewer, "Train")
    choose(qtbot, widget.image, "other")
    assert widget.labels.layer == painted
    click(qtbot, widget.data.pairs.add_layers)
    widget.data.pairs.add(FilePair(tmp_path / "em.tif", tmp_path / "cells.tif"))
    choose(qtbot, widget.image, "tissue")
    widget.advanced.enter({**SMALL, "steps": 6})
    click(qtbot, widget.train_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    (first,) = runs_folder.iterdir()
    painted.data[:, :50] = 255  # what comes later is not what was done
    for key in (DONE_COMMAND, DONE_PYTHON):
        text = copied(qtbot, widget, key)
        assert str(tmp_path / "cells.tif") in text
        run(text, tmp_path)
    again = sorted(runs_folder.glob("*again*"))
    assert len(again) == 2
    for each in again:
        assert_same_model(first, each)


def test_a_training_to_come_gives_what_the_window_gives(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    widget = open_widget(viewer, "Train")
    widget.advanced.enter({**SMALL, "steps": 5, "preset": "multiscale"})
    text = copied(qtbot, widget, PYTHON)
    assert "multiscale" in text
    run(text, tmp_path)
    (theirs,) = runs_folder.iterdir()
    widget.run.line.clear()
    qtbot.keyClicks(widget.run.line, str(tmp_path / "ours"))
    click(qtbot, widget.train_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    assert_same_model(tmp_path / "ours", theirs)


def test_a_run_that_was_resumed_is_said_from_its_start(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    widget = train(qtbot, viewer, schedule="constant")
    (first,) = runs_folder.iterdir()
    widget.run.line.clear()
    qtbot.keyClicks(widget.run.line, str(first))
    widget.advanced.enter({"steps": 9})
    assert "--resume" in copied(qtbot, widget, COMMAND)
    click(qtbot, widget.train_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    run(copied(qtbot, widget, DONE_COMMAND), tmp_path)
    (again,) = runs_folder.glob("*again*")
    ours, theirs = (load_file(each / "last.safetensors") for each in (first, again))
    for name in ours:
        if name.startswith("network"):
            assert ours[name].tobytes() == theirs[name].tobytes(), name


def test_a_time_is_no_promise(make_napari_viewer: MakeViewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    add_tissue(viewer)
    widget = open_widget(viewer, "Train")
    assert "--budget 120s" in copied(qtbot, widget, COMMAND)
    assert "does not always do as many steps" in widget.status.text()


def test_a_prediction_again(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    names = ("background", "foreground", "border")
    save_model(runs_folder / "model", Classes((0, 1, 2), names), depth=2)
    write_sample(tmp_path)
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "em.tif", plugin="napari")
    viewer.dims.set_current_step(0, 2)
    widget = open_widget(viewer, "Predict")
    widget.probabilities.setChecked(True)
    choose(qtbot, widget.where, "current section")
    click(qtbot, widget.predict_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    line = copied(qtbot, widget, DONE_COMMAND)
    run(line, tmp_path)
    script = copied(qtbot, widget, DONE_PYTHON)
    run(script, tmp_path)
    outs = [tmp_path / f"em prediction{more}" for more in ("", " 2")]
    assert str(outs[0]) in line
    assert str(outs[1]) in script
    for kind in ("labels", "objects", "prob"):
        first, second = (plain_bytes(out / f"em.{kind}.tif") for out in outs)
        assert first == second, kind
    for layer, kind in (("prediction", "labels"), ("objects", "objects")):
        written = np.asarray(open_stack(outs[0] / f"em.{kind}.tif"))
        shown = viewer.layers[f"em {layer}"].data
        assert written.dtype == shown.dtype
        np.testing.assert_array_equal(written, shown)


def test_a_prediction_of_pixels_in_no_file(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    save_model(runs_folder / "model")
    viewer = make_napari_viewer()
    add_tissue(viewer)
    widget = open_widget(viewer, "Predict")
    run(copied(qtbot, widget, COMMAND), tmp_path)
    assert "image.tif" in widget.status.text()
    click(qtbot, widget.predict_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    (written,) = runs_folder.glob("*/image.labels.tif")
    stack = open_stack(written)
    assert (stack.pixel_size, stack.unit) == ({"Z": 50, "Y": 4, "X": 4}, "nm")
    np.testing.assert_array_equal(
        np.asarray(stack), viewer.layers["tissue prediction"].data
    )


def test_a_layer_may_be_gone() -> None:
    layer = Labels(np.zeros((4, 5), np.uint8), name="mine")
    ref = LayerRef(layer)
    assert ref.given().stack.shape == (4, 5)
    del layer
    gc.collect()
    with pytest.raises(UNetError, match="'mine' is gone"):
        ref.given()


def test_what_is_missing_is_said(make_napari_viewer: MakeViewer, qtbot: QtBot) -> None:
    widget = open_widget(make_napari_viewer(), "Train")
    QTimer.singleShot(200, lambda: qtbot.keyClick(widget.replay.menu(), COMMAND))
    click(qtbot, widget.replay)
    qtbot.waitUntil(lambda: notes() != [], timeout=WAIT)
    assert "no image layer" in notes()[-1]
    assert widget.replay.isEnabled()


def test_objects_again(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    rows, columns = np.ogrid[:40, :40]
    mask = (rows - 12) ** 2 + (columns - 12) ** 2 < 90
    mask |= (rows - 25) ** 2 + (columns - 25) ** 2 < 90  # they touch
    viewer.add_labels(3 * mask.astype(np.uint8), name="mask", scale=(0.5, 0.5))
    widget = open_widget(viewer, "Objects")
    widget.form.field("minimum_size").setValue(9)
    click(qtbot, widget.apply_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    expected = np.asarray(viewer.layers["mask objects"].data)
    assert expected.max() == 2
    for key in (DONE_COMMAND, DONE_PYTHON):
        run(copied(qtbot, widget, key), tmp_path)
        (found,) = runs_folder.glob("*/objects*.tif")
        np.testing.assert_array_equal(np.asarray(open_stack(found)), expected)
        found.unlink()
