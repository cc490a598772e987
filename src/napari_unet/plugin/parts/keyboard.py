"""Widgets by the keyboard: where Tab goes, where it is, and Enter and Escape."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QLineEdit,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtGui import QKeyEvent
    from qtpy.QtWidgets import QLayout

_FIELDS = ("QPushButton", "QComboBox", "QCheckBox", "QAbstractSpinBox", "QLineEdit")


def in_reading_order(layout: QLayout) -> Iterator[QWidget]:
    """Yield the widgets of a layout that Tab can reach, as they are read."""
    for index in range(layout.count()):
        item = layout.itemAt(index)
        if (widget := item.widget()) is None:
            inner = item.layout()
        else:
            inner = widget.layout()
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
                yield widget
        if inner is not None:
            yield from in_reading_order(inner)


def set_tab_order(widgets: list[QWidget]) -> None:
    """Have Tab go from each widget to the next."""
    for first, second in pairwise(widgets):
        QWidget.setTabOrder(first, second)


def focus_style(theme: str) -> str:
    """Return a style sheet that shows where the keyboard is, in a theme of napari."""
    colour = get_theme(theme).text.as_hex()
    fields = ", ".join(f"{each}:focus" for each in _FIELDS)
    return f"{fields} {{ border: 1px solid {colour}; }}"


def press(
    event: QKeyEvent, start: QAbstractButton | None, cancel: QAbstractButton | None
) -> bool:
    """Press what Enter or Escape means, as in a dialog; tell whether they mean any.

    Enter presses the button that has the focus, if one has it. In a field that is
    typed in it only ends the typing; Ctrl-Enter starts from there, too.
    """
    pressed: QAbstractButton | None = None
    if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
        focused = QApplication.focusWidget()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            pressed = start
        elif isinstance(focused, QAbstractButton):
            pressed = focused
        elif not isinstance(focused, QLineEdit | QAbstractSpinBox):
            pressed = start
    elif event.key() == Qt.Key.Key_Escape:
        pressed = cancel
    if pressed is None or not (pressed.isEnabled() and pressed.isVisible()):
        return False
    pressed.click()
    return True
