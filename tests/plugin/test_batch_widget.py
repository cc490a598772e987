"""Predicting many images as a person does, in a real window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import WAIT, click, idle, notes, open_widget, save_model
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QDropEvent, QGuiApplication
from qtpy.QtWidgets import QFileDialog
from superqt import QCollapsible

from napari_unet.batch.manifest import Manifest
from napari_unet.data import Classes, write_stack
from napari_unet.plugin.batch.rows import AT_WORK, DONE, FAILED, WAITING
from napari_unet.plugin.batch.table import table_of
from napari_unet.plugin.parts.choices import RESULT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]

NAMES = ("background", "foreground")


def write_images(folder: Path, count: int, edge: int = 24) -> Path:
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 255, (edge, edge), np.uint8)
        path = folder / f"day {number % 2 + 1}" / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = {"pixel_size": {"Y": 4.0, "X": 4.0}, "unit": "nm"}
        about = {"shape": pixels.shape, "axes": "YX", "dtype": pixels.dtype}
        write_stack(path, [pixels], **about, **size)
    return folder


@pytest.fixture
def model(runs_folder: Path) -> Path:
    save_model(runs_folder / "model", Classes((0, 255), NAMES))
    return runs_folder / "model"


def drop(widget: Any, *paths: Path) -> None:
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    how = (files, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    event = QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, *how)
    widget.dropEvent(event)


def begun(widget: Any) -> Callable[[], bool]:
    return lambda: widget._job is not None


def run(qtbot: QtBot, widget: Any, button: Any) -> str:
    click(qtbot, button)
    qtbot.waitUntil(begun(widget), timeout=WAIT)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    return str(widget.report.status.text())


def cells(viewer: Viewer, column: int) -> list[str]:
    model = table_of(viewer).model
    return [model.index(row, column).data() for row in range(model.rowCount())]


def listed(qtbot: QtBot, widget: Any, words: str) -> None:
    def said() -> None:
        assert words in widget.report.status.text()

    qtbot.waitUntil(said, timeout=WAIT)


def close(viewer: Any, widget: Any) -> None:
    """Close the dock of a widget by its cross."""
    dock = widget.parent()
    while not hasattr(dock, "destroyOnClose"):
        dock = dock.parent()
    dock.destroyOnClose()


def test_from_a_folder_to_a_result_beside_its_image(
    make_napari_viewer_proxy: MakeViewer,
    qtbot: QtBot,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = write_images(tmp_path / "images", 3)
    (images / "day 1" / "broken.tif").write_bytes(b"II*\0 this is no image")
    viewer = make_napari_viewer_proxy(show=True)
    widget = open_widget(viewer, "Batch")
    drop(widget, images)
    listed(qtbot, widget, "4 images.")
    assert widget.form.out.path() == tmp_path / "images predicted"
    qtbot.keyClick(widget.form.objects, Qt.Key.Key_Space)

    said = run(qtbot, widget, widget.look_button)
    assert said.startswith("4 of 4 images to predict: about ")
    assert said.endswith("1 would fail.")
    assert not widget.form.out.path().exists()
    problems = dict(zip(cells(viewer, 0), cells(viewer, 6), strict=True))
    assert "is cut off" in problems.pop("day 1/broken.tif")
    assert problems == {"day 1/0.tif": "", "day 1/2.tif": "", "day 2/1.tif": ""}
    assert cells(viewer, 2)[0] == "24 × 24"

    said = run(qtbot, widget, widget.start_button)
    assert said == "3 of 4 images are done, 1 failed."
    assert cells(viewer, 1) == [DONE, DONE, FAILED, DONE]
    assert "is cut off" in cells(viewer, 6)[2]
    assert cells(viewer, 2)[0] == "0.000576"
    assert widget.retry_button.isVisible()

    table = table_of(viewer)
    place = table.view.visualRect(table.model.index(0, 0)).center()
    port = table.view.viewport()
    qtbot.mouseClick(port, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(port, Qt.MouseButton.LeftButton, pos=place)
    said = "Opened day 1/0.tif in 3 layers."
    qtbot.waitUntil(lambda: widget.said.text() == said, timeout=WAIT)
    assert [each.name for each in viewer.layers] == ["0", "0 labels", "0 objects"]
    assert all(np.allclose(each.scale, 4) for each in viewer.layers)
    result = viewer.layers["0 labels"].metadata[RESULT_KEY]
    assert result["image"] == str(viewer.layers["0"].unique_id)
    assert result["names"] == list(NAMES)

    table.view.selectRow(1)
    qtbot.keyClick(table.view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: len(viewer.layers) == 6, timeout=WAIT)
    seen = [each.name for each in viewer.layers if each.visible]
    assert seen == ["2", "2 labels", "2 objects"]
    qtbot.waitUntil(lambda: "day 1/2.tif" in widget.said.text(), timeout=WAIT)
    table.view.selectRow(0)
    qtbot.keyClick(table.view, Qt.Key.Key_Return)
    assert widget.said.text() == "Showing the 3 layers of day 1/0.tif."
    assert len(viewer.layers) == 6

    shown: list[str] = []
    monkeypatch.setattr(
        QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile())
    )
    click(qtbot, widget.report_button)
    assert shown == [str(tmp_path / "images predicted" / "batch.html")]

    write_images(tmp_path / "mended", 1)
    (tmp_path / "mended" / "day 1" / "0.tif").rename(images / "day 1" / "broken.tif")
    said = run(qtbot, widget, widget.retry_button)
    assert said == "4 of 4 images are done."
    assert not widget.retry_button.isVisible()


def test_what_is_stopped_and_what_is_closed_goes_on(
    make_napari_viewer: MakeViewer, qtbot: QtBot, tmp_path: Path, model: Path
) -> None:
    images = write_images(tmp_path / "images", 60, 160)
    viewer = make_napari_viewer(show=True)
    widget = open_widget(viewer, "Batch")
    drop(widget, images)
    click(qtbot, widget.start_button)
    qtbot.waitUntil(lambda: widget.report._done > 1, timeout=WAIT)
    qtbot.keyClick(widget.stop_button, Qt.Key.Key_Space)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    states = cells(viewer, 1)
    assert AT_WORK not in states
    done = states.count(DONE)
    assert 1 < done < 60
    assert f"{60 - done} are left: Start goes on." in widget.report.status.text()

    click(qtbot, widget.start_button)
    qtbot.waitUntil(lambda: widget.report._done > 1, timeout=WAIT)
    job = widget._job
    close(viewer, widget)
    with qtbot.waitSignal(job.ended, timeout=WAIT):
        pass

    widget = open_widget(viewer, "Batch")
    drop(widget, images)
    listed(qtbot, widget, "done before")
    before = cells(viewer, 1).count(DONE)
    assert done < before
    assert run(qtbot, widget, widget.start_button) == "60 of 60 images are done."
    assert widget.report._done == 60 - before
    assert set(cells(viewer, 1)) == {DONE}


def test_what_is_wrong_is_said(
    make_napari_viewer: MakeViewer,
    qtbot: QtBot,
    tmp_path: Path,
    runs_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = make_napari_viewer(show=True)
    widget = open_widget(viewer, "Batch")
    click(qtbot, widget.start_button)
    assert "There is no model" in widget.report.status.text()
    save_model(runs_folder / "model", Classes((0, 255), NAMES))
    widget.session.announce(runs_folder / "model")
    qtbot.keyClick(widget.start_button, Qt.Key.Key_Space)
    assert "There are no images" in widget.report.status.text()

    images = write_images(tmp_path / "images", 2)
    (tmp_path / "empty").mkdir()
    chosen = str(tmp_path / "empty")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: chosen)
    click(qtbot, widget.form.inputs.folder)
    listed(qtbot, widget, "holds no image")
    drop(widget, images / "day 1" / "0.tif", images / "day 2" / "1.tif")
    listed(qtbot, widget, "2 images.")
    widget.form.inputs.line.selectAll()
    qtbot.keyClicks(widget.form.inputs.line, f"{images / '*' / '*.tif'}")
    listed(qtbot, widget, "2 images.")
    (images / "day 1" / "0.png").write_bytes(b"")
    drop(widget, images)
    listed(qtbot, widget, "written to the same files")
    click(qtbot, widget.start_button)
    qtbot.waitUntil(lambda: widget.start_button.isEnabled(), timeout=WAIT)
    assert "written to the same files" in notes()[-1]
    assert widget._job is None
    (images / "day 1" / "0.png").unlink()

    other = Manifest(widget.form.out.path())
    said = run(qtbot, widget, widget.start_button)
    other.close()
    assert "is being written by another process" in said
    assert set(cells(viewer, 1)) == {WAITING}


def unfold(qtbot: QtBot, widget: Any, title: str) -> None:
    (section,) = [
        each for each in widget.findChildren(QCollapsible) if each.text() == title
    ]
    qtbot.keyClick(section.toggleButton(), Qt.Key.Key_Space)
    qtbot.waitUntil(section.content().isVisible, timeout=WAIT)


def test_workers_share_the_work(
    make_napari_viewer_proxy: MakeViewer, qtbot: QtBot, tmp_path: Path, model: Path
) -> None:
    pytest.importorskip("distributed")
    images = write_images(tmp_path / "images", 2)
    widget = open_widget(make_napari_viewer_proxy(show=True), "Batch")
    drop(widget, images)
    listed(qtbot, widget, "2 images.")
    for title in ("Advanced", "Cluster"):
        unfold(qtbot, widget, title)
    workers = widget.form.advanced.field("workers")
    qtbot.keyClick(workers.given, Qt.Key.Key_Space)
    assert workers.number.value() == 2
    qtbot.keyClick(workers.number, Qt.Key.Key_Down)  # one is enough to see it
    scheduler = widget.form.advanced.field("scheduler")
    qtbot.keyClicks(scheduler, "tcp://here:1")
    click(qtbot, widget.start_button)
    assert "by one cluster" in notes()[-1]
    assert widget._job is None
    qtbot.keyClick(scheduler, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(scheduler, Qt.Key.Key_Delete)
    said: list[str] = []
    widget.report.remarked.connect(said.append)
    assert run(qtbot, widget, widget.start_button) == "2 of 2 images are done."
    assert said[0].startswith("Dask dashboard: http")
    assert said[0].endswith("(1 worker now)")
    assert "--workers 1" in " ".join(widget.form.order().command())


def test_the_command_that_does_the_same_is_copied(
    make_napari_viewer: MakeViewer, qtbot: QtBot, tmp_path: Path, model: Path
) -> None:
    images = write_images(tmp_path / "images", 1)
    viewer = make_napari_viewer(show=True)
    widget = open_widget(viewer, "Batch")
    drop(widget, images)
    widget.form.truth.line.setFocus()
    qtbot.keyClicks(widget.form.truth.line, str(tmp_path / "truth"))
    qtbot.keyClick(widget.form.probabilities, Qt.Key.Key_Space)
    actions = {each.text(): each for each in widget.replay.menu().actions()}
    actions["C&ommand: what is entered"].trigger()
    qtbot.waitUntil(lambda: widget.said.text() == "Copied.", timeout=WAIT)
    assert QGuiApplication.clipboard().text() == (
        f"napari-unet batch {model} {images} --out '{tmp_path}/images predicted' "
        f"--probabilities --truth {tmp_path}/truth"
    )
