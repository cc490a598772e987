"""The button that copies what was done, or would be, as a shell line or a script."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QMenu, QPushButton
from superqt.utils import create_worker

from napari_unet.errors import UNetError
from napari_unet.replay.words import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QAction

    from napari_unet.plugin.replay.recipes import Done


class Recipe(Protocol):
    """What a widget did or would do."""

    def again(self) -> Recipe:
        """Return what does once more what was done."""

    def gather(self) -> Callable[[], Done]:
        """Look at the layers; what is returned is for a background thread."""


class ReplayButton(QPushButton):
    """Copies what was done, or what would be done now.

    Parameters
    ----------
    entered : callable
        Returns the recipe of what is entered now, or raises `UNetError`.

    Attributes
    ----------
    done : Recipe or None
        What was just done.
    """

    said = Signal(str)
    """What the user should know of what was copied."""

    def __init__(self, entered: Callable[[], Recipe]) -> None:
        super().__init__("Cop&y as")
        self.setToolTip(
            "<p>Copy a shell line or a Python script that does the same, on this "
            "computer or another one.</p>"
        )
        self._entered = entered
        self.done: Recipe | None = None
        menu = QMenu(self)
        self._of_done = [
            self._add(menu, "&Command: what was done", self._did, command=True),
            self._add(menu, "&Python: what was done", self._did, command=False),
        ]
        menu.addSeparator()
        self._add(menu, "C&ommand: what is entered", self._would, command=True)
        self._add(menu, "P&ython: what is entered", self._would, command=False)
        menu.aboutToShow.connect(self._on_menu)
        self.setMenu(menu)

    def _add(
        self, menu: QMenu, text: str, recipe: Callable[[], Recipe], *, command: bool
    ) -> QAction:
        action = menu.addAction(text)
        action.triggered.connect(partial(self._copy, recipe, command))
        return action

    def _on_menu(self) -> None:
        for action in self._of_done:
            action.setVisible(self.done is not None)

    def _did(self) -> Recipe:
        assert self.done is not None
        return self.done.again()

    def _would(self) -> Recipe:
        return self._entered()

    def _copy(self, recipe: Callable[[], Recipe], command: bool, _: Any = None) -> None:
        try:
            work = recipe().gather()
        except UNetError as error:
            show_error(str(error))
            return
        self.setEnabled(False)
        self._command = command
        create_worker(
            work,
            # Methods, and no partials, which would outlive the widget.
            _connect={
                "returned": self._on_found,
                "errored": self._on_error,
                "finished": self._on_finished,
            },
        )

    def _on_finished(self) -> None:
        self.setEnabled(True)

    def _on_found(self, found: Done) -> None:
        done, remarks = found
        text = quoted(done.command()) if self._command else done.script()
        QGuiApplication.clipboard().setText(text)
        self.said.emit(" ".join(["Copied.", *remarks]))

    def _on_error(self, error: Exception) -> None:
        show_error(str(error))
