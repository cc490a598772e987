"""The Train widget: from an image layer and a labels layer to a model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QGridLayout, QGroupBox, QVBoxLayout, QWidget

from napari_unet.errors import UNetError
from napari_unet.events import Event, LabelsTaken, PatchesDrawn, TrainingFinished
from napari_unet.model import find_model, read_info
from napari_unet.plugin import runs
from napari_unet.plugin.parts.fields import button, folded, form_in, row_of
from napari_unet.plugin.replay.button import ReplayButton
from napari_unet.plugin.replay.train_recipe import TrainRecipe
from napari_unet.plugin.session import DockedWidget, open_widget
from napari_unet.plugin.train.data_box import DataBox
from napari_unet.plugin.train.examples import WHERE_PATCHES, ExamplesButton
from napari_unet.plugin.train.forecast import Forecast
from napari_unet.plugin.train.job import (
    preview_job,
    probe_job,
    stacks_of,
    train_job,
)
from napari_unet.plugin.train.live import PauseButton
from napari_unet.plugin.train.live_layer import LiveLayer, live_choice
from napari_unet.plugin.train.new_strokes import NewStrokes
from napari_unet.plugin.train.options import TrainOptions
from napari_unet.plugin.train.pairs import FilePair
from napari_unet.plugin.train.preview import PatchPlace
from napari_unet.plugin.train.report import TrainReport
from napari_unet.plugin.train.run_field import RunField

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

    from napari_unet.plugin.pixel_job import PixelJob

_PAINTED = (
    "Labels were painted while it trained, and taken in then; this trains on those of "
    "its start."
)


class TrainWidget(DockedWidget):
    """Trains a U-Net on two layers, in the worker process.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self._job: PixelJob | None = None
        self._make_fields()
        layout = self.column()
        layout.addWidget(self.data)
        layout.addWidget(self._training_box())
        layout.addWidget(self.replay)
        layout.addStretch(1)
        self.layout().addWidget(self._always_seen())
        self._connect()
        self._suggest_run()
        self._update_buttons()

    # -- what is seen --------------------------------------------------------------

    def _make_fields(self) -> None:
        self.options = TrainOptions(self.session)
        self.init, self.preset = self.options.init, self.options.preset
        self.advanced, self.budget = self.options.advanced, self.options.budget
        self.data = DataBox(self._viewer, self.advanced)
        self.image, self.labels = self.data.image, self.data.labels
        self.classes, self.zero = self.data.classes, self.data.zero
        self.run = RunField()
        self.preview_button = ExamplesButton(self._viewer)
        self.train_button = button("&Train", "Train a U-Net on these two layers.")
        self.pause_button = PauseButton()
        self.live = live_choice()
        self._live_layer = LiveLayer(self._viewer, self.live)
        self._strokes = NewStrokes(self)
        self._strokes.failed.connect(show_error)
        self.stop_button = button("&Stop", "Stop now and keep the best model so far.")
        self.predict_button = button("Pre&dict …", "Use the trained model.")
        self.forecast = Forecast(self.session, self._make_probe)
        self.report = TrainReport()
        self.progress, self.plot = self.report.progress, self.report.plot
        self.status = self.report.status
        self.replay = ReplayButton(self._recipe)

    def _training_box(self) -> QGroupBox:
        box = QGroupBox("Training")
        form = form_in(box)
        form.setVerticalSpacing(4)
        form.addRow("Preset", row_of(self.preset, self.budget))
        form.addRow("Continue from", self.init)
        form.addRow("Run folder", self.run)
        form.addRow(self.forecast)
        form.addRow(folded("Advanced", self.advanced))
        return box

    def _always_seen(self) -> QWidget:
        """Put below what scrolls what is needed at any time."""
        footer = QWidget()
        column = QVBoxLayout(footer)
        column.setContentsMargins(9, 0, 9, 4)
        column.addLayout(self._buttons())
        shown = QWidget()
        form = form_in(shown)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Live", self.live)
        column.addWidget(shown)
        column.addWidget(self.report)
        return footer

    def _buttons(self) -> QGridLayout:
        grid = QGridLayout()
        grid.addWidget(self.train_button, 0, 0, 1, 2)
        grid.addWidget(self.pause_button, 0, 2, 1, 2)
        grid.addWidget(self.stop_button, 0, 4, 1, 2)
        grid.addWidget(self.preview_button, 1, 0, 1, 4)
        grid.addWidget(self.predict_button, 1, 4, 1, 2)
        return grid

    def _connect(self) -> None:
        for changed in (
            self.advanced.changed,
            self.budget.valueChanged,
            self.image.chosen,
            self.labels.chosen,
            self.classes.counted,
            self.data.pairs.changed,
        ):
            changed.connect(self.forecast.refresh)
        self.image.chosen.connect(self._suggest_run)
        self.init.changed.connect(self._update_buttons)
        self.run.changed.connect(self._on_folder)
        self.session.model_trained.connect(self._on_model)
        self.preview_button.clicked.connect(self._on_preview)
        self.train_button.clicked.connect(self._on_train)
        self.stop_button.clicked.connect(self._on_stop)
        self.predict_button.clicked.connect(self._open_predict)
        self.use_keys(self.train_button)
        self.replay.said.connect(self.status.setText)

    def reset_choices(self, _: Any = None) -> None:
        """Follow the layers of the viewer; napari calls it when they change."""
        self.data.refresh()
        self.preview_button.say_what()

    def offer(
        self, image: Image, labels: Labels, *, init: Path, unlabelled: int = 0
    ) -> None:
        """Choose layers to train on and a model to go on from; nothing starts yet.

        The files of other images that the model has learnt from are listed besides, so
        that it does not forget them.

        Parameters
        ----------
        image : Image
        labels : Labels
            In the values of the model's classes.
        init : Path
            Run folder or file of the model; the network becomes as it is.
        unlabelled : int
            The value in the labels that means not annotated.

        Raises
        ------
        ModelError
            If there is no such model.
        """
        network = read_info(init)["network"]
        self.data.refresh()
        self.image.choose(image)
        self.labels.choose(labels)
        self.zero.setCurrentIndex(self.zero.findData(unlabelled == 0))
        shape = {name: network.get(name) for name in ("depth", "width", "context")}
        self.advanced.enter(
            {
                **shape,
                "network": network["name"],
                "task": "classes",
                "objects": "no",
                "ignore": [unlabelled] if unlabelled else [],
                "init": str(init),
            }
        )
        self.status.setText(f"Goes on from {init.stem} with these layers.")
        self._list_learnt(image, init)

    def _list_learnt(self, image: Image, init: Path) -> None:
        own = {str(image.metadata.get("source")), str(image.source.path)}
        for source, mask in runs.trained_on(find_model(init).parent):
            if str(source) not in own:
                try:
                    self.data.pairs.add(FilePair(source, mask))
                except UNetError as error:
                    show_error(str(error))

    def on_closed(self) -> None:
        """Stop the training, its run kept, when the dock is closed."""
        self.classes.follow(None)
        if self._job is not None:
            self._job.stop()

    # -- what the user does --------------------------------------------------------

    def _on_folder(self) -> None:
        self.run.take_empty()
        stored = self.run.stored()
        idle, path = self._job is None, self.run.path()
        if stored is not None and idle and path != self.run.last:
            self.run.last = path
            self.options.enter_stored(stored)
            if "zero_is_unlabelled" in stored:
                zero = self.zero.findData(stored["zero_is_unlabelled"])
                self.zero.setCurrentIndex(zero)
        self._update_buttons()

    def _suggest_run(self) -> None:
        if self._job is None:
            layer = self.image.layer
            self.run.suggest_new(layer.name if layer is not None else "")

    def _on_train(self) -> None:
        try:
            job = self._make_job()
        except UNetError as error:
            show_error(str(error))
            return
        self._job = job
        self.report.begin("Preparing the data …", training=True)
        self.pause_button.follow(job)
        layers = self.data.layers()
        self._live_layer.follow(job, layers)
        masks = [mask for _, mask in self.data.stacks()]
        self._strokes.follow(job, [labels for _, labels in layers], masks)
        self._update_buttons()
        self.session.start(
            job,
            reported=self._on_event,
            failed=self._on_failed,
            died=self._on_died,
            ended=self._on_ended,
        )

    def _make_job(self) -> PixelJob:
        pairs = self.data.stacks()
        self.session.check_free()
        self._suggest_run()  # with the time of now, unless the user named it
        recipe = self._recipe()
        run, resume = recipe.run, recipe.resume
        masks = [
            each.labels.given(image)
            for each, (image, _) in zip(recipe.pairs, pairs, strict=True)
        ]
        job = train_job(
            self.session.worker,
            pairs,
            run,
            self._entered(),
            resume=resume,
            begin=partial(recipe.begin, masks),
        )
        self.run.begin(run, resume=resume)
        self.replay.done = recipe
        return job

    def _recipe(self) -> TrainRecipe:
        pairs = self.data.replayed()  # says what is missing, too
        entered, stored = self._entered(), self.run.stored()
        return TrainRecipe(
            pairs,
            self.run.path(),
            entered if stored is None else runs.changes(entered, stored),
            resume=stored is not None,
        )

    def _make_probe(self) -> PixelJob:
        return probe_job(self.session.worker, self.data.stacks(), self._entered())

    def _entered(self) -> dict[str, Any]:
        return {**self.options.values(), **self.data.values()}

    def _on_preview(self) -> None:
        if self.preview_button.remove_shown():
            return
        try:
            image, labels = stacks_of(self.image.layer, self.labels.layer)
            self.session.check_free()
            job = preview_job(self.session.worker, image, labels, self._entered())
        except UNetError as error:
            show_error(str(error))
            return
        self._job = job
        self._place = PatchPlace.of(self.image.layer, image)
        self.report.begin("Drawing patches …")
        self._update_buttons()
        self.session.start(
            job,
            reported=self._on_event,
            failed=self._say_error,
            ended=self._on_idle,
        )

    def _on_stop(self) -> None:
        if self._job is not None:
            self.stop_button.setEnabled(False)
            self.report.say_stopping()
            self._job.stop()

    def _on_model(self, _: Path) -> None:
        self.init.refresh(self.init.path())

    def _open_predict(self) -> None:
        open_widget(self._viewer, "Predict")

    # -- what the worker reports ---------------------------------------------------

    def _on_event(self, event: Event) -> None:
        self.report.show_event(event)
        if isinstance(event, LabelsTaken):
            self._remark(_PAINTED)
        elif isinstance(event, TrainingFinished):
            self._on_finished(event)
        elif isinstance(event, PatchesDrawn):
            self.preview_button.show_patches(event, self._place)
            self.status.setText(WHERE_PATCHES)

    def _on_finished(self, event: TrainingFinished) -> None:
        if event.reason == "stopped":
            self._remark(f"It was stopped at step {event.step}.")
        if event.model is not None:
            self.session.announce(Path(event.model))
        show_info(event.message)

    def _remark(self, words: str) -> None:
        """Have a copied command say why it gives something else."""
        done = self.replay.done
        if isinstance(done, TrainRecipe) and words not in done.remarks:
            done.remarks.append(words)

    def _on_failed(self, message: str) -> None:
        self._say_error(message + self.run.after_failure())

    def _on_died(self, message: str) -> None:
        self._say_error(message + self.run.after_death())

    def _say_error(self, message: str) -> None:
        self.status.setText(message)
        show_error(message)

    def _on_ended(self) -> None:
        self._on_idle()
        if not self.status.text():
            self.status.setText("Stopped before the first step.")
        if not self.run.kept:
            self.run.edited = False
            self._suggest_run()
        self._update_buttons()

    def _on_idle(self) -> None:
        self._job = None
        self.forecast.refresh()
        self.report.end()
        self._update_buttons()

    def _update_buttons(self) -> None:
        running = self._job is not None
        resume = not running and self.run.stored() is not None
        goes_on = "&Continue" if self.init.path() is not None else "&Train"
        self.train_button.setText("Resum&e" if resume else goes_on)
        self.train_button.setEnabled(not running)
        self.preview_button.setEnabled(not running)
        self.stop_button.setEnabled(running)
        self.predict_button.setEnabled(not running and self.session.model is not None)
