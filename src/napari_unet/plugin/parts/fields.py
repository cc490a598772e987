"""Small pieces that both widgets are made of."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_unet.plugin.parts.keyboard import in_reading_order, set_tab_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PROGRESS_STEPS = 1000
_PROGRESS_PAUSE = 150  # milliseconds; steps and tiles may come a hundred times a second


class BudgetField(QDoubleSpinBox):
    """How many minutes to train."""

    def __init__(self) -> None:
        super().__init__(decimals=1, minimum=0.1, maximum=10000, value=2)
        self.setSuffix(" min")
        self.setStyleSheet("min-width: 110px; padding: 1px 0px")  # or it is cut off
        self.setToolTip(
            "<p>How long to train: in all, but on top where a run is resumed that had "
            "used up its time. Stop keeps the best model any time.</p>"
        )

    def budget(self) -> str:
        """Return it in the words of `TrainingConfig.budget`."""
        return f"{round(60 * self.value())}s"

    def textFromValue(self, minutes: float) -> str:
        """Write whole minutes without a fraction."""
        return f"{minutes:.1f}".removesuffix(".0")


class FolderField(QWidget):
    """A folder, suggested until the user names another one.

    Parameters
    ----------
    hint : str
    what : str
        Of what it may hold one that was begun.

    Attributes
    ----------
    edited : bool
        Whether the user named it; a suggestion does not replace it then.
    """

    changed = Signal()

    def __init__(self, hint: str, what: str = "run") -> None:
        super().__init__()
        self.edited = False
        self.line = QLineEdit()
        self.line.textEdited.connect(self._on_edited)
        self.line.textChanged.connect(self._on_text)
        self._hint, self._what = hint, what
        tip = f"Choose a folder; one that holds a {what} can be resumed."
        browse = button("…", tip)
        browse.setFixedWidth(32)
        browse.clicked.connect(self._browse)
        row = _row(self)
        row.addWidget(self.line, 1)
        row.addWidget(browse)

    def path(self) -> Path:
        """Return the folder; the home folder when none is named."""
        return Path(self.line.text().strip() or "~").expanduser()

    def suggest(self, path: Path) -> None:
        """Show a folder for the user to agree with."""
        self.line.setText(str(path))
        self.line.setCursorPosition(len(self.line.text()))  # the name, not the root

    def _on_edited(self) -> None:
        self.edited = True

    def _on_text(self, text: str) -> None:
        self.line.setToolTip(f"<p>{self._hint}</p><p>{text}</p>")
        self.changed.emit()

    def _browse(self) -> None:
        start = next(
            (each for each in self.path().parents if each.is_dir()), Path.home()
        )
        title = f"{self._what.capitalize()} folder"
        if chosen := QFileDialog.getExistingDirectory(self, title, str(start)):
            self.edited = True
            self.line.setText(chosen)


class ProgressLine(QWidget):
    """A progress bar, and under it the time left and a few words."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(10)
        self.words = QLabel()
        self._share = self._began = 0.0
        self._words = ""
        self._timer = QTimer(self, singleShot=True, interval=_PROGRESS_PAUSE)
        self._timer.timeout.connect(self._show)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.bar)
        layout.addWidget(self.words)
        self.end()

    def begin(self, words: str) -> None:
        """Show that something of unknown length has begun."""
        self._began = time.monotonic()
        self._draw(0, 0, words)

    def show_share(self, share: float, remaining: float | None, words: str) -> None:
        """Show soon the share done, 0 to 1, and the seconds remaining."""
        left = "" if remaining is None else f"{clock(remaining)} left · "
        self._share, self._words = share, left + words
        if not self._timer.isActive():
            self._timer.start()

    def show_done(self, done: int, total: int, what: str) -> None:
        """Show soon how many are done of all, and the time left at this pace.

        Parameters
        ----------
        done, total : int
        what : str
            They are, such as "tiles".
        """
        share = done / total
        elapsed = time.monotonic() - self._began
        left = elapsed * (1 - share) / share if share else None
        self.show_share(share, left, f"{done} of {total} {what}")

    def say(self, words: str) -> None:
        """Change the words only."""
        self._words = words
        self.words.setText(words)

    def end(self) -> None:
        """Show that nothing is at work."""
        self._draw(_PROGRESS_STEPS, -1, "")

    def _show(self) -> None:
        self._draw(_PROGRESS_STEPS, round(self._share * _PROGRESS_STEPS), self._words)

    def _draw(self, steps: int, value: int, words: str) -> None:
        self._timer.stop()
        self.bar.setUpdatesEnabled(False)  # it would repaint the window at once
        self.bar.setRange(0, steps)
        if value < 0:
            self.bar.reset()
        else:
            self.bar.setValue(value)
        self.bar.setUpdatesEnabled(True)
        self.words.setText(words)


