"""The Predict widget: from an image layer and a model to a labels layer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error, show_warning
from qtpy.QtWidgets import QGroupBox, QHBoxLayout

from napari_unet.config import PredictionConfig, options
from napari_unet.data import Classes
from napari_unet.errors import ModelError, UNetError
from napari_unet.events import Event, PredictionFinished, PredictionStarted, TilesDone
from napari_unet.model import find_model, read_info
from napari_unet.plugin import pixels
from napari_unet.plugin.choices import LayerChoice
from napari_unet.plugin.fields import (
    ProgressLine,
    at_top,
    button,
    column_of,
    form_in,
    paragraph,
    tick,
)
from napari_unet.plugin.forms import OptionsForm
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.models import ModelChoice, describe, has_objects
from napari_unet.plugin.pixel_job import PixelJob
from napari_unet.plugin.results import Target, result_layers
from napari_unet.plugin.session import DockedWidget

if TYPE_CHECKING:
    import napari


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
        self._target: Target | None = None
        self._model = ""  # the one at work; another may be chosen in the meantime
        self._make_fields()
        layout = self.column()
        layout.addWidget(self._data_box())
        row = QHBoxLayout()
        row.addWidget(self.predict_button)
        row.addWidget(self.cancel_button)
        layout.addLayout(row)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addStretch(1)
        self._connect()
        self.model.refresh(self.session.model)
        self._on_model()
        self._update_buttons()

    # -- what is seen --------------------------------------------------------------

    def _make_fields(self) -> None:
        self.image = LayerChoice(self._viewer, Image, "open an image first")
        self.model = ModelChoice()
        self.about = paragraph()
        self.probabilities = tick("also probabilities", "An image for each class.")
        self.objects = tick("also objects", "Labels with a number for each object.")
        self.attention = tick("also attention", "An image for each attention gate.")
        self._boxes = {
            "probabilities": self.probabilities,
            "objects": self.objects,
            "attention": self.attention,
        }
        self.advanced = OptionsForm(options(PredictionConfig))
        self.predict_button = button("Predict", "Label every pixel of the image.")
        self.cancel_button = button("Cancel", "Stop, and add nothing.")
        self.progress = ProgressLine()
        self.status = paragraph()

    def _data_box(self) -> QGroupBox:
        box = QGroupBox("Prediction")
        form = form_in(box)
        form.addRow("Image", self.image)
        form.addRow("Model", self.model)
        form.addRow(self.about)
        form.addRow(at_top("Result"), column_of(self._boxes.values()))
        form.addRow(self.advanced)
        return box

    def _connect(self) -> None:
        self.model.changed.connect(self._on_model)
        self.session.model_trained.connect(self.model.refresh)
        self.predict_button.clicked.connect(self._on_predict)
        self.cancel_button.clicked.connect(self._on_cancel)

    def reset_choices(self, _: Any = None) -> None:
        """Follow the layers of the viewer; napari calls it when they change."""
        self.image.refresh()

    def on_closed(self) -> None:
        """Stop the prediction when the dock is closed."""
        if self._job is not None:
            self._job.stop()

    # -- what the user does --------------------------------------------------------

    def _on_model(self) -> None:
        path = self.model.path()
        for box in self._boxes.values():
            box.hide()
        if path is None:
            self.about.setText("Train one, or choose its file.")
            return
        try:
            info = read_info(path)
        except ModelError as error:
            self.about.setText(str(error))
            return
        self.about.setText(describe(info))
        names = (info["classes"] or {}).get("names", ())
        self.probabilities.setVisible(info["classes"] is not None)
        self.objects.setVisible(has_objects(info))
        self.objects.setChecked("foreground" in names)
        self.attention.setVisible("attention" in info["network"].get("name", ""))
        self.advanced.enter({"object_dims": info["network"].get("dims", 2)})

    def _on_predict(self) -> None:
        try:
            self._job = job = self._make_job()
        except UNetError as error:
            show_error(str(error))
            return
        self.progress.begin("Preparing the image …")
        self.status.setText("")
        job.reported.connect(self._on_event)
        job.failed.connect(self._on_failed)
        job.died.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        self._update_buttons()
        self.session.start(job)

    def _make_job(self) -> PixelJob:
        layer, model = self.image.layer, self.model.path()
        if layer is None:
            raise UNetError(
                "There is no image layer to predict. Open an image, or try File ▸ Open "
                "Sample ▸ U-Net."
            )
        if model is None:
            raise ModelError(
                "There is no model to predict with. Train one in Plugins ▸ U-Net ▸ "
                "Train, or choose a model file with the … button."
            )
        self.session.check_free()
        self._model = str(model)
        model = find_model(model)
        classes = read_info(model)["classes"]
        self._classes = None if classes is None else Classes.from_dict(classes)
        stack = stack_from_layer(layer)
        self._target = Target.of(layer, stack)
        config = PredictionConfig.from_dict(self.advanced.values())
        folder = Path(tempfile.mkdtemp(prefix="napari-unet-"))
        wanted = {
            name: str(folder / f"{name}.npy")
            for name, box in self._boxes.items()
            if box.isChecked() and not box.isHidden()
        }
        request = {
            "do": "predict",
            **pixels.describe(stack, folder / "image.npy"),
            "model": str(model),
            "labels": str(folder / "labels.npy"),
            **wanted,
            "options": config.to_dict(),
        }
        files = {folder / "image.npy": stack}
        return PixelJob(self.session.worker, request, files, folder)

    def _on_cancel(self) -> None:
        if self._job is not None:
            self.cancel_button.setEnabled(False)
            self.status.setText("Cancelled; nothing was added.")
            self._job.stop()

    # -- what the worker reports ---------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PredictionStarted):
            self.progress.begin(f"{event.sections} sections, {event.tiles} tiles")
            for remark in event.remarks:
                show_warning(remark)
        elif isinstance(event, TilesDone):
            words = f"{event.done} of {event.total} tiles"
            self.progress.show_share(event.done / event.total, None, words)
        elif isinstance(event, PredictionFinished) and self.cancel_button.isEnabled():
            self._add_layers(event)

    def _add_layers(self, event: PredictionFinished) -> None:
        assert self._target is not None
        layers = result_layers(self._target, self._classes, self._model, event)
        for data, meta, kind in layers:
            getattr(self._viewer, f"add_{kind}")(data, **meta)
        self.status.setText(f"Added the layer {layers[-1][1]['name']!r}.")

    def _on_failed(self, message: str) -> None:
        self.status.setText(message)
        show_error(message)

    def _on_ended(self) -> None:
        self._job = None
        self.progress.end()
        self._update_buttons()

    def _update_buttons(self) -> None:
        running = self._job is not None
        self.predict_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
