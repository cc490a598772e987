"""The Correct widget: from a prediction to corrections, and on to the next training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QGroupBox

from napari_unet.errors import UNetError
from napari_unet.model import find_model, read_info
from napari_unet.plugin.correct.autosave import autosave
from napari_unet.plugin.correct.layer import Corrections, corrections_of
from napari_unet.plugin.correct.paint import PaintBox
from napari_unet.plugin.correct.places import remove_frame
from napari_unet.plugin.correct.store import layout_of
from napari_unet.plugin.correct.unsure import Subject, UnsureBox
from napari_unet.plugin.parts.choices import (
    CORRECTIONS_KEY,
    MODEL_KEY,
    RESULT_KEY,
    LayerChoice,
    PredictionChoice,
)
from napari_unet.plugin.parts.fields import button, form_in
from napari_unet.plugin.replay.button import ReplayButton
from napari_unet.plugin.session import DockedWidget, open_widget

if TYPE_CHECKING:
    import napari

    from napari_unet.plugin.replay.unsure_recipe import UnsureRecipe


class CorrectWidget(DockedWidget):
    """Shows where a prediction is unsure, takes corrections, and has them trained on.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self.prediction = PredictionChoice(napari_viewer, Labels, "predict first")
        self.prediction.setToolTip("<p>The labels of a model that are corrected.</p>")
        self.image = LayerChoice(napari_viewer, Image, "open an image first")
        self.image.setToolTip("<p>The image that was predicted.</p>")
        self.unsure = UnsureBox(napari_viewer, self.session, self.subject)
        self.use_keys(self.unsure.find_button, self.unsure.cancel_button)
        self.paint = PaintBox(napari_viewer, self.session, self.subject, self.unsure)
        self.train_button = button(
            "&Train on it …",
            "Go on training the model on these corrections: opens Train, ready to go.",
        )
        self.replay = ReplayButton(self.unsure.recipe)
        self.status = self.unsure.status
        layout = self.column()
        layout.addWidget(self._data_box())
        layout.addWidget(self.unsure)
        layout.addWidget(self.paint)
        layout.addWidget(self.train_button)
        layout.addWidget(self.replay)
        layout.addStretch(1)
        self.prediction.chosen.connect(self._on_prediction)
        self.image.chosen.connect(self.paint.refresh)
        self.train_button.clicked.connect(self._on_train)
        self.unsure.found.connect(self._on_found)
        self.replay.said.connect(self.status.setText)
        self._on_prediction()

    def _data_box(self) -> QGroupBox:
        box = QGroupBox("What is corrected")
        form = form_in(box)
        form.addRow("Prediction", self.prediction)
        form.addRow("Image", self.image)
        return box

    def reset_choices(self, _: Any = None) -> None:
        """Follow the layers of the viewer; napari calls it when they change."""
        self.image.refresh()
        self.prediction.refresh()
        self._save_all()
        self.paint.refresh()

    def on_closed(self) -> None:
        """Stop the search when the dock is closed; corrections go on being saved."""
        self.unsure.stop()
        remove_frame(self._viewer)

    def subject(self) -> Subject:
        """Return what is corrected.

        Raises
        ------
        UNetError
            If something is missing, or the model predicts no classes.
        """
        prediction, image = self.prediction.layer, self.image.layer
        if prediction is None or image is None:
            raise UNetError(
                "There is no prediction to correct. Open an image, and press Predict "
                "in Plugins ▸ U-Net ▸ Predict."
            )
        model = Path(prediction.metadata[MODEL_KEY])
        info = read_info(find_model(model))
        if info["classes"] is None:
            raise UNetError(
                f"{prediction.name!r} was predicted by regression: there are no "
                "classes to correct. Train a model of classes."
            )
        about = Corrections.of(image, str(model), info)
        corrections = corrections_of(self._viewer, image)
        if corrections is not None:  # perhaps of another model, or painted before
            about = Corrections.from_layer(corrections)
        return Subject(image, prediction, model, info, corrections, about.unlabelled)

    def _on_prediction(self) -> None:
        """Choose the image that was predicted, if it is known."""
        prediction = self.prediction.layer
        if prediction is not None:
            which = prediction.metadata.get(RESULT_KEY, {}).get("image")
            known = [e for e in self._viewer.layers if str(e.unique_id) == which]
            if known and isinstance(known[0], Image):
                self.image.choose(known[0])
        self.paint.refresh()

    def _on_found(self, recipe: UnsureRecipe) -> None:
        self.replay.done = recipe

    def _save_all(self) -> None:
        """Save corrections that came from a file, too, when they are painted on."""
        for layer in self._viewer.layers:
            if CORRECTIONS_KEY in layer.metadata and "source" in layer.metadata:
                path = Path(layer.metadata["source"])
                about = Corrections.from_layer(layer)
                autosave(layer, layout_of(layer, about), path, self.session)

    def _on_train(self) -> None:
        try:
            subject = self.subject()
            if subject.corrections is None:
                raise UNetError(
                    "There are no corrections yet. Paint some, or accept a part of the "
                    "prediction."
                )
        except UNetError as error:
            show_error(str(error))
            return
        train = open_widget(self._viewer, "Train")
        train.offer(
            subject.image,
            subject.corrections,
            init=subject.model,
            unlabelled=subject.unlabelled,
        )
