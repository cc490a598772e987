"""Finding and measuring objects as a person does, in a real window."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import add_tissue, choose, click, idle, notes, open_widget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_unet import open_stack
from napari_unet.plugin.objects.input import BORDER, CELLS, DISTANCE, PIECES, SPLIT
from napari_unet.plugin.objects.table import measurements_of
from napari_unet.plugin.parts.choices import MODEL_KEY, PREVIEW_KEY, RESULT_KEY
from napari_unet.plugin.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

WAIT = 20_000
DISCS = ((12, 12), (12, 29), (40, 40))  # the first two touch; radius 10
SCALE = {"scale": (0.5, 0.5), "units": ("um", "um")}


def discs() -> np.ndarray:
    rows, columns = np.ogrid[:56, :56]
    found = np.zeros((56, 56), np.uint8)
    for row, column in DISCS:
        found[(rows - row) ** 2 + (columns - column) ** 2 <= 100] = 1
    return found


def previews(viewer: Viewer) -> list[Any]:
    return [each for each in viewer.layers if PREVIEW_KEY in each.metadata]


def wait_for_preview(qtbot: QtBot, widget: Any, words: str) -> None:
    def said() -> None:
        assert widget.status.text() == words

    qtbot.waitUntil(said, timeout=WAIT)


def tick(qtbot: QtBot, box: Any) -> None:
    qtbot.keyClick(box, Qt.Key.Key_Space)


def run(qtbot: QtBot, widget: Any, button: Any) -> str:
    click(qtbot, button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    return str(widget.status.text())


def test_from_a_mask_to_a_saved_table(
    make_napari_viewer_proxy: Callable[..., Viewer],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    mask = discs()
    viewer.add_image(mask * np.uint8(40), name="nuclei", **SCALE)
    viewer.add_labels(mask, name="mask", **SCALE)
    widget = open_widget(viewer, "Objects")
    assert widget.input.layer.currentText() == "mask"
    assert widget.input.value.currentText() == "1"
    assert widget.input.method.currentText() == SPLIT

    tick(qtbot, widget.live)
    wait_for_preview(qtbot, widget, "3 objects in this section.")
    (preview,) = previews(viewer)
    assert preview.name == "mask objects (preview)"
    assert preview.data.max() == 3
    choose(qtbot, widget.input.method, PIECES)
    wait_for_preview(qtbot, widget, "2 objects in this section.")
    assert len(previews(viewer)) == 1
    size = widget.form.field("maximum_size")
    tick(qtbot, size.given)
    size.number.selectAll()
    qtbot.keyClicks(size.number, "400")  # one disc has 317 pixels, the pair some 600
    wait_for_preview(qtbot, widget, "1 objects in this section.")
    tick(qtbot, size.given)
    choose(qtbot, widget.input.method, SPLIT)
    wait_for_preview(qtbot, widget, "3 objects in this section.")

    said = run(qtbot, widget, widget.apply_button)
    assert said == "3 objects in the layer 'mask objects'."
    assert not previews(viewer)
    objects = viewer.layers["mask objects"]
    assert np.allclose(objects.scale, SCALE["scale"])
    assert objects.metadata[RESULT_KEY]["options"]["split"]

    assert widget.measure.labels.currentText() == "mask objects"
    assert widget.measure.image.currentText() == "nuclei"
    assert run(qtbot, widget, widget.measure.button) == "Measured 3 objects."
    table = measurements_of(viewer)
    assert table.model.rowCount() == 3
    assert objects.features["area_px"].tolist() == table.model.table["area_px"].tolist()
    assert "mean" in objects.features

    path = tmp_path / "nuclei.csv"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_: (str(path.with_suffix("")), "")
    )
    click(qtbot, table.save)
    with path.open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [row["mean"] for row in rows] == ["40"] * 3
    assert float(rows[2]["area_um2"]) == 317 / 4


def test_a_live_preview_comes_back_after_a_look_in_3d(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_labels(np.stack([discs()] * 3), name="mask")
    widget = open_widget(viewer, "Objects")
    tick(qtbot, widget.live)
    for section in (1, 2, 0):
        wait_for_preview(qtbot, widget, "3 objects in this section.")
        assert len(previews(viewer)) == 1
        viewer.dims.ndisplay = 3
        qtbot.waitUntil(lambda: not previews(viewer), timeout=WAIT)
        assert "as they are seen from above, in 2-D" in widget.status.text()
        viewer.dims.ndisplay = 2
        viewer.dims.set_current_step(0, section)


def click_on(qtbot: QtBot, viewer: Any, row: float, column: float) -> None:
    """Click in the canvas at a place of the world."""
    canvas = viewer.window._qt_viewer.canvas
    camera, size = viewer.scene.camera, canvas.native.size()
    y = (row - camera.center[-2]) * camera.zoom + size.height() / 2
    x = (column - camera.center[-1]) * camera.zoom + size.width() / 2
    from qtpy.QtCore import QPoint

    place = QPoint(round(x), round(y))
    qtbot.mouseMove(canvas.native, place)
    qtbot.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=place)


def test_rows_and_objects_select_each_other(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    labels = np.zeros((4, 60, 60), np.int32)
    labels[1, 10:20, 10:20] = 3
    labels[3, 30:50, 35:55] = 8
    place = {"scale": (5, 0.5, 0.5), "translate": (100, 0, 30), "units": ("um",) * 3}
    layer = viewer.add_labels(labels, name="cells", **place)
    widget = open_widget(viewer, "Objects")
    assert run(qtbot, widget, widget.measure.button) == "Measured 2 objects."
    view = measurements_of(viewer).view

    def click_row(row: int) -> None:
        place = view.visualRect(view.model().index(row, 0)).center()
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)

    click_row(1)
    assert layer.selected_label == 8
    assert viewer.dims.point[0] == 115
    assert np.allclose(viewer.scene.camera.center[-2:], (39.5 / 2, 30 + 44.5 / 2))
    click_row(0)
    assert (layer.selected_label, viewer.dims.point[0]) == (3, 105)
    # sorted by area, the largest first, a row is still that of its object
    header = view.horizontalHeader()
    view.sortByColumn(4, Qt.SortOrder.DescendingOrder)
    assert header.count() > 10
    click_row(0)
    assert layer.selected_label == 8

    viewer.dims.set_point(0, 105)
    click_on(qtbot, viewer, 14.5 / 2, 30 + 14.5 / 2)
    assert layer.selected_label == 3
    assert view.currentIndex().row() == 1
    click_on(qtbot, viewer, 25, 50)  # nothing is there
    assert view.currentIndex().row() == 1

    viewer.layers.remove("cells")
    click_row(0)  # goes nowhere, and does no harm
    assert viewer.dims.ndim == 2


def test_probabilities_of_cells_are_taken_and_the_preview_follows_the_slider(
    make_napari_viewer_proxy: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    add_tissue(viewer)
    image = viewer.layers["tissue"]
    truth = np.asarray(viewer.layers["truth"].data)
    about = {
        "image": str(image.unique_id),
        "what": "probabilities",
        "values": [0, 255],
        "names": ["membrane", "cell"],
    }
    place = {"scale": image.scale, "translate": image.translate, "units": image.units}
    for index, share in enumerate((truth == 0, truth > 0)):
        viewer.add_image(
            share.astype(np.float32),
            name=f"tissue P({index})",
            metadata={MODEL_KEY: "gone", RESULT_KEY: {**about, "class": index}},
            **place,
        )
    widget = open_widget(viewer, "Objects")
    assert widget.input.layer.currentText() == "tissue P(1)"
    assert widget.input.method.currentText() == CELLS
    assert widget.form.values()["neck"] == 1
    assert not widget.form.field("object_threshold").isVisible()
    tick(qtbot, widget.live)
    qtbot.waitUntil(lambda: len(previews(viewer)) == 1, timeout=WAIT)
    (preview,) = previews(viewer)
    for section in (0, 2):
        viewer.dims.set_point(0, 50 + 50 * section)
        start = 50 + 50 * section
        qtbot.waitUntil(lambda s=start: preview.translate[0] == s, timeout=WAIT)
        assert (preview.data > 0).mean() > 0.95
    tick(qtbot, widget.live)
    assert not previews(viewer)
    said = run(qtbot, widget, widget.apply_button)
    assert said.endswith("in the layer 'tissue objects'.")
    assert viewer.layers["tissue objects"].data.shape == truth.shape


def test_a_prediction_that_is_given_stays_chosen(
    make_napari_viewer_proxy: Callable[..., Viewer],
) -> None:
    viewer = make_napari_viewer_proxy()
    about = {"what": "labels", "values": [0, 1, 2], "names": ["0", "membrane", "cell"]}
    for name in ("first", "second"):
        metadata = {MODEL_KEY: "gone", RESULT_KEY: about}
        viewer.add_labels(discs(), name=name, metadata=metadata)
    widget = open_widget(viewer, "Objects")
    assert widget.prediction.currentText() == "second"
    widget.prediction.choose(viewer.layers["first"])
    viewer.add_labels(discs(), name="third", metadata=metadata)
    assert widget.prediction.currentText() == "first"
    assert widget.input.value.currentText() == "cell (2)"
    assert widget.input.method.currentText() == CELLS


def test_real_cells_are_found_while_the_viewer_is_renamed_and_emptied(
    make_napari_viewer_proxy: Callable[..., Viewer], qtbot: QtBot, data_folder: Path
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    labels = open_stack(data_folder / "isbi2012" / "train-labels.tif")
    viewer.add_labels(np.asarray(labels)[:2, :256, :256], name="truth")
    widget = open_widget(viewer, "Objects")
    click(qtbot, widget.apply_button)
    viewer.layers["truth"].name = "renamed"
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    count = int(widget.status.text().split()[0])
    assert 40 < count < 200
    click(qtbot, widget.measure.button)
    viewer.layers.clear()
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    assert "removed while" in widget.status.text()
    assert not widget.cancel_button.isEnabled()


@pytest.mark.parametrize("axes", ["yx", "tzyx"])
def test_single_images_and_time_series(
    make_napari_viewer_proxy: Callable[..., Viewer], qtbot: QtBot, axes: str
) -> None:
    viewer = make_napari_viewer_proxy()
    outer = (2, 3)[: len(axes) - 2]
    mask = np.broadcast_to(discs(), (*outer, 56, 56)).copy()
    colours = np.zeros((*mask.shape, 3), np.uint8)
    colours[..., 1] = 9
    viewer.add_image(colours, rgb=True, name="colours")
    viewer.add_labels(mask, name="mask", axis_labels=tuple(axes))
    widget = open_widget(viewer, "Objects")
    count = 3 * int(np.prod(outer))
    assert run(qtbot, widget, widget.apply_button).startswith(f"{count} objects")
    said = run(qtbot, widget, widget.measure.button)
    assert said == f"Measured {count} objects."
    view = measurements_of(viewer)
    assert set(view.model.table["mean_green"]) == {9}
    assert "pixels" in view.words.text()  # there is no pixel size
    assert ("frame" in view.model.table.columns) == bool(outer)


def test_nothing_found_and_nothing_to_find_are_said(
    make_napari_viewer_proxy: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer_proxy()
    widget = open_widget(viewer, "Objects")
    click(qtbot, widget.apply_button)
    assert "nothing to find objects in" in notes()[-1]
    click(qtbot, widget.measure.button)
    assert "no objects to measure" in notes()[-1]
    viewer.add_labels(np.zeros((20, 20), np.uint8), name="empty")
    assert run(qtbot, widget, widget.apply_button).startswith("0 objects")
    assert run(qtbot, widget, widget.measure.button) == "Measured 0 objects."
    assert measurements_of(viewer).model.rowCount() == 0
    assert measurements_of(viewer).model.columnCount() > 5


def test_an_image_that_is_no_probability_is_said_and_a_distance_map_works(
    make_napari_viewer_proxy: Callable[..., Viewer], qtbot: QtBot
) -> None:
    from scipy.ndimage import distance_transform_edt

    viewer = make_napari_viewer_proxy()
    distance = distance_transform_edt(discs()).astype(np.float32)
    viewer.add_image(distance, name="distance")
    widget = open_widget(viewer, "Objects")
    choose(qtbot, widget.input.method, PIECES)
    said = run(qtbot, widget, widget.apply_button)
    assert "a probability is from 0 to 1" in said
    assert "a probability is from 0 to 1" in notes()[-1]
    choose(qtbot, widget.input.method, DISTANCE)
    assert run(qtbot, widget, widget.apply_button).startswith("3 objects")


def test_a_border_in_another_layer(
    make_napari_viewer_proxy: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer_proxy()
    inside = np.full((12, 21), 0.9, np.float32)
    border = np.full((12, 21), 0.05, np.float32)
    inside[:, 10], border[:, 10] = 0.1, 0.9
    viewer.add_image(border, name="a border")
    viewer.add_image(inside, name="inside")
    widget = open_widget(viewer, "Objects")
    choose(qtbot, widget.input.layer, "inside")
    choose(qtbot, widget.input.method, BORDER)
    assert widget.input.border.currentText() == "a border"
    assert run(qtbot, widget, widget.apply_button).startswith("2 objects")
    assert (viewer.layers["inside objects"].data > 0).all()


def test_cancel_keeps_what_is_done_and_the_next_job_starts(
    make_napari_viewer_proxy: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer_proxy()
    rng = np.random.default_rng(0)
    mask = (rng.random((60, 400, 400)) > 0.5).astype(np.uint8)
    viewer.add_labels(mask, name="mask")
    widget = open_widget(viewer, "Objects")
    click(qtbot, widget.apply_button)
    qtbot.waitUntil(
        lambda: "of 60 sections" in widget.progress.words.text(), timeout=WAIT
    )
    click(qtbot, widget.cancel_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    assert "Cancelled. What is done is kept" in widget.status.text()
    layer = viewer.layers["mask objects (partial)"]
    assert layer.data[0].any()
    assert not layer.data[-1].any()
    assert widget.apply_button.isEnabled()


def test_cancel_ends_a_step_that_does_not_listen(
    make_napari_viewer_proxy: Callable[..., Viewer],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_unet.plugin.objects.widget._PATIENCE", 200)
    viewer = make_napari_viewer_proxy()
    rng = np.random.default_rng(0)
    mask = (rng.random((60, 300, 300)) > 0.5).astype(np.uint8)
    viewer.add_labels(mask, name="mask")
    widget = open_widget(viewer, "Objects")
    widget.form.field("object_dims").setValue(3)
    click(qtbot, widget.apply_button)
    qtbot.waitUntil(lambda: "mask objects" in viewer.layers, timeout=WAIT)
    pid = session_of(viewer).side.pid
    click(qtbot, widget.cancel_button)
    qtbot.waitUntil(idle(widget), timeout=20_000)
    assert "Cancelled" in widget.status.text()
    widget.form.field("object_dims").setValue(2)
    viewer.layers.clear()
    viewer.add_labels(discs(), name="discs")
    assert run(qtbot, widget, widget.apply_button).startswith("3 objects")
    assert session_of(viewer).side.pid != pid


def test_closing_the_dock_ends_the_work_and_the_preview(
    make_napari_viewer_proxy: Callable[..., Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_labels(discs(), name="mask")
    widget = open_widget(viewer, "Objects")
    side = session_of(viewer).side
    tick(qtbot, widget.live)
    qtbot.waitUntil(lambda: bool(previews(viewer)), timeout=WAIT)
    viewer.window.remove_dock_widget(widget)
    assert not previews(viewer)
    qtbot.waitUntil(lambda: side.pid == 0, timeout=WAIT)
