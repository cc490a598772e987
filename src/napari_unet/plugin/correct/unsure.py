"""Where a prediction is unsure: the search for places, and going to each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from napari_unet.errors import UNetError
from napari_unet.events import (
    Event,
    PlacesFound,
    PredictionFinished,
    PredictionStarted,
    SectionsDone,
    TilesDone,
)
from napari_unet.plugin.correct.job import (
    ASKED,
    search,
    search_recipe,
    uncertainty_of,
)
from napari_unet.plugin.correct.layer import labels_shape
from napari_unet.plugin.correct.places import PlacesTable, go_to
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.parts.choices import RESULT_KEY
from napari_unet.plugin.parts.fields import (
    ProgressLine,
    Remark,
    button,
    folded,
    form_in,
)
from napari_unet.plugin.predict.job import order_prediction
from napari_unet.plugin.replay.recipes import PredictRecipe
from napari_unet.prediction.unsure import SIZE, Place, places_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_unet.plugin.pixel_job import PixelJob
    from napari_unet.plugin.replay.unsure_recipe import UnsureRecipe
    from napari_unet.plugin.session import Session


_SHOWN = "The layer of the uncertainty is hidden: its eye in the layer list shows it."


@dataclass(frozen=True)
class Subject:
    """What is corrected.

    Attributes
    ----------
    image : Image
    prediction : Labels
    model : Path
    info : mapping
        `napari_unet.model.read_info` of the model.
    corrections : Labels or None
    unlabelled : int
        The value in `corrections` that means not annotated.
    """

    image: Image
    prediction: Labels
    model: Path
    info: Mapping[str, Any]
    corrections: Labels | None
    unlabelled: int


class UnsureBox(QGroupBox):
    """Finds unsure places and shows them one after the other.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    subject : callable
        Returns what is corrected now, or raises `UNetError`.
    """

    changed = Signal()
    """A place is looked at, or none any more, or a search began or ended."""

    found = Signal(object)
    """A search is over; with what is copied of it, an `UnsureRecipe`."""

    def __init__(
        self, viewer: ViewerModel, session: Session, subject: Callable[[], Subject]
    ) -> None:
        super().__init__("Where is it unsure?")
        self._viewer = viewer
        self._session = session
        self._subject = subject
        self._job: PixelJob | None = None
        self._asked: PredictRecipe | None = None  # what gave the uncertainty
        self._image: Any = None  # the `unique_id` of the one the places are of
        self._cancelled = False
        self._make_fields()
        self._lay_out()
        self._connect()
        self._update()

    @property
    def place(self) -> Place | None:
        """The place that is looked at, an index into the labels of the image."""
        return self.table.place

    def stop(self) -> None:
        """Stop the search, if there is one."""
        if self._job is not None:
            self._cancelled = True
            self.cancel_button.setEnabled(False)
            self._job.stop()

    # -- what is seen --------------------------------------------------------------

    def _make_fields(self) -> None:
        self.find_button = button(
            "Find &unsure places",
            "List the places where annotating helps most, from the probabilities if "
            "they are in the viewer, and else by the model.",
        )
        self.cancel_button = button("&Cancel", "Stop looking for places.")
        self.progress = ProgressLine()
        self.progress.hide()
        self.table = PlacesTable()
        self.back_button = button("◀ &Back", "Go to the place before, if not done.")
        self.next_button = button("&Next ▶", "Go to the next place that is not done.")
        self.number = _whole(10, 1, 200, "How many places to list at most.")
        self.size_ = _whole(
            SIZE,
            8,
            512,
            "Rows and columns of a place, in pixels; places lie so far apart.",
        )
        self.status = Remark()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        for left, right in (
            (self.find_button, self.cancel_button),
            (self.back_button, self.next_button),
        ):
            row = QHBoxLayout()
            row.addWidget(left, 1)
            row.addWidget(right, 0 if right is self.cancel_button else 1)
            layout.addLayout(row)
            if left is self.find_button:
                layout.addWidget(self.progress)
                layout.addWidget(self.table)
        layout.addWidget(self.status)
        options = QWidget()
        form = form_in(options)
        form.setContentsMargins(10, 0, 0, 0)
        form.addRow("Places", self.number)
        form.addRow("Size", self.size_)
        layout.addWidget(folded("Advanced", options))

    def _connect(self) -> None:
        self.find_button.clicked.connect(self._on_find)
        self.cancel_button.clicked.connect(self.stop)
        self.back_button.clicked.connect(lambda: self.table.step(-1))
        self.next_button.clicked.connect(lambda: self.table.step(1))
        self.table.chosen.connect(self._go)

    def _update(self) -> None:
        running = self._job is not None
        self.find_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.progress.setVisible(running)
        for each in (self.back_button, self.next_button):
            each.setEnabled(self.table.rowCount() > 0)
        self.changed.emit()

    # -- the search ----------------------------------------------------------------

    def _on_find(self) -> None:
        self._asked = None
        self._find()

    def _find(self) -> None:
        self.status.setText("")
        self._cancelled = False
        try:
            subject = self._subject()
            sources = self._sources(subject)
            self._recipe = self.recipe()
            if sources:
                self._search(subject, sources)
            else:
                self._predict(subject)
        except UNetError as error:
            show_error(str(error))
        self._update()

    def _sources(self, subject: Subject) -> list[Image]:
        classes = len(subject.info["classes"]["values"])
        return uncertainty_of(self._viewer, subject.image, subject.prediction, classes)

    def recipe(self) -> UnsureRecipe:
        """Return what is copied of the search that would be made now.

        Raises
        ------
        UNetError
            If something is missing.
        """
        subject = self._subject()
        sources = self._sources(subject)
        size = self.number.value(), self.size_.value()
        return search_recipe(subject, sources, self._asked, *size)

    def _search(self, subject: Subject, sources: list[Image]) -> None:
        """Look through an uncertainty that is there, in the side worker."""
        annotated = None
        if subject.corrections is not None:
            annotated = subject.corrections, subject.unlabelled
        options = {"n": self.number.value(), "size": self.size_.value()}
        self._found = search(
            self._session,
            subject.image,
            subject.prediction,
            sources,
            annotated,
            options,
        )
        self._image = subject.image.unique_id
        self._start(self._found.job, self._session, "Looking for places …")

    def _predict(self, subject: Subject) -> None:
        """Have the network say how unsure it is; the places are looked for then."""
        image, about = subject.image, subject.prediction.metadata.get(RESULT_KEY)
        ordered = order_prediction(
            self._viewer,
            self._session,
            image,
            subject.model,
            "whole image",
            [],
            ASKED,
        )
        assert isinstance(self._recipe.source, PredictRecipe)
        self._asked = self._recipe.source
        self._predicted = ordered
        self._linked = about and about["prediction"]
        self._start(ordered.job, self._session, "Asking the model …")

    def _start(self, job: PixelJob, session: Session, words: str) -> None:
        self._job = job
        self._again = False
        self.progress.begin(words)
        session.start(
            job,
            reported=self._on_event,
            failed=self._on_failed,
            ended=self._on_ended,
        )

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SectionsDone):
            self.progress.show_done(event.done, event.total, "sections")
        elif isinstance(event, PredictionStarted):
            self.progress.begin(f"{event.sections} sections, {event.tiles} tiles")
        elif isinstance(event, TilesDone):
            self.progress.show_done(event.done, event.total, "tiles")
        elif isinstance(event, PredictionFinished):
            self._add_predicted()
        elif isinstance(event, PlacesFound):
            self._show(event)

    def _add_predicted(self) -> None:
        """Show the uncertainty the network gave, and look through it when it rests."""
        for data, meta, kind in self._predicted.layers():
            about = meta["metadata"][RESULT_KEY]
            if about["what"] == "uncertainty":
                about["prediction"] = self._linked or about["prediction"]
                self._add(data, meta, kind)
                self._again = True

    def _show(self, event: PlacesFound) -> None:
        found = self._found.layer()
        if found is not None:
            self._add(*found)
        first = self._found.start
        places = [
            Place(
                tuple(a + b for a, b in zip(each.position, first, strict=True)),
                each.score,
            )
            for each in places_of(event)
        ]
        self.table.show_places(places, self._found.axes)
        words = "" if places else "There is no place left that is unsure."
        self.status.setText(words or _SHOWN)
        self.table.step(1)
        self.found.emit(self._recipe)

    def _add(self, data: Any, meta: dict[str, Any], kind: str) -> None:
        """Add a layer below the corrections, which stay those that are painted on."""
        active = self._viewer.layers.selection.active
        layer = getattr(self._viewer, f"add_{kind}")(data, **meta)
        if active is not None:
            self._viewer.layers.selection.active = active
            place = self._viewer.layers.index(active)
            self._viewer.layers.move(self._viewer.layers.index(layer), place)

    def _on_failed(self, message: str) -> None:
        self.status.setText(message)
        show_error(message)

    def _on_ended(self) -> None:
        self._job = None
        again, self._again = self._again, False
        if again and not self._cancelled:
            self._find()
        elif self._cancelled:
            self.status.setText("Cancelled.")
        self._update()

    # -- going there ---------------------------------------------------------------

    def _go(self, place: Place) -> None:
        image = next(
            (each for each in self._viewer.layers if each.unique_id == self._image),
            None,
        )
        if image is None:
            self.status.setText("The image of these places is no longer in the viewer.")
            return
        lengths = labels_shape(image)
        inside = (0 <= a < n for a, n in zip(place.position, lengths, strict=False))
        if len(lengths) != len(place.position) or not all(inside):
            self.status.setText(
                f"{image.name!r} is not the one that was searched: it has another "
                "shape now. Find unsure places again."
            )
            return
        stack = stack_from_layer(image)
        known = dict(zip(stack.section_axes, place.position, strict=True))
        axes = stack.axes[: image.ndim]
        position = [known.get(axis, 0) for axis in axes]
        go_to(self._viewer, image, position, self.size_.value())
        self.changed.emit()


def _whole(value: int, least: int, most: int, hint: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setValue(value)
    box.setToolTip(f"<p>{hint}</p>")
    return box
