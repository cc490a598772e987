"""The Objects widget: from labels or probabilities to numbered, measured objects."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QGroupBox

from napari_unet.config import ObjectConfig, options
from napari_unet.errors import UNetError
from napari_unet.events import Event, ObjectsFound, ObjectsMeasured, SectionsDone
from napari_unet.plugin.objects.form import ObjectForm
from napari_unet.plugin.objects.input import ObjectInput
from napari_unet.plugin.objects.job import order_objects
from napari_unet.plugin.objects.measure import MeasureBox
from napari_unet.plugin.objects.preview import LivePreview
from napari_unet.plugin.parts.fields import (
    ProgressLine,
    button,
    form_in,
    paragraph,
    tick,
)
from napari_unet.plugin.predict.filling import FillingLayers
from napari_unet.plugin.replay.button import ReplayButton
from napari_unet.plugin.replay.object_recipes import ObjectsRecipe
from napari_unet.plugin.replay.sources import ChannelsRef, LayerRef
from napari_unet.plugin.session import DockedWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_unet.plugin.objects.input import Wanted
    from napari_unet.plugin.pixel_job import PixelJob
    from napari_unet.plugin.results import LayerData

_PATIENCE = 3000  # milliseconds


class ObjectsWidget(DockedWidget):
    """Finds objects in a layer and measures them, in the side worker.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    light = True

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self._job: PixelJob | None = None
        self._cut_short = ""  # why the job ends before it is complete
        self._order: Callable[[], list[LayerData]] | None = None  # opens the result
        self._make_fields()
        layout = self.column()
        layout.addWidget(self._objects_box())
        layout.addWidget(self.measure)
        layout.addWidget(self.cancel_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.replay)
        layout.addStretch(1)
        self.preview = LivePreview(
            napari_viewer, self.session, self._what_is_wanted, self
        )
        self._connect()
        self._on_input()
        self._update_buttons()

    # -- what is seen --------------------------------------------------------------

    def _make_fields(self) -> None:
        self.input = ObjectInput(self._viewer)
        self.prediction = self.input.layer
        self.form = ObjectForm(options(ObjectConfig))
        self.live = tick(
            "L&ive preview", "Show the objects of the current section as values change."
        )
        self.apply_button = button("Find obj&ects", "Find the objects in all sections.")
        self.measure = MeasureBox(self._viewer, self.session)
        self.cancel_button = button("&Cancel", "Stop; objects found so far are kept.")
        self.progress = ProgressLine()
        self.status = paragraph()
        self.replay = ReplayButton(self._recipe)

    def _objects_box(self) -> QGroupBox:
        box = QGroupBox("Find objects")
        form = form_in(box)
        form.addRow(self.input)
        form.addRow(self.form)
        form.addRow(self.live)
        form.addRow(self.apply_button)
        return box

    def _connect(self) -> None:
        self.input.changed.connect(self._on_input)
        self.form.changed.connect(self.preview.ask)
        self.live.toggled.connect(self._on_live)
        self.preview.said.connect(self.status.setText)
        self.apply_button.clicked.connect(self._on_apply)
        self.measure.button.clicked.connect(self._on_measure)
        self.cancel_button.clicked.connect(self._on_cancel)
        self.use_keys(self.apply_button, self.cancel_button)
        self.replay.said.connect(self.status.setText)

    def reset_choices(self, _: Any = None) -> None:
        """Follow the layers of the viewer; napari calls it when they change."""
        self.input.refresh()
        self.measure.refresh()

    def on_closed(self) -> None:
        """Stop what is at work when the dock is closed."""
        self.live.setChecked(False)
        if self._job is not None:
            self._on_cancel()
            self._close_layers()  # nobody will hear of the end

    # -- what the user does --------------------------------------------------------

    def _what_is_wanted(self) -> tuple[Wanted, ObjectConfig]:
        return self.input.wanted(), ObjectConfig.from_dict(self.form.values())

    def _on_input(self) -> None:
        self.form.suit(self.input.method.currentText(), self.input.layer.layer)
        self.preview.ask()

    def _on_live(self, on: bool) -> None:
        if on:
            self.preview.start()
        else:
            self.preview.stop()

    def _recipe(self) -> ObjectsRecipe:
        wanted, config = self._what_is_wanted()
        layer, options = LayerRef(wanted.layer), config.to_dict()
        if wanted.border_layer is None:
            return ObjectsRecipe(layer, wanted.inside, wanted.border, options)
        both = ChannelsRef([layer, LayerRef(wanted.border_layer)], ["inside", "border"])
        return ObjectsRecipe(both, 0, 1, options)

    def _on_apply(self) -> None:
        try:
            wanted, config = self._what_is_wanted()
            order = order_objects(self._viewer, self.session, wanted, config)
            self.replay.done = self._recipe()
        except UNetError as error:
            show_error(str(error))
            return
        self.live.setChecked(False)  # it would hide the result
        self._order = partial(order.layers, wanted, config)
        self._begin(order.job)

    def _on_measure(self) -> None:
        try:
            dims = self.form.values()["object_dims"]
            job = self.measure.order(dims)
            self.replay.done = self.measure.recipe(dims)
        except UNetError as error:
            show_error(str(error))
            return
        self._order = None
        self._begin(job)

    def _on_cancel(self) -> None:
        if (job := self._job) is not None:
            self._cut_short = "Cancelled"
            self.cancel_button.setEnabled(False)
            job.stop()
            # A large volume is one step, in the midst of which nothing is heard.
            QTimer.singleShot(_PATIENCE, lambda: self._end_at_once(job))

    def _end_at_once(self, job: PixelJob) -> None:
        if job is self._job:
            self.session.side.abort()

    def _begin(self, job: PixelJob) -> None:
        self._job = job
        self._layers = FillingLayers(self._viewer, self)
        self._cut_short, self._said = "", ""
        self.progress.begin("Preparing the pixels …")
        self.status.setText("")
        self._update_buttons()
        self.session.start(
            job,
            reported=self._on_event,
            failed=self._on_failed,
            ended=self._on_ended,
        )

    # -- what the worker reports ---------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SectionsDone):
            self._on_sections(event)
        elif isinstance(event, ObjectsFound):
            self._cut_short = ""  # it came too late for that
            self._said = f"{event.count} objects"
        elif isinstance(event, ObjectsMeasured):
            self._cut_short = ""
            self._said = self.measure.show_table(event)

    def _on_sections(self, event: SectionsDone) -> None:
        if event.done == 0:
            self.progress.begin(f"{event.total} sections")
            if self._order is not None and not self._cut_short:
                self._layers.add(self._order())
            return
        self.progress.show_done(event.done, event.total, "sections")
        self._layers.touch()

    def _on_failed(self, message: str) -> None:
        self._cut_short = message
        show_error(message)

    def _on_ended(self) -> None:
        self._job = None
        self._close_layers()
        self.progress.end()
        self._update_buttons()

    def _close_layers(self) -> None:
        """Say of the layer what it holds."""
        name = self._layers.end("partial" if self._cut_short else "")
        words = self._said
        if self._cut_short:
            kept = f" What is done is kept in the layer {name!r}." if name else ""
            words = f"{self._cut_short.rstrip('.')}.{kept}"
        elif name:
            words += f" in the layer {name!r}."
        self.status.setText(words)

    def _update_buttons(self) -> None:
        running = self._job is not None
        self.apply_button.setEnabled(not running)
        self.measure.button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
