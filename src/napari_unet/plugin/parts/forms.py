"""Input fields made from the options that `napari_unet.config` defines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QRegularExpression, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QRegularExpressionValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_unet.plugin.parts.fields import folded, form_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from superqt import QCollapsible

    from napari_unet.config import Option

_LEFT_OPEN = Qt.CheckState.PartiallyChecked  # neither yes nor no
_MANY = 12  # options, from which on one is searched for
_LARGEST = 2**31 - 1  # of a QSpinBox


class OptionsForm(QWidget):
    """A field for each option that allows what it allows, in groups to unfold.

    Parameters
    ----------
    options : iterable of Option
    elsewhere : collection of str
        Options whose fields the caller puts in a place of their own.
    made : mapping of str to QWidget
        Fields made by the caller, with `value`, `setValue` and the signal `changed`.
    """

    changed = Signal()

    def __init__(
        self,
        options: Iterable[Option],
        *,
        elsewhere: Collection[str] = (),
        made: Mapping[str, QWidget] | None = None,
    ) -> None:
        super().__init__()
        self._fields = dict(made or {})
        self._rows: list[tuple[QFormLayout, QWidget, str]] = []
        groups: dict[str, QWidget] = {}
        # What concerns the computer instead of the images comes last.
        for option in sorted(options, key=lambda each: each.group == "computing"):
            field = self._fields.setdefault(option.name, make_field(option))
            field.setToolTip(f"<p>{option.help}</p>")
            _changes(field).connect(self.changed)
            if option.name not in elsewhere:
                form = form_in(groups.setdefault(option.group, QWidget()))
                form.setContentsMargins(10, 0, 0, 6)
                label = QLabel(option.name.replace("_", " "))
                label.setToolTip(field.toolTip())
                form.addRow(label, field)
                words = f"{label.text()} {option.group} {option.help}".lower()
                self._rows.append((form, field, words))
        self._fill(
            {folded(name.capitalize(), each): each for name, each in groups.items()}
        )

    def _fill(self, groups: dict[QCollapsible, QWidget]) -> None:
        self._groups = groups
        self.search = QLineEdit()
        self.search.setPlaceholderText("Find an option")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("<p>Shows only options that have to do with it.</p>")
        self.search.textChanged.connect(self._on_search)
        self.search.setVisible(len(self._rows) >= _MANY)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for each in (self.search, *groups):
            column.addWidget(each)

    def _on_search(self, text: str) -> None:
        """Unfold the groups with such options, and hide the others."""
        found = set()
        for form, field, words in self._rows:
            fits = text.strip().lower() in words
            form.setRowVisible(field, fits)
            found |= {form.parentWidget()} if fits else set()
        for section, group in self._groups.items():
            section.setVisible(group in found)
            if text.strip():
                section.expand(animate=False)
            else:
                section.collapse(animate=False)

    def field(self, name: str) -> QWidget:
        """Return the input field of an option."""
        return self._fields[name]

    def values(self) -> dict[str, Any]:
        """Return what is entered, by option name."""
        return {name: field_value(field) for name, field in self._fields.items()}

    def enter(self, values: Mapping[str, Any]) -> None:
        """Enter values that the options allow; others than these are left alone."""
        for name in filter(values.__contains__, self._fields):
            set_field_value(self._fields[name], values[name])

    def suggest(self, values: Mapping[str, Any]) -> None:
        """Have numbers that are left out start from these values once they are not."""
        for name, value in values.items():
            field = self._fields[name]
            if isinstance(field, OptionalField) and not field.given.isChecked():
                with QSignalBlocker(field.number):
                    field.number.setValue(value)


class NumberField(QDoubleSpinBox):
    """A number without needless zeros; the arrows change its leading digit."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(8)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        """Write the number as short as it is."""
        return f"{value:.6g}" if value >= 1e-4 or value == 0 else f"{value:.8f}"


class OptionalField(QWidget):
    """A number that can be left out by the box before it, and is not seen then."""

    changed = Signal()

    def __init__(self, number: QSpinBox | NumberField) -> None:
        super().__init__()
        self.number = number
        self.given = QCheckBox()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.given)
        layout.addWidget(number, 1)
        layout.addStretch()
        number.setVisible(False)
        self.given.toggled.connect(number.setVisible)
        self.given.toggled.connect(self.changed)
        number.valueChanged.connect(self.changed)


class NumbersField(QLineEdit):
    """Whole numbers, set off by commas."""

    def __init__(self) -> None:
        super().__init__()
        allowed = QRegularExpression(r"(\s*-?\d+\s*,?)*")
        self.setValidator(QRegularExpressionValidator(allowed))
        self.setPlaceholderText("none")

    def numbers(self) -> list[int]:
        """Return the numbers entered so far."""
        return [int(each) for each in re.findall(r"-?\d+", self.text())]


def make_field(option: Option) -> QWidget:
    """Make the input field that suits an option, with its default entered."""
    if option.many:
        return NumbersField()
    if option.choices or option.suggestions:
        box = QComboBox()
        if option.optional:
            box.addItem("")
        for each in option.choices or option.suggestions:
            box.addItem(str(each), each)
        box.setEditable(not option.choices)
        set_field_value(box, option.default)
        return box
    if option.type is bool:
        check = QCheckBox()
        check.setTristate(option.optional)
        set_field_value(check, option.default)
        return check
    if option.type in (int, float):
        number = _number(option)
        return OptionalField(number) if option.optional else number
    line = QLineEdit()
    line.setText(option.default or "")
    return line


def field_value(field: QWidget) -> Any:
    """Return what is entered in a field of `make_field`."""
    if isinstance(field, NumbersField):
        return field.numbers()
    if isinstance(field, OptionalField):
        return field.number.value() if field.given.isChecked() else None
    if isinstance(field, QCheckBox):
        state = field.checkState()
        return None if state == _LEFT_OPEN else state == Qt.CheckState.Checked
    if isinstance(field, QComboBox):
        given = field.currentText() if field.isEditable() else field.currentData()
        return given or None
    return field.text() or None if isinstance(field, QLineEdit) else field.value()


def set_field_value(field: QWidget, value: Any) -> None:
    """Enter in a field of `make_field` what `field_value` returns."""
    if isinstance(field, NumbersField):
        field.setText(", ".join(map(str, value or ())))
    elif isinstance(field, OptionalField):
        field.given.setChecked(value is not None)
        if value is not None:
            field.number.setValue(value)
    elif isinstance(field, QCheckBox):
        if value is None:
            field.setCheckState(_LEFT_OPEN)
        else:
            field.setChecked(value)
    elif isinstance(field, QComboBox):
        if field.isEditable():
            field.setCurrentText(str(value or ""))
        else:
            data = [field.itemData(index) for index in range(field.count())]
            field.setCurrentIndex(data.index(value))
    elif isinstance(field, QLineEdit):
        field.setText(value or "")
    else:
        field.setValue(value)


def _changes(field: QWidget) -> Any:
    """Return the signal of a field of `make_field` that tells of changes."""
    if isinstance(field, QCheckBox):
        return field.stateChanged
    if isinstance(field, QComboBox):
        return field.currentTextChanged
    if isinstance(field, QLineEdit | QAbstractSpinBox):
        return field.textChanged
    return field.changed


def _number(option: Option) -> QSpinBox | NumberField:
    number = QSpinBox() if option.type is int else NumberField()
    lowest = -_LARGEST if option.minimum is None else option.minimum
    highest = _LARGEST if option.maximum is None else option.maximum
    number.setRange(option.type(lowest), option.type(highest))
    number.setMinimumWidth(90)
    start = option.usual if option.default is None else option.default
    number.setValue(option.type(start or 0))
    return number
