"""What a batch is asked to do, as the user enters it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGroupBox

from napari_unet.config import (
    ClusterConfig,
    OutputConfig,
    PredictionConfig,
    options,
)
from napari_unet.errors import ConfigError, ModelError, UNetError
from napari_unet.model import find_model, read_info
from napari_unet.plugin.batch.fields import (
    InputsField,
    OptionalFolder,
    RareFields,
    suggest_output,
)
from napari_unet.plugin.batch.open import Place
from napari_unet.plugin.parts.fields import (
    FolderField,
    at_top,
    column_of,
    folded,
    form_in,
    paragraph,
    row_of,
    tick,
)
from napari_unet.plugin.parts.forms import OptionsForm
from napari_unet.plugin.parts.models import ModelChoice, describe, has_objects
from napari_unet.plugin.settings import Follower
from napari_unet.replay.batch import Batch

if TYPE_CHECKING:
    from qtpy.QtWidgets import QCheckBox

    from napari_unet.plugin.session import Session

_CONFIGS = PredictionConfig, OutputConfig, ClusterConfig


class BatchForm(QGroupBox):
    """Which model, which images, and what is written where.

    Parameters
    ----------
    session : Session
    """

    changed = Signal()
    """Other images, or another output folder, are named."""

    def __init__(self, session: Session) -> None:
        super().__init__("Many images")
        self.model = ModelChoice(session=session)
        self.about = paragraph()
        self.inputs = InputsField()
        hint = "Where results go, with the folders of the input."
        self.out = FolderField(hint, "batch")
        self.probabilities = tick("probabilities", "An image for each class, too.")
        self.objects = tick(
            "objects", "A number for each object, and a table of measurements."
        )
        self.truth = OptionalFolder(
            "Folder of masks", "Masks to score by, which are named as the images."
        )
        every = [each for config in _CONFIGS for each in options(config)]
        self.advanced = OptionsForm(every, elsewhere=["format"])
        Follower(self.advanced)
        self.rare = RareFields()
        self._lay_out()
        self.model.changed.connect(self._on_model)
        session.model_trained.connect(self.model.refresh)
        self.inputs.changed.connect(self._on_inputs)
        for each in (self.out, self.truth):
            each.changed.connect(self.changed)
        self.model.refresh(session.model)
        self._on_model()

    def _lay_out(self) -> None:
        form = form_in(self)
        form.addRow("Model", self.model)
        form.addRow(self.about)
        form.addRow(at_top("Images"), self.inputs)
        form.addRow("Output", self.out)
        form.addRow("Also", row_of(self.objects, self.probabilities))
        form.addRow("As", row_of(self.advanced.field("format")))
        form.addRow("Truth", self.truth)
        advanced = column_of((self.advanced, self.rare))
        form.addRow(folded("Advanced", advanced))

    def place(self) -> Place:
        """Return where the images and their results are."""
        axes = self.rare.values().get("axes")
        return Place(self.out.path(), axes, self.model.path())

    def order(self) -> Batch:
        """Return what is entered.

        Raises
        ------
        UNetError
            If something is missing.
        """
        if (model := self.model.path()) is None:
            raise ModelError(
                "There is no model to predict with. Train one in Plugins ▸ U-Net ▸ "
                "Train, or choose a model file with the … button."
            )
        find_model(model)
        if not self.inputs.paths():
            raise ConfigError(
                "There are no images to predict. Choose a folder or files, or drop "
                "them here."
            )
        entered, told = self.advanced.values(), self.rare.values()
        if (truth := self.truth.path()) is not None:
            told["truth"] = str(truth)
        boxes = {"probabilities": self.probabilities, "objects": self.objects}
        config, files, cluster = (
            {each.name: entered[each.name] for each in options(config)}
            for config in _CONFIGS
        )
        return Batch(
            str(model),
            self.inputs.paths(),
            str(self.out.path()),
            config,
            files,
            cluster,
            [name for name, box in boxes.items() if _is_ticked(box)],
            told,
        )

    def _on_model(self) -> None:
        path, info = self.model.path(), None
        words = "Train one, or choose its file."
        if path is not None:
            try:
                info = read_info(path)
                words = describe(info)
            except UNetError as error:
                words = str(error)
        self.about.setText(words)
        self.probabilities.setVisible(info is not None and info["classes"] is not None)
        self.objects.setVisible(info is not None and has_objects(info))

    def _on_inputs(self) -> None:
        if (inputs := self.inputs.paths()) and not self.out.edited:
            self.out.suggest(suggest_output(inputs))
        self.changed.emit()


def _is_ticked(box: QCheckBox) -> bool:
    return bool(box.isChecked() and not box.isHidden())