class ScrollingColumn(QScrollArea):
    """Scrolls its widget up and down, and is always as wide as the widget needs."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its fields have it
        self._order: list[QWidget] = []
        content = QWidget()
        content.installEventFilter(self)
        self.setWidget(content)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow changes of the layout, and scroll where the wheel would edit."""
        if watched is not self.widget():
            if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
                event.ignore()
                return True
        elif event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show):
            bar = self.verticalScrollBar().sizeHint().width()
            self.setMinimumWidth(self.widget().minimumSizeHint().width() + bar)
            self._follow_fields()
        return bool(super().eventFilter(watched, event))

    def _follow_fields(self) -> None:
        """Have Tab go through the fields as they are read, also those that come."""
        layout = self.widget().layout()
        order = [] if layout is None else [*in_reading_order(layout)]
        if order != self._order:
            self._order = order
            set_tab_order(order)

    def spare_from_wheel(self) -> None:
        """Let the wheel change only the field that was clicked, once all are there."""
        for kind in (QComboBox, QAbstractSpinBox):
            for field in self.widget().findChildren(kind):
                field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                field.installEventFilter(self)


def button(text: str, hint: str) -> QPushButton:
    """Make a button with a tooltip."""
    made = QPushButton(text)
    made.setToolTip(f"<p>{hint}</p>")
    return made


def tick(text: str, hint: str) -> QCheckBox:
    """Make a box to tick with a tooltip."""
    made = QCheckBox(text)
    made.setToolTip(f"<p>{hint}</p>")
    return made


def column_of(widgets: Iterable[QWidget]) -> QWidget:
    """Put widgets below each other."""
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    for each in widgets:
        layout.addWidget(each)
    return column


def row_of(first: QWidget, *others: QWidget) -> QWidget:
    """Put widgets side by side, the first as wide as there is room."""
    made = QWidget()
    row = _row(made)
    row.addWidget(first, 1)
    for each in others:
        row.addWidget(each)
    return made


def choice(entries: Mapping[str, Any], hint: str) -> QComboBox:
    """Make a box of named values; `currentData` is the chosen value."""
    box = QComboBox()
    for text, value in entries.items():
        box.addItem(text, value)
    box.setMinimumContentsLength(8)
    box.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    box.setToolTip(f"<p>{hint}</p>")
    return box


class Remark(QLabel):
    """A paragraph that takes no room while it says nothing."""

    def __init__(self) -> None:
        super().__init__()
        _wrap(self)
        self.hide()

    def setText(self, text: str) -> None:
        """Say something, or nothing."""
        super().setText(text)
        self.setVisible(bool(text))


def paragraph() -> QLabel:
    """Make a label that wraps its text, which can be copied."""
    label = QLabel()
    _wrap(label)
    return label


def form_in(box: QWidget) -> QFormLayout:
    """Lay a box out as rows of a name and a field, if it is not yet."""
    if (form := box.layout()) is None:
        form = QFormLayout(box)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def folded(title: str, content: QWidget) -> QCollapsible:
    """Put a widget below a title that unfolds it."""
    section = QCollapsible(title, expandedIcon="▾", collapsedIcon="▸")
    section.addWidget(content)
    section.collapse(animate=False)
    section.content().hide()  # or Tab would go through what is not seen
    section.toggled.connect(section.content().setVisible)
    section.layout().setContentsMargins(0, 0, 0, 0)
    section.content().layout().setContentsMargins(0, 0, 0, 0)
    return section


def at_top(text: str) -> QLabel:
    """Make the name of a field of several lines, level with the first one."""
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignTop)
    return label


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _row(widget: QWidget) -> QHBoxLayout:
    row = QHBoxLayout(widget)
    row.setContentsMargins(0, 0, 0, 0)
    return row


def _wrap(label: QLabel) -> None:
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
