"""The list of models that unfolds: a picture, date, data and score, and a search."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from qtpy.QtCore import (
    QEvent,
    QModelIndex,
    QObject,
    QPoint,
    QRect,
    QSize,
    QSortFilterProxyModel,
    Qt,
)
from qtpy.QtGui import QFont, QFontMetrics, QKeyEvent, QPainter, QPixmap, QPixmapCache
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import create_worker

from napari_unet.plugin import runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_unet.plugin.runs import Listed

_LISTED = Qt.ItemDataRole.UserRole + 1  # what `runs.look_up` said
_SEARCHED = Qt.ItemDataRole.UserRole + 2  # the words to find it by
_WIDTH, _ROWS = 300, 6
_ROW, _PICTURE, _GAP = 56, 48, 4  # pixels
_MOVES = (
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
)


class ModelBox(QComboBox):
    """A box of models that unfolds into a list which can be searched.

    Its entries have the `Path` of a run folder or model file, or None, as their data.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText("no model yet")
        self.setMinimumContentsLength(12)
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.popup = ModelPopup(self)

    def showPopup(self) -> None:
        """Unfold the list, and read what it says of each model."""
        paths = [self.itemData(i) for i in range(self.count())]
        create_worker(
            _look_up_all,
            [path for path in paths if path is not None],
            _connect={"yielded": self._on_known},
        )
        self.popup.unfold()

    def hidePopup(self) -> None:
        """Fold it."""
        self.popup.hide()

    def row_of(self, path: Path) -> int:
        """Return where a model is listed; -1 if it is not.

        `findData` would miss an equal path that is another object.
        """
        paths = [self.itemData(row) for row in range(self.count())]
        return paths.index(path) if path in paths else -1

    def _on_known(self, known: tuple[Path, Listed]) -> None:
        path, listed = known
        row = self.row_of(path)
        if row >= 0:
            words = f"{self.itemText(row)} {listed.title} {listed.facts}"
            self.setItemData(row, words, _SEARCHED)
            self.setItemData(row, listed, _LISTED)


class ModelPopup(QFrame):
    """The list below a `ModelBox`, with a line to search in it."""

    def __init__(self, box: ModelBox) -> None:
        super().__init__(box, Qt.WindowType.Popup)
        # A click on the box folds the list, and does not unfold it again.
        self.setAttribute(Qt.WidgetAttribute.WA_NoMouseReplay)
        self._box = box
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search name, date or score")
        self.search.setClearButtonEnabled(True)
        self.search.installEventFilter(self)
        self._found = _Found(self)
        self._found.setSourceModel(box.model())
        self.list = QListView()
        self.list.setModel(self._found)
        self.list.setItemDelegate(_ModelRow(self.list))
        self.list.setUniformItemSizes(True)
        self.list.setMouseTracking(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.search)
        column.addWidget(self.list)
        self.search.textChanged.connect(self._on_search)
        self.list.clicked.connect(self._take)

    def unfold(self) -> None:
        """Show all models below the box, or above where there is more room."""
        self.search.clear()
        self._mark(self._box.currentIndex())
        rows = min(max(self._found.rowCount(), 1), _ROWS)
        height = rows * _ROW + self.search.sizeHint().height() + 10
        size = QSize(max(_WIDTH, self._box.width()), height)
        room = self._box.screen().availableGeometry()
        corner = self._box.mapToGlobal(QPoint(0, self._box.height()))
        if corner.y() + height > room.bottom():
            corner.setY(max(room.top(), corner.y() - self._box.height() - height))
        corner.setX(max(room.left(), min(corner.x(), room.right() - size.width())))
        self.setGeometry(QRect(corner, size))
        self.show()
        self.search.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let keys move in the list and choose from it while words are typed."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = event.key()
            if key in _MOVES:
                self.list.keyPressEvent(event)
                return True
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._take(self.list.currentIndex())
                return True
        return bool(super().eventFilter(watched, event))

    def _on_search(self, words: str) -> None:
        self._found.setFilterFixedString(words.strip())
        if not self.list.currentIndex().isValid():
            self.list.setCurrentIndex(self._found.index(0, 0))

    def _mark(self, row: int) -> None:
        source = self._box.model().index(row, 0)
        self.list.setCurrentIndex(self._found.mapFromSource(source))

    def _take(self, index: QModelIndex) -> None:
        if index.isValid():
            row = self._found.mapToSource(index).row()
            self._box.setCurrentIndex(row)
            self.hide()
            self._box.activated.emit(row)  # as of any box where the user chooses


class _Found(QSortFilterProxyModel):
    """The entries in whose name, title, date or score the words occur."""

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        index = self.sourceModel().index(row, 0, parent)
        words = index.data(_SEARCHED) or index.data()
        return self.filterRegularExpression().match(words.lower()).hasMatch()

    def setFilterFixedString(self, pattern: str | None) -> None:
        super().setFilterFixedString((pattern or "").lower())


class _ModelRow(QStyledItemDelegate):
    """Draws an entry: its picture, its title, and below it date and score."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        return QSize(_WIDTH - 20, _ROW)

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        assert painter is not None
        self.initStyleOption(option, index)
        view: QWidget = option.widget
        listed: Listed | None = index.data(_LISTED)
        lines = [listed.title, listed.facts] if listed else [option.text]
        option.text = ""
        style = view.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, view)
        place = option.rect.adjusted(_GAP, _GAP, -_GAP, -_GAP)
        painter.save()
        painter.setPen(view.palette().text().color())
        if index.data(Qt.ItemDataRole.UserRole) is not None:  # a model, not none
            frame = QRect(place.topLeft(), QSize(_PICTURE, _PICTURE))
            _draw_picture(painter, frame, listed.thumbnail if listed else None)
            place.setLeft(frame.right() + 2 * _GAP)
        _draw_lines(painter, place, lines, view.font())
        painter.restore()


def _draw_lines(painter: QPainter, place: QRect, lines: list[str], font: QFont) -> None:
    """Write lines below each other, the first of several in bold."""
    height = QFontMetrics(font).height() + 2
    top = place.center().y() - height * len(lines) // 2
    for number, line in enumerate(lines):
        font.setBold(number == 0 and len(lines) > 1)
        painter.setFont(font)
        shown = painter.fontMetrics().elidedText(
            line, Qt.TextElideMode.ElideMiddle, place.width()
        )
        row = QRect(place.left(), top + number * height, place.width(), height)
        painter.drawText(row, Qt.AlignmentFlag.AlignVCenter, shown)


def _draw_picture(painter: QPainter, frame: QRect, path: Path | None) -> None:
    """Draw a thumbnail into a frame; an empty one where there is none."""
    picture = _pixmap(path) if path is not None else QPixmap()
    if picture.isNull():
        colour = painter.pen().color()
        colour.setAlpha(40)
        painter.fillRect(frame, colour)
        return
    size = picture.size().scaled(frame.size(), Qt.AspectRatioMode.KeepAspectRatio)
    place = QRect(QPoint(), size)
    place.moveCenter(frame.center())
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawPixmap(place, picture)


def _pixmap(path: Path) -> QPixmap:
    key = f"napari-unet {path} {runs.changed(path)}"
    picture = QPixmapCache.find(key)
    if picture is None or picture.isNull():
        picture = QPixmap(str(path))
        QPixmapCache.insert(key, picture)
    return picture


def _look_up_all(paths: list[Path]) -> Iterator[tuple[Path, Listed]]:
    now = datetime.now().astimezone()
    for path in paths:
        yield path, runs.look_up(path, now)
