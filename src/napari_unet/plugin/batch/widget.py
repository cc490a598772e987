"""The Batch widget: from a folder of images and a model to a folder of results."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QHBoxLayout
from superqt.utils import create_worker

from napari_unet.errors import UNetError
from napari_unet.plugin.batch.form import BatchForm
from napari_unet.plugin.batch.open import Opener
from napari_unet.plugin.batch.process import BatchProcess
from napari_unet.plugin.batch.report import BatchReport
from napari_unet.plugin.batch.rows import (
    DONE,
    FAILED,
    PAGE,
    PLAN,
    RESULTS,
    WAITING,
    survey,
)
from napari_unet.plugin.batch.table import table_of
from napari_unet.plugin.parts.fields import Remark, button
from napari_unet.plugin.replay.button import ReplayButton
from napari_unet.plugin.replay.recipes import BatchRecipe
from napari_unet.plugin.session import DockedWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import napari
    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_unet.plugin.batch.rows import Column, Row
    from napari_unet.plugin.batch.table import BatchTable

_PAUSE = 400  # milliseconds without a change, after which the input is looked through


class BatchWidget(DockedWidget):
    """Predicts many images in a process of its own, which can be gone on with.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    light = True

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self._job: BatchProcess | None = None
        self._surveys = 0  # those that were begun; only the last one counts
        self._rows: list[Row] = []
        self._columns: Sequence[Column] = RESULTS
        self._table: BatchTable | None = None
        self._make_fields()
        layout = self.column()
        layout.addWidget(self.form)
        for buttons in (
            (self.start_button, self.look_button, self.stop_button),
            (self.retry_button, self.table_button, self.report_button),
        ):
            row = QHBoxLayout()
            for each in buttons:
                row.addWidget(each)
            layout.addLayout(row)
        for widget in (self.report, self.said, self.replay):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.setAcceptDrops(True)
        self._connect()
        self._update_buttons()

    # -- what is seen --------------------------------------------------------------

    def _make_fields(self) -> None:
        self.form = BatchForm(self.session)
        self.start_button = button(
            "&Start", "Predict what is not done yet; what was stopped goes on."
        )
        self.look_button = button(
            "L&ook first", "List what would be done, how long it takes, and problems."
        )
        self.stop_button = button("S&top", "Stop; what is done is kept.")
        self.retry_button = button("&Retry failed", "Try again what has failed.")
        self.table_button = button("Ta&ble", "Show the table of all images.")
        self.report_button = button("R&eport", "Open the page on what became of all.")
        self.report = BatchReport()
        self.said = Remark()
        self.opener = Opener(self._viewer, self)
        self.replay = ReplayButton(self._recipe)
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)

    def _connect(self) -> None:
        self.form.changed.connect(self._timer.start)
        self._timer.timeout.connect(self._on_changed)
        self.start_button.clicked.connect(self._on_start)
        self.look_button.clicked.connect(self._on_look)
        self.retry_button.clicked.connect(self._on_retry)
        self.stop_button.clicked.connect(self._on_stop)
        self.table_button.clicked.connect(self._show_table)
        self.report_button.clicked.connect(self._on_report)
        self.use_keys(self.start_button, self.stop_button)
        self.opener.said.connect(self.said.setText)
        self.replay.said.connect(self.said.setText)
        self.report.remarked.connect(self.said.setText)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        event.setAccepted(event.mimeData().hasUrls())

    def dropEvent(self, event: QDropEvent) -> None:
        """Have them predicted."""
        urls = event.mimeData().urls()
        self.form.inputs.take([url.toLocalFile() for url in urls])

    def on_closed(self) -> None:
        """Stop when the dock is closed; the batch can be gone on with."""
        self._timer.stop()
        self._on_stop()
        self._leave_table()

    # -- what the user does --------------------------------------------------------

    def _on_start(self) -> None:
        self._begin()

    def _on_look(self) -> None:
        self._begin(dry_run=True)

    def _on_retry(self) -> None:
        self._begin(retry_failed=True)

    def _begin(self, **told: bool) -> None:
        try:
            order = self.form.order()
            order = replace(order, told={**order.told, **told})
            words = order.command()
        except UNetError as error:
            self._refuse(error)
            return
        look = "dry_run" in told
        if not look:
            self.replay.done = BatchRecipe(order)
        self.said.setText("")
        self.report.begin("Listing the images …")
        self._survey(partial(self._run, words, PLAN if look else RESULTS))
        self._update_buttons(listing=True)

    def _refuse(self, error: Exception) -> None:
        self.report.end(str(error))
        self._update_buttons()
        show_error(str(error))

    def _on_stop(self) -> None:
        self._surveys += 1  # what is being listed does not start any more
        if self._job is not None:
            self.stop_button.setEnabled(False)
            self.report.stop()
            self._job.stop()
        else:
            self.report.end("")
            self._update_buttons()

    def _on_report(self) -> None:
        page = self._place.out / PAGE
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))

    def _recipe(self) -> BatchRecipe:
        return BatchRecipe(self.form.order())

    # -- what is there -------------------------------------------------------------

    def _on_changed(self) -> None:
        """Say what is there, once nothing is typed any more."""
        if self._job is None and (self.form.inputs.paths() or self.form.out.edited):
            self._survey(self._show_earlier, asked=False)

    def _survey(self, then: Callable[[], None], *, asked: bool = True) -> None:
        """List the images in a thread, and go on with `then`.

        Whether the user has `asked` for something decides how an error is said.
        """
        self._surveys += 1
        self._then, self._asked = then, asked
        form = self.form
        create_worker(
            _list,
            self._surveys,
            (form.inputs.paths(), form.out.path(), form.truth.path()),
            # Methods, and no partials, which would outlive the widget.
            _connect={"returned": self._on_listed, "errored": self._on_not_listed},
        )

    def _on_listed(self, found: tuple[int, list[Row], Exception | None]) -> None:
        number, rows, error = found
        if number != self._surveys:
            return
        if error is not None:
            self._on_not_listed(error)
        else:
            self._rows, self._place = rows, self.form.place()
            self._then()

    def _on_not_listed(self, error: Exception) -> None:
        if self._asked:
            self._refuse(error)
        else:
            self.report.end(str(error))

    def _show_earlier(self) -> None:
        """Say how many images there are, and show what earlier runs have done."""
        self._columns = RESULTS
        if any(row.state != WAITING for row in self._rows):
            self._show_table()
        self.report.show_earlier(self._rows)
        self._update_buttons()

    def _run(self, words: list[str], columns: Sequence[Column]) -> None:
        self._columns = columns
        self._show_table()
        self.report.progress.begin("Starting …")
        self._job = job = BatchProcess(words[1:], self, self.session)
        job.reported.connect(self.report.show_event)
        job.looked.connect(self.report.show_outlook)
        job.ended.connect(self._on_ended)
        self._update_buttons()

    def _show_table(self, _: bool = False) -> None:
        """Show the rows in the table, which opens if it is closed."""
        table = table_of(self._viewer)
        if table is not self._table:
            self._leave_table()
            self._table = table
            table.opened.connect(self._open)
        model = table.model
        if model.rows is not self._rows or model.columns is not self._columns:
            table.show_rows(self._rows, self._columns)
        self.report.follow(model)

    def _leave_table(self) -> None:
        if self._table is not None:
            with contextlib.suppress(RuntimeError):  # it went with its window
                self._table.opened.disconnect(self._open)
        self._table = None

    def _open(self, row: Row) -> None:
        self.opener.open(row, self._place)

    def _on_ended(self, why: str) -> None:
        self._job = None
        self.report.end(why)
        if self._table is not None and self._columns is PLAN:
            self._table.fit()
        if why:
            show_error(why)
        self._update_buttons()

    def _update_buttons(self, *, listing: bool = False) -> None:
        running = listing or self._job is not None
        states = {row.state for row in self._rows}
        for each in (self.start_button, self.look_button, self.retry_button):
            each.setEnabled(not running)
        self.stop_button.setEnabled(running)
        self.retry_button.setVisible(FAILED in states)
        self.table_button.setVisible(bool(self._rows))
        self.report_button.setVisible(bool(states & {DONE, FAILED}))


def _list(
    number: int, asked: tuple[list[str], Path, Path | None]
) -> tuple[int, list[Row], Exception | None]:
    """List the images; for a background thread."""
    try:
        return number, survey(*asked), None
    except (UNetError, OSError) as error:
        return number, [], error
