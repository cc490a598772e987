"""The Predict widget: from an image layer and a model to a labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from napari.layers import Image
from napari.utils.notifications import show_error, show_warning
from qtpy.QtWidgets import QGroupBox, QHBoxLayout

from napari_unet.config import PredictionConfig, options
from napari_unet.errors import UNetError
from napari_unet.events import Event, PredictionFinished, PredictionStarted, TilesDone
from napari_unet.model import read_info
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.look.look import WHERE_I_LOOK, Look
from napari_unet.plugin.parts.choices import LayerChoice
from napari_unet.plugin.parts.fields import (
    ProgressLine,
    at_top,
    button,
    choice,
    column_of,
    form_in,
    paragraph,
    tick,
)
from napari_unet.plugin.parts.forms import OptionsForm
from napari_unet.plugin.parts.models import ModelChoice, describe, has_objects
from napari_unet.plugin.predict.filling import FillingLayers, say_complete
from napari_unet.plugin.predict.fit import FitView
from napari_unet.plugin.predict.job import (
    Prediction,
    find_both,
    order_prediction,
    region_asked,
)
from napari_unet.plugin.predict.next_steps import NextSteps
from napari_unet.plugin.predict.relabelling import thresholds_of
from napari_unet.plugin.predict.threshold import ThresholdSlider
from napari_unet.plugin.predict.where import BOXES
from napari_unet.plugin.replay.button import ReplayButton
from napari_unet.plugin.replay.recipes import PredictRecipe
from napari_unet.plugin.replay.sources import LayerRef
from napari_unet.plugin.session import DockedWidget
from napari_unet.plugin.settings import Follower

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from qtpy.QtWidgets import QCheckBox

    from napari_unet.plugin.pixel_job import PixelJob


_MISSING = "What is not predicted yet is 0."
_MOVED = (
    "The threshold of {!r} was moved by hand, which this does not do: save the layer "
    "to have its labels in a file."
)


class PredictWidget(DockedWidget):
    """Applies a model to an image layer, in the worker process.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self._job: PixelJob | None = None
        self._cut_short = ""  # why the prediction ends before it is complete
        self._tiles = (0, 0)  # done, of all
        self._sections = 0  # that are predicted one by one
        self._info: dict[str, Any] | None = None  # of the model
        self._make_fields()
        layout = self.column()
        layout.addWidget(self._data_box())
        row = QHBoxLayout()
        row.addWidget(self.predict_button)
        row.addWidget(self.cancel_button)
        layout.addLayout(row)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.threshold)
        layout.addWidget(self.next_steps)
        layout.addWidget(self.replay)
        layout.addStretch(1)
        self._connect()
        self.model.refresh(self.session.model)
        self._on_model()
        self._on_image()
        self._update_buttons()

    # -- what is seen --------------------------------------------------------------

    def _make_fields(self) -> None:
        self.image = LayerChoice(self._viewer, Image, "open an image first")
        self.image.setToolTip("<p>The image to predict.</p>")
        self.model = ModelChoice(session=self.session)
        self.where = choice(
            {each: each for each in ("whole image", *BOXES, WHERE_I_LOOK)},
            "What to predict; it is the same as in the whole image, whose "
            "surroundings it sees. A huge image can be predicted where you look, as "
            "you move through it.",
        )
        self.about = paragraph()
        self.probabilities = tick(
            "also probabilities",
            "An image for each class, and, unless it is predicted where you look, a "
            "slider to label more or less of it.",
        )
        self.objects = tick("also objects", "Labels with a number for each object.")
        self.attention = tick("also attention", "An image for each attention gate.")
        self._boxes = {
            "probabilities": self.probabilities,
            "objects": self.objects,
            "attention": self.attention,
        }
        self.advanced = OptionsForm(options(PredictionConfig), elsewhere=["rescale"])
        Follower(self.advanced)
        self.fit = FitView(cast("QCheckBox", self.advanced.field("rescale")))
        self.predict_button = button("Predic&t", "Label every pixel of the image.")
        self.cancel_button = button("&Cancel", "Stop, and keep what is done.")
        self.progress = ProgressLine()
        self.status = paragraph()
        self.threshold = ThresholdSlider(self._viewer)
        self.next_steps = NextSteps(self._viewer)
        self.replay = ReplayButton(self._recipe)

    def _data_box(self) -> QGroupBox:
        box = QGroupBox("Prediction")
        form = form_in(box)
        form.addRow("Image", self.image)
        form.addRow("Where", self.where)
        form.addRow("Model", self.model)
        form.addRow(self.about)
        form.addRow(self.fit)
        form.addRow(at_top("Result"), column_of(self._boxes.values()))
        form.addRow(self.advanced)
        return box

    def _connect(self) -> None:
        self.model.changed.connect(self._on_model)
        self.where.currentTextChanged.connect(self._show_results)
        self.image.chosen.connect(self._on_image)
        self.session.model_trained.connect(self.model.refresh)
        self.predict_button.clicked.connect(self._on_predict)
        self.cancel_button.clicked.connect(self._on_cancel)
        self.use_keys(self.predict_button, self.cancel_button)
        self.replay.said.connect(self.status.setText)
        self.threshold.relabelling.finished.connect(self._on_relabelled)

    def reset_choices(self, _: Any = None) -> None:
        """Follow the layers of the viewer; napari calls it when they change."""
        self.image.refresh()
        self.threshold.follow()
        self.next_steps.follow()

    def on_closed(self) -> None:
        """Stop the prediction when the dock is closed."""
        if self._job is not None:
            self._on_cancel()
            self._close_layers()  # nobody will hear of the end

    # -- what the user does --------------------------------------------------------

    def _on_image(self) -> None:
        self.fit.show_layer(self.image.layer)

    def _on_model(self) -> None:
        path, info = self.model.path(), None
        words = "Train one, or choose its file."
        if path is not None:
            try:
                info = read_info(path)
                self.fit.show_model(info)
                words = describe(info)
            except UNetError as error:
                info, words = None, str(error)
        self.about.setText(words)
        if info is None:
            self.fit.show_model(None)
        self._info = info
        if info is not None:
            names = (info["classes"] or {}).get("names", ())
            self.objects.setChecked("foreground" in names)
            self.advanced.enter({"object_dims": info["network"].get("dims", 2)})
        self._show_results()

    def _show_results(self, _: Any = None) -> None:
        """Offer what the model can give; objects and attention not where one looks."""
        if (info := self._info) is None:
            for box in self._boxes.values():
                box.hide()
            return
        whole = self.where.currentText() != WHERE_I_LOOK
        gates = "attention" in info["network"].get("name", "")
        self.probabilities.setVisible(info["classes"] is not None)
        self.objects.setVisible(whole and has_objects(info))
        self.attention.setVisible(whole and gates)

    def _on_predict(self) -> None:
        if self.where.currentText() == WHERE_I_LOOK:
            self._look()
            return
        try:
            self._ordered = ordered = self._order()
            self.replay.done = self._recipe()
        except UNetError as error:
            self._refuse(error)
            return
        self._job = job = ordered.job
        self._layers = FillingLayers(self._viewer, self)
        self._cut_short = ""
        self._tiles, self._sections = (0, 0), 0
        self.progress.begin("Preparing the image …")
        self.status.setText("")
        self._update_buttons()
        self.session.start(
            job,
            reported=self._on_event,
            failed=self._on_failed,
            ended=self._on_ended,
        )

    def _look(self) -> None:
        try:
            self._check_fit()
            image, model = find_both(self.image.layer, self.model.path())
            entered = self.advanced.values()
            look = Look(
                self._viewer,
                self.session,
                image,
                model,
                entered,
                probabilities="probabilities" in self._wanted(),
            )
        except UNetError as error:
            self._refuse(error)
            return
        self.status.setText("Measuring the image …")
        self.window().destroyed.connect(look.end)
        look.said.connect(self.status.setText)

    def _refuse(self, error: UNetError) -> None:
        self._on_model()  # its file may be gone
        show_error(str(error))

    def _check_fit(self) -> None:
        # That one is gone matters more than what it expects.
        find_both(self.image.layer, self.model.path())
        if self.fit.misfit:
            raise UNetError(self.fit.misfit)

    def _wanted(self) -> list[str]:
        return [
            name
            for name, box in self._boxes.items()
            if box.isChecked() and not box.isHidden()
        ]

    def _recipe(self) -> PredictRecipe:
        layer, _ = find_both(self.image.layer, self.model.path())
        where = self.where.currentText()
        region = region_asked(self._viewer, layer, stack_from_layer(layer), where)
        return PredictRecipe(
            LayerRef(layer),
            cast("Path", self.model.path()),
            self.advanced.values(),
            self._wanted(),
            None if region is None else region.bounds,
        )

    def _order(self) -> Prediction:
        self._check_fit()
        return order_prediction(
            self._viewer,
            self.session,
            self.image.layer,
            self.model.path(),
            self.where.currentText(),
            self._wanted(),
            self.advanced.values(),
        )

    def _on_relabelled(self) -> None:
        """Have a copied command say what it does not do."""
        labels = self.threshold.labels
        if labels is not None and isinstance(self.replay.done, PredictRecipe):
            moved = any(each != 0.5 for each in thresholds_of(labels).wanted)
            self.replay.done.remarks[:] = [_MOVED.format(labels.name)] * moved

    def _on_cancel(self) -> None:
        if self._job is not None:
            self._cut_short = "Cancelled"
            self.cancel_button.setEnabled(False)
            self._job.stop()

    # -- what the worker reports ---------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PredictionStarted):
            self.progress.begin(f"{event.sections} sections, {event.tiles} tiles")
            for remark in event.remarks:
                if not (self.fit.said and remark.startswith(self.fit.said)):
                    show_warning(remark)
            if not self._cut_short:  # by a Cancel that came before
                self._layers.add(self._ordered.layers())
                self._sections = self._in_order(event)
                self.status.setText(_MISSING)
        elif isinstance(event, TilesDone):
            self._tiles = event.done, event.total
            self.progress.show_done(*self._tiles, "tiles")
            if not self._cut_short:
                complete = say_complete(*self._tiles, self._sections)
                self.status.setText(complete + _MISSING)
            self._layers.touch()
        elif isinstance(event, PredictionFinished):
            self._cut_short = ""  # it came too late for that

    def _in_order(self, event: PredictionStarted) -> int:
        """Return how many sections are predicted one by one; 0 if it is not so."""
        volumes = self._ordered.info["network"].get("dims", 2) == 3
        return 0 if volumes or event.tiles % event.sections else event.sections

    def _on_failed(self, message: str) -> None:
        self._cut_short = message
        show_error(message)

    def _on_ended(self) -> None:
        self._job = None
        self._close_layers()
        self.progress.end()
        self._update_buttons()

    def _close_layers(self) -> None:
        """Say of the layers what they hold."""
        name = self._layers.end("partial" if self._cut_short else "")
        done, total = self._tiles
        words = f"{self._cut_short.rstrip('.')}. " if self._cut_short else ""
        if not name:
            words += "Nothing was added."
        elif words:
            words += say_complete(done, total, self._sections)
            words += (
                f"{done} of {total} tiles are done and kept in the layer {name!r}; the "
                "rest of it is 0."
            )
        else:
            words = f"Added the layer {name!r}."
        if name and self._ordered.target.is_rescaled(self._viewer.layers):
            words += " The image was rescaled meanwhile; the result was not."
        self.status.setText(words)

    def _update_buttons(self) -> None:
        running = self._job is not None
        self.predict_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.threshold.setEnabled(not running)  # its labels fill in
