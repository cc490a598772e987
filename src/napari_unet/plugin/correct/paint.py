"""Painting corrections, and accepting what is right of a prediction."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QComboBox, QGroupBox, QHBoxLayout, QVBoxLayout
from superqt.utils import create_worker

from napari_unet.errors import UNetError
from napari_unet.plugin.correct.accept import (
    PARTS,
    PLACE,
    bounds_of,
    finest,
    make_ready,
    take_over,
)
from napari_unet.plugin.correct.autosave import autosave
from napari_unet.plugin.correct.job import start_of_result
from napari_unet.plugin.correct.layer import (
    Change,
    Corrections,
    find_annotations,
    labels_shape,
    look_of,
    show_change,
)
from napari_unet.plugin.correct.store import find_saved, layout_of
from napari_unet.plugin.layers import placement
from napari_unet.plugin.parts.choices import CORRECTIONS_KEY
from napari_unet.plugin.parts.fields import Remark, button, choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_unet.plugin.correct.accept import Made
    from napari_unet.plugin.correct.unsure import Subject, UnsureBox
    from napari_unet.plugin.session import Session


_LARGE = 2**20  # pixels that take a while


class PaintBox(QGroupBox):
    """Makes the layer of corrections, and puts into it what is accepted.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    subject : callable
        Returns what is corrected now, or raises `UNetError`.
    unsure : UnsureBox
        Which place is looked at.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        subject: Callable[[], Subject],
        unsure: UnsureBox,
    ) -> None:
        super().__init__("Corrections")
        self._viewer = viewer
        self._session = session
        self._subject = subject
        self._unsure = unsure
        self._busy = False  # a thread makes the layer or reads the prediction
        self._make_fields()
        self._lay_out()
        self._connect()

    # -- what is seen --------------------------------------------------------------

    def _make_fields(self) -> None:
        self.paint_button = button(
            "Pa&int", "Paint on a layer of corrections, apart from the prediction."
        )
        self.classes = QComboBox()
        self.classes.setToolTip("<p>What the brush paints.</p>")
        self.what = choice(
            {each: each for each in PARTS},
            "How much of the prediction is taken as true, where nothing is painted.",
        )
        self.accept_button = button(
            "&Accept", "Take the prediction there as true, except where you painted."
        )
        self.open_button = button(
            "&Open the last corrections", "Go on with those that were saved last."
        )
        self.status = Remark()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        for left, right in (
            (self.paint_button, self.classes),
            (self.accept_button, self.what),
        ):
            row = QHBoxLayout()
            row.addWidget(left)
            row.addWidget(right, 1)
            layout.addLayout(row)
        layout.addWidget(self.open_button)
        layout.addWidget(self.status)

    def _connect(self) -> None:
        self.paint_button.clicked.connect(self._on_paint)
        self.classes.activated.connect(self._on_paint)
        self.accept_button.clicked.connect(self._on_accept)
        self.open_button.clicked.connect(self._on_open)
        self._unsure.changed.connect(self.refresh)

    def refresh(self) -> None:
        """Follow the layers of the viewer."""
        try:
            subject = self._subject()
        except UNetError:
            self.setEnabled(False)
            return
        self.setEnabled(True)
        saved = None
        if subject.corrections is None:
            saved = find_saved(subject.image.name, labels_shape(subject.image))
        self.open_button.setVisible(saved is not None)
        self._list_classes(subject)
        for each in (self.paint_button, self.accept_button, self.open_button):
            each.setEnabled(not self._busy)

    def _list_classes(self, subject: Subject) -> None:
        about = self._about(subject)
        look = look_of(about, subject.prediction)["colormap"].color_dict
        if subject.corrections is not None:
            look = {e: subject.corrections.get_color(e) for e in about.values}
        entries = [*zip(about.values, about.names, strict=True)]
        chosen = self.classes.currentData()
        with QSignalBlocker(self.classes):
            self.classes.clear()
            for value, name in entries:
                text = str(value) if name == str(value) else f"{value} · {name}"
                self.classes.addItem(_swatch(look[value]), text, value)
            self.classes.addItem("erase: not annotated", about.unlabelled)
            kept = self.classes.findData(chosen)
            self.classes.setCurrentIndex(kept if kept >= 0 else len(entries) - 1)

    def _about(self, subject: Subject) -> Corrections:
        if subject.corrections is not None:
            return Corrections.from_layer(subject.corrections)
        return Corrections.of(subject.image, str(subject.model), subject.info)

    # -- painting ------------------------------------------------------------------

    def _on_paint(self, _: Any = None) -> None:
        self._with_layer(self._start_painting)

    def _start_painting(self, layer: Labels) -> None:
        self._viewer.layers.selection.active = layer
        layer.visible = True
        layer.selected_label = self.classes.currentData()
        layer.mode = "paint"

    def _on_open(self) -> None:
        self._with_layer(self._start_painting, saved=True)

    def _with_layer(
        self, then: Callable[[Labels], None], *, saved: bool = False
    ) -> None:
        """Do something with the layer of corrections, made before if there is none."""
        try:
            subject = self._subject()
        except UNetError as error:
            show_error(str(error))
            return
        if subject.corrections is not None:
            then(subject.corrections)
            return
        about, image = self._about(subject), subject.image
        path = find_saved(image.name, labels_shape(image)) if saved else None
        given = None if saved else find_annotations(self._viewer, image)
        pixels = given.data if given is not None and about.unlabelled == 0 else None
        which = image.unique_id, subject.prediction.unique_id
        made = partial(self._add, *which, then)
        self._work(make_ready, layout_of(image, about), about, path, pixels, then=made)

    def _add(
        self, of: Any, seen_in: Any, then: Callable[[Labels], None], made: Made
    ) -> None:
        image = self._find(of)
        if image is None:
            self.status.setText("The image was removed: nothing was added.")
            return
        pixels, about, path, remark = made
        about = replace(about, image=str(image.unique_id), name=image.name)
        look = look_of(about, self._find(seen_in))
        layer = self._viewer.add_labels(pixels, **{**placement(image), **look})
        autosave(layer, layout_of(image, about), path, self._session)
        self.status.setText(remark)
        # napari takes long to add a layer: the window is free before it is painted on.
        QTimer.singleShot(0, partial(then, layer))

    # -- accepting -----------------------------------------------------------------

    def _on_accept(self) -> None:
        self._with_layer(self._accept)

    def _accept(self, layer: Labels) -> None:
        try:
            subject = self._subject()
            what, size = self.what.currentText(), self._unsure.size_.value()
            bounds = bounds_of(self._viewer, subject, what, self._unsure.place, size)
        except UNetError as error:
            show_error(str(error))
            return
        start = start_of_result(subject.prediction)
        inner = [(a - s, b - s) for (a, b), s in zip(bounds, start, strict=True)]
        put = partial(self._put, layer.unique_id, layer.data, layer.mode)
        if math.prod(b - a for a, b in bounds) > _LARGE:
            layer.editable = False  # a stroke meanwhile would be lost
        about = Corrections.from_layer(layer)
        pixels = finest(subject.prediction)
        self._work(take_over, layer.data, pixels, inner, bounds, about, then=put)

    def _put(self, which: Any, pixels: Any, mode: str, change: Change) -> None:
        layer = self._find(which)
        if layer is None:
            self.status.setText("The corrections were removed: nothing was accepted.")
            return
        if not layer.editable:
            layer.editable, layer.mode = True, mode
        if layer.data is not pixels:  # nothing could be undone in those
            layer.refresh(extent=False)
            self.status.setText(
                "The corrections were turned or replaced meanwhile: accept again what "
                "is missing."
            )
            return
        show_change(layer, change)
        self._viewer.layers.selection.active = layer
        if self.what.currentText() == PLACE:
            self._unsure.table.tick()
        self.status.setText(
            f"{change.count} pixels are now taken as true (Ctrl+Z takes them back)."
        )

    # -- threads -------------------------------------------------------------------

    def _find(self, which: Any) -> Any:
        """Return the layer of that `unique_id`, or None if it is gone."""
        found = [each for each in self._viewer.layers if each.unique_id == which]
        return found[0] if found else None

    def _work(self, function: Any, *given: Any, then: Callable[[Any], None]) -> None:
        """Call a function in a thread, and go on with what it returns."""
        self._busy = True
        self._then = then
        self.refresh()
        create_worker(
            function,
            *given,
            # Methods, and no partials, which would outlive the widget.
            _connect={"returned": self._on_done, "errored": self._on_failed},
        )

    def _on_done(self, result: Any) -> None:
        self._busy = False
        self._then(result)
        self.refresh()

    def _on_failed(self, error: Exception) -> None:
        self._busy = False
        for layer in self._viewer.layers:
            if CORRECTIONS_KEY in layer.metadata:
                layer.editable = True
        show_error(f"The corrections could not be made ready ({error}).")
        self.refresh()


def _swatch(colour: Any) -> QIcon:
    pixmap = QPixmap(14, 14)
    red, green, blue = (float(each) for each in colour[:3])
    pixmap.fill(QColor.fromRgbF(red, green, blue))
    return QIcon(pixmap)
