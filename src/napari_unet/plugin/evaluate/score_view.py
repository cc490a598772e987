"""The scores of an evaluation, as they are read in a narrow panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.evaluation.error_map import COLOURS, KINDS, MEANING
from napari_unet.evaluation.section_scores import SectionScores
from napari_unet.plugin.evaluate.section_bars import SectionBars
from napari_unet.plugin.parts.fields import button, paragraph

if TYPE_CHECKING:
    from napari_unet.events import EvaluationFinished

_SHORT = {"precision": "prec."}  # in headers of a panel of 300 pixels


class ScoreView(QWidget):
    """Warnings, the scores judged by first, all tables, and a bar for each section."""

    def __init__(self) -> None:
        super().__init__()
        self.warning = paragraph()
        self.warning.setStyleSheet("border-left: 4px solid #d55e00; padding-left: 6px")
        self.headline = paragraph()
        self.tables: list[QTableWidget] = []
        self._titles: list[QLabel] = []
        self.words = paragraph()
        self.legend = paragraph()
        self.bars = SectionBars()
        self.worst_button = button("Show worst &section", "Go to the lowest score.")
        self.worst_button.clicked.connect(self._on_worst)
        self._layout = layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        below = (self.words, self.legend, self.bars, self.worst_button)
        for each in (self.warning, self.headline, *below):
            layout.addWidget(each)
        self._scores: SectionScores | None = None
        self.hide()

    def show_result(self, event: EvaluationFinished) -> None:
        """Show what came of an evaluation, instead of what was shown."""
        self.warning.setText("\n".join(event.remarks))
        self.warning.setVisible(bool(event.remarks))
        self.headline.setText(
            " · ".join(f"{name} <b>{each}</b>" for name, each in event.headline.items())
        )
        self._replace_tables(event.tables)
        self.words.setText(event.words)
        self.words.setVisible(bool(event.words))
        self.legend.setText(_legend() if event.words else "")
        self.legend.setVisible(bool(event.words))
        self._show_sections(event.sections)
        self.show()

    def _replace_tables(self, tables: list[dict[str, Any]]) -> None:
        for each in (*self._titles, *self.tables):
            each.deleteLater()
        self.tables = [_table(each) for each in tables]
        self._titles = [QLabel(each["title"]) for each in tables]
        place = self._layout.indexOf(self.headline) + 1
        for title, table in zip(
            reversed(self._titles), reversed(self.tables), strict=True
        ):
            self._layout.insertWidget(place, table)
            self._layout.insertWidget(place, title)

    def _show_sections(self, sections: dict[str, Any] | None) -> None:
        self._scores = None
        if sections and len(sections["values"]) > 1:
            self._scores = SectionScores(
                sections["score"],
                tuple(sections["values"]),
                sections["lower_is_better"],
            )
            self.bars.show_scores(self._scores)
        for each in (self.bars, self.worst_button):
            each.setVisible(self._scores is not None)

    def _on_worst(self) -> None:
        if self._scores is not None and (ranked := self._scores.ranked()):
            self.bars.choose(ranked[0])


def _table(given: dict[str, Any]) -> QTableWidget:
    rows = [*given["rows"], *([given["foot"]] if given["foot"] else [])]
    table = QTableWidget(len(rows), len(given["columns"]))
    table.setHorizontalHeaderLabels([_SHORT.get(c, c) for c in given["columns"]])
    table.verticalHeader().hide()
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setAccessibleName(given["title"])
    table.setToolTip("<p>A dash is a score that is undefined, as of no pixels.</p>")
    font = table.font()
    font.setPointSizeF(0.85 * font.pointSizeF())
    table.setFont(font)
    table.horizontalHeader().setFont(font)
    right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    for row, cells in enumerate(rows):
        for column in range(table.columnCount()):
            item = QTableWidgetItem(cells[column] if column < len(cells) else "")
            if column:
                item.setTextAlignment(right)
            if row >= len(given["rows"]):
                bold = table.font()
                bold.setBold(True)
                item.setFont(bold)
            table.setItem(row, column, item)
    _fit(table)
    return table


def _fit(table: QTableWidget) -> None:
    """Make a table as high as its rows, and its columns as narrow as they can be."""
    header = table.horizontalHeader()
    header.setMinimumSectionSize(24)
    table.setStyleSheet(
        "QTableWidget::item, QHeaderView::section { padding: 1px 1px; }"
    )
    table.setShowGrid(False)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.resizeRowsToContents()
    height = header.sizeHint().height() + table.verticalHeader().length() + 4
    bar = table.horizontalScrollBar().sizeHint().height()
    table.setFixedHeight(height + (bar if table.columnCount() > 6 else 0))


def _legend() -> str:
    return "&nbsp; ".join(
        f"<span style='color: {COLOURS[kind]}'>■</span> "
        f"<span title='{MEANING[kind]}'>{KINDS[kind]}</span>"
        for kind in KINDS
    )
