"""The Evaluate widget: from a prediction and its truth to scores and errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFileDialog, QGroupBox, QHBoxLayout
from superqt.utils import create_worker

from napari_unet.config import EvaluationConfig, options
from napari_unet.errors import UNetError
from napari_unet.events import EvaluationFinished, Event, SectionsDone
from napari_unet.files import write_text
from napari_unet.plugin.evaluate.error_layer import add_errors, go_to_section
from napari_unet.plugin.evaluate.fields import (
    MembranesField,
    PredictionChoice,
    SameValues,
    kind_of,
)
from napari_unet.plugin.evaluate.job import (
    Comparing,
    comparison_recipe,
    order_comparison,
)
from napari_unet.plugin.evaluate.predicted import about_membranes, find_predicted
from napari_unet.plugin.evaluate.score_view import ScoreView
from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY, LayerChoice
from napari_unet.plugin.parts.fields import (
    ProgressLine,
    Remark,
    button,
    choice,
    form_in,
    paragraph,
)
from napari_unet.plugin.parts.forms import OptionsForm
from napari_unet.plugin.replay.button import ReplayButton
from napari_unet.plugin.session import DockedWidget

if TYPE_CHECKING:
    import napari

    from napari_unet.plugin.replay.recipes import EvaluateRecipe

_KINDS = {"classes": "classes", "numbered objects": "objects", "values": "values"}


class EvaluateWidget(DockedWidget):
    """Compares a prediction with its truth, in the side worker.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    light = True

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self._job: Any = None
        self._ordered: Comparing | None = None
        self._page = ""
        self._kind_by_hand = False
        self._make_fields()
        layout = self.column()
        layout.addWidget(self._data_box())
        row = QHBoxLayout()
        row.addWidget(self.evaluate_button)
        row.addWidget(self.cancel_button)
        layout.addLayout(row)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.same_values)
        layout.addWidget(self.scores)
        layout.addWidget(self.save_button)
        layout.addWidget(self.replay)
        layout.addStretch(1)
        self._connect()
        self.reset_choices()
        self._on_prediction()
        self._update_buttons()

    # -- what is seen --------------------------------------------------------------

    def _make_fields(self) -> None:
        viewer = self._viewer
        self.prediction = PredictionChoice(viewer, Labels, "predict an image first")
        self.prediction.setToolTip("<p>What is scored: labels, P(cell) or values.</p>")
        self.scored = Remark()
        self.truth = LayerChoice(viewer, Labels, "open the truth first")
        self.truth.setToolTip("<p>What the prediction should equal.</p>")
        self.image = LayerChoice(viewer, Image, "none")
        self.image.setToolTip(
            "<p>What was predicted: for the report's pictures, and to tell whether the "
            "model was trained on it.</p>"
        )
        for each in (self.prediction, self.truth):
            each.offer(Labels, Image)
        self.kind = choice(
            _KINDS,
            "What the layers hold: labels or probabilities of classes, a number for "
            "each object, or values of a regression.",
        )
        self.membranes = MembranesField()
        self.same_values = SameValues()
        self.advanced = OptionsForm(
            options(EvaluationConfig), made={"membranes": self.membranes}
        )
        self.evaluate_button = button(
            "&Evaluate", "Compare the two, and add a layer of the errors."
        )
        self.cancel_button = button("&Cancel", "Stop; nothing is added.")
        self.progress = ProgressLine()
        self.status = paragraph()
        self.scores = ScoreView()
        self.save_button = button(
            "Save &report …",
            "Write scores, definitions, pictures and where all comes from as one HTML "
            "page, which a browser shows and prints.",
        )
        self.save_button.hide()
        self.replay = ReplayButton(self._recipe)

    def _data_box(self) -> QGroupBox:
        box = QGroupBox("Comparison")
        form = form_in(box)
        form.addRow("Prediction", self.prediction)
        form.addRow(self.scored)
        form.addRow("Truth", self.truth)
        form.addRow("Image", self.image)
        form.addRow("Compare", self.kind)
        form.addRow(self.advanced)
        return box

    def _connect(self) -> None:
        self.prediction.chosen.connect(self._on_prediction)
        self.truth.chosen.connect(self._on_truth)
        self.kind.activated.connect(self._on_kind)
        self.kind.currentIndexChanged.connect(self._say_what_is_scored)
        self.same_values.taken.connect(self._on_same_values)
        self.evaluate_button.clicked.connect(self._on_evaluate)
        self.cancel_button.clicked.connect(self._on_cancel)
        self.use_keys(self.evaluate_button, self.cancel_button)
        self.save_button.clicked.connect(self._on_save)
        self.scores.bars.chosen.connect(self._on_section)
        self.replay.said.connect(self.status.setText)

    def reset_choices(self, _: Any = None) -> None:
        """Follow the layers of the viewer; napari calls it when they change."""
        for each in (self.prediction, self.truth, self.image):
            each.refresh()
        if not self.prediction.by_hand:
            self.prediction.suggest()
        self._say_what_is_scored()

    def on_closed(self) -> None:
        """Stop the work when the dock is closed."""
        self._on_cancel()

    # -- what the user does --------------------------------------------------------

    def _on_kind(self) -> None:
        self._kind_by_hand = True

    def _on_prediction(self) -> None:
        """Choose what goes with a prediction: its image, a truth, what it holds."""
        self._forget_values()
        layer = self.prediction.layer
        if layer is None:
            self._say_what_is_scored()
            return
        if not self._kind_by_hand:
            self.kind.setCurrentIndex(self.kind.findData(kind_of(layer)))
        wanted = layer.metadata.get(RESULT_KEY, {}).get("image")
        for each in self._viewer.layers:
            if str(each.unique_id) == str(wanted) and self.image.lists(each):
                self.image.choose(each)
        if self.truth.layer is layer or not self.truth.by_hand:
            self._suggest_truth(layer)
        self._say_what_is_scored()

    def _on_truth(self) -> None:
        self._forget_values()
        self._say_what_is_scored()

    def _say_what_is_scored(self, _: Any = None) -> None:
        """Say which layers are scored, and at which threshold."""
        layer, words = self.prediction.layer, ""
        if layer is not None and self.kind.currentData() == "classes":
            try:
                found = find_predicted(self._viewer, layer, self.truth.layer)
                words = f"{found.words} {about_membranes(found)}"
            except UNetError as error:
                words = str(error)
        self.scored.setText(words)

    def _forget_values(self) -> None:
        """Take back what was said of other layers."""
        if not self.same_values.isHidden():
            self.same_values.forget()
            self.advanced.enter({"prediction_values": None})

    def _on_same_values(self, values: str | None) -> None:
        self.advanced.enter({"prediction_values": values})
        self._on_evaluate()

    def _suggest_truth(self, layer: Any) -> None:
        """Take the topmost labels that are no result of ours; else any such image."""
        image = self.image.layer
        others = [
            each
            for each in reversed(self._viewer.layers)
            if self.truth.lists(each)
            and each not in (layer, image)
            and MODEL_KEY not in each.metadata
        ]
        labels = [each for each in others if isinstance(each, Labels)]
        if found := (labels or others):
            self.truth.choose(found[0])
            self.truth.by_hand = False

    def _layers(self) -> tuple[Any, Any, Any]:
        """Return prediction, truth, and the image unless it is one of them."""
        both = self.prediction.layer, self.truth.layer
        image = self.image.layer
        return (*both, None if image in both else image)

    def _recipe(self) -> EvaluateRecipe:
        kind, entered = self.kind.currentData(), self.advanced.values()
        return comparison_recipe(self._viewer, self._layers(), kind, entered)

    def _recipe_if_files(self) -> EvaluateRecipe | None:
        """Return what is begun, unless it cannot be done from files."""
        try:
            return self._recipe()
        except UNetError:
            return None

    def _on_evaluate(self) -> None:
        try:
            self._ordered = ordered = order_comparison(
                self._viewer,
                self.session,
                self._layers(),
                self.kind.currentData(),
                self.advanced.values(),
            )
        except UNetError as error:
            self.status.setText(str(error))
            show_error(str(error))
            return
        self._job = job = ordered.job
        self.status.setText("")
        self.progress.begin("Reading the layers …")
        self._ends_as = "Cancelled. Nothing was added."
        self._done_recipe = self._recipe_if_files()
        self._update_buttons()
        self.session.start(
            job,
            reported=self._on_event,
            failed=self._on_failed,
            ended=self._on_ended,
        )

    def _on_cancel(self) -> None:
        if self._job is not None:
            self.cancel_button.setEnabled(False)
            self._job.stop()

    def _on_save(self) -> None:
        name = self._ordered.name if self._ordered else "evaluation"
        suggested = Path.home() / f"{name} evaluation.html"
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Save report", str(suggested), "Web page (*.html)"
        )
        if not chosen:
            return
        path = Path(chosen)
        path = path if path.suffix else path.with_suffix(".html")
        self._saved = f"Saved {path}."
        create_worker(
            write_text,
            path,
            self._page,
            # A method, and no function, which would outlive the widget.
            _connect={
                "returned": self._on_saved,
                "errored": lambda error: show_error(str(error)),
            },
        )

    def _on_saved(self, _: None) -> None:
        self.status.setText(self._saved)

    def _on_section(self, index: int) -> None:
        if self._ordered is not None:
            go_to_section(self._viewer, self._ordered, self._shape, index)

    # -- what the worker reports ---------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SectionsDone):
            self.progress.show_done(event.done, event.total, "sections")
        elif isinstance(event, EvaluationFinished):
            assert self._ordered is not None
            self._page = Path(event.page).read_text("utf-8")
            errors = np.load(event.errors, mmap_mode="r+")
            self._shape = errors.shape[:-2]
            name = add_errors(self._viewer, self._ordered, errors)
            self._ends_as = f"Added the layer {name!r}."
            self.replay.done = self._done_recipe
            self.same_values.offer(event.scores.get("suggested_values"))
            self.scores.show_result(event)
            self.save_button.show()

    def _on_failed(self, message: str) -> None:
        self._ends_as = message
        show_error(message)

    def _on_ended(self) -> None:
        self._job = None
        self.progress.end()
        self.status.setText(self._ends_as)
        self._update_buttons()

    def _update_buttons(self) -> None:
        running = self._job is not None
        self.same_values.setEnabled(not running)
        self.evaluate_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
