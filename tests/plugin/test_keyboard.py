"""Each widget by the keyboard, with real key presses in a real window."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from by_hand import WAIT, add_tissue, click, idle, open_widget, save_model
from npe2 import PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

import napari_unet

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]

MANIFEST = PluginManifest.from_file(Path(napari_unet.__file__).with_name("napari.yaml"))
WIDGETS = [each.display_name for each in MANIFEST.contributions.widgets]
MENUS = set("fvlpwh")  # of napari's own menu bar


@pytest.fixture
def viewer(
    make_napari_viewer: MakeViewer, runs_folder: Path, fake_worker: object
) -> Viewer:
    save_model(runs_folder / "model")
    viewer = make_napari_viewer(show=True)
    add_tissue(viewer)
    return viewer


def focused(qtbot: QtBot, viewer: Viewer, widget: QWidget) -> QWidget:
    """Bring the keyboard into a widget, to its first field."""
    window = widget.window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=WAIT)
    first = widget.findChild(QComboBox)
    first.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(first.hasFocus, timeout=WAIT)
    return first


def walk(qtbot: QtBot, viewer: Viewer, widget: QWidget) -> list[QWidget]:
    """Press Tab until the keyboard leaves the widget."""
    found = [focused(qtbot, viewer, widget)]
    for _ in range(200):
        qtbot.keyClick(found[-1], Qt.Key.Key_Tab)
        now = QApplication.focusWidget()
        if now is None or not widget.isAncestorOf(now) or now is found[0]:
            return found
        found.append(now)
    raise AssertionError("Tab never leaves the widget")


def top(field: QWidget, widget: QWidget) -> int:
    return field.mapTo(widget, QPoint(0, field.height() // 2)).y()


@pytest.mark.parametrize("name", WIDGETS)
def test_tab_goes_through_all_that_is_seen_as_it_is_read(
    viewer: Viewer, qtbot: QtBot, name: str
) -> None:
    widget = open_widget(viewer, name)
    qtbot.wait(300)  # until the classes are counted
    reached = walk(qtbot, viewer, widget)
    for each in reached:
        assert each.isVisible()
        assert min(each.width(), each.height()) > 4, type(each).__name__
    places = [top(each, widget) for each in reached]
    row = 22  # fields beside each other are not all equally high
    assert all(b > a - row for a, b in pairwise(places)), places
    kinds = (QAbstractButton, QComboBox, QLineEdit)
    seen = [each for kind in kinds for each in widget.findChildren(kind)]
    missed = [
        each
        for each in seen
        if each.isVisible()
        and each.isEnabled()
        and each.visibleRegion().boundingRect().height() > 4
        and each.focusPolicy() & Qt.FocusPolicy.TabFocus
        and each not in reached
        and not any(parent.isAncestorOf(each) for parent in reached)
    ]
    assert missed == []


@pytest.mark.parametrize("name", WIDGETS)
def test_letters_of_buttons_do_not_clash(
    viewer: Viewer, qtbot: QtBot, name: str
) -> None:
    widget = open_widget(viewer, name)
    named: list[Any] = [*widget.findChildren(QPushButton)]
    named += [each for each in widget.findChildren(QLabel) if each.buddy()]
    texts = [each.text() for each in named if not each.isHidden()]
    letters = Counter(
        found[1].lower() for text in texts if (found := re.search("&([^& ])", text))
    )
    assert letters
    assert max(letters.values()) == 1, letters
    assert not MENUS & letters.keys(), letters


@pytest.mark.parametrize("name", WIDGETS)
def test_nothing_is_cut_off_where_it_is_narrow(
    viewer: Viewer, qtbot: QtBot, name: str
) -> None:
    widget = open_widget(viewer, name)
    qtbot.waitUntil(widget.isVisible, timeout=WAIT)
    widget.resize(widget.minimumSizeHint().width(), 600)
    qtbot.wait(50)
    checked = 0
    for kind in (QLabel, QPushButton, QCheckBox):
        for each in widget.findChildren(kind):
            fixed = each.isVisible() and not getattr(each, "wordWrap", bool)()
            if fixed and each.text() not in ("", "…"):
                assert each.width() >= each.minimumSizeHint().width(), each.text()
                checked += 1
    assert checked > 5
    assert widget.minimumSizeHint().width() <= 400


def pixels(field: QWidget) -> np.ndarray:
    image = field.grab().toImage()
    image = image.convertToFormat(image.Format.Format_RGB32)
    bits = image.constBits()
    bits.setsize(image.sizeInBytes())
    return np.array(bits).reshape(image.height(), -1, 4)[..., :3].astype(int)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_is_seen_where_the_keyboard_is(
    viewer: Viewer, qtbot: QtBot, theme: str
) -> None:
    widget = open_widget(viewer, "Train")
    viewer.theme = "light" if theme == "dark" else "dark"
    viewer.theme = theme  # switched while it is open
    focused(qtbot, viewer, widget)
    for field in (
        widget.image,
        widget.train_button,
        widget.run.line,
        widget.findChild(QPushButton, ""),
    ):
        field.clearFocus()
        without = pixels(field)
        field.setFocus(Qt.FocusReason.TabFocusReason)
        qtbot.waitUntil(field.hasFocus, timeout=WAIT)
        assert np.abs(pixels(field) - without).max() > 100, type(field).__name__


def test_enter_starts_and_escape_cancels(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model")
    viewer = make_napari_viewer(show=True)
    noise = np.random.default_rng(0).integers(0, 255, (6000, 128, 96), np.uint8)
    viewer.add_image(noise, name="slow")
    widget = open_widget(viewer, "Predict")
    qtbot.keyClick(focused(qtbot, viewer, widget), Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: widget._job is not None, timeout=WAIT)
    qtbot.waitUntil(lambda: widget._tiles[0] > 0, timeout=WAIT)
    qtbot.keyClick(focused(qtbot, viewer, widget), Qt.Key.Key_Escape)
    qtbot.waitUntil(idle(widget), timeout=WAIT)
    assert "Cancelled" in widget.status.text()


def test_enter_in_a_text_only_ends_it(viewer: Viewer, qtbot: QtBot) -> None:
    widget: Any = open_widget(viewer, "Train")
    focused(qtbot, viewer, widget)
    widget.run.line.setFocus()
    qtbot.keyClick(widget.run.line, Qt.Key.Key_Return)
    assert widget._job is None
    control = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(widget.run.line, Qt.Key.Key_Return, control)
    assert widget._job is not None
    qtbot.waitUntil(widget.stop_button.isEnabled, timeout=WAIT)
    click(qtbot, widget.stop_button)
    qtbot.waitUntil(idle(widget), timeout=WAIT)


def test_a_hidden_field_is_reached_once_it_is_unfolded(
    viewer: Viewer, qtbot: QtBot
) -> None:
    widget: Any = open_widget(viewer, "Train")
    few = len(walk(qtbot, viewer, widget))
    for each in widget.findChildren(QPushButton):
        if each.text() == "Advanced":
            qtbot.mouseClick(each, Qt.MouseButton.LeftButton)
    qtbot.wait(500)  # while it unfolds
    assert len(walk(qtbot, viewer, widget)) > few + 5


def test_two_viewers_work_side_by_side_and_one_stays(
    make_napari_viewer: MakeViewer, qtbot: QtBot, runs_folder: Path
) -> None:
    save_model(runs_folder / "model")
    # Not shown: napari cannot draw in two windows under Xvfb (GLError, also alone).
    viewers = [make_napari_viewer() for _ in range(2)]
    widgets = []
    for viewer in viewers:
        add_tissue(viewer)
        widgets.append(open_widget(viewer, "Predict"))
    first, second = widgets
    assert first.session is not second.session
    for widget in widgets:
        qtbot.keyClick(widget.predict_button, Qt.Key.Key_Space)
    assert idle(first)() is idle(second)() is False  # both at once
    for viewer, widget in zip(viewers, widgets, strict=True):
        qtbot.waitUntil(idle(widget), timeout=WAIT)
        assert "tissue prediction" in viewer.layers
    pids = {widget.session.worker.pid for widget in widgets}
    assert len(pids) == 2
    viewers[0].close()
    qtbot.keyClick(second.predict_button, Qt.Key.Key_Space)
    qtbot.waitUntil(idle(second), timeout=WAIT)
    assert len([each for each in viewers[1].layers if "prediction" in each.name]) == 2
