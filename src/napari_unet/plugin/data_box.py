"""The data that the Train widget learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtWidgets import QGroupBox

from napari_unet.plugin.choices import LayerChoice
from napari_unet.plugin.classes_view import ClassesView
from napari_unet.plugin.fields import at_top, choice, form_in

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.plugin.forms import OptionsForm

_ZERO = {"a class, such as background": False, "not annotated (scribbles)": True}


class DataBox(QGroupBox):
    """An image, its labels, and what these mean.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    options : OptionsForm
        Of `TrainingConfig`; its fields `SHOWN` are put here.
    """

    SHOWN = ("task", "objects")

    def __init__(self, viewer: ViewerModel, options: OptionsForm) -> None:
        super().__init__("Data")
        self._options = options
        self.image = LayerChoice(viewer, Image, "open an image first")
        self.labels = LayerChoice(viewer, Labels, "open or paint labels first")
        self.classes = ClassesView()
        self.zero = choice(_ZERO, "What the value 0 in the labels means.")
        self._form = form = form_in(self)
        form.addRow("Image", self.image)
        form.addRow("Labels", self.labels)
        form.addRow("Learn", options.field("task"))
        form.addRow(at_top("Classes"), self.classes)
        form.addRow("Objects", options.field("objects"))
        form.addRow("0 means", self.zero)
        self.labels.chosen.connect(self._follow)
        self.zero.currentIndexChanged.connect(self._on_options)
        options.changed.connect(self._on_options)
        self.classes.counted.connect(self._on_counted)
        self._on_options()

    def refresh(self) -> None:
        """Follow the layers of the viewer."""
        self.image.refresh()
        self.labels.refresh()

    def _on_options(self) -> None:
        entered = self._options.values()
        regresses = entered["task"] == "regression"
        # The values to regress are more often an image.
        self.labels.offer(*((Labels, Image) if regresses else (Labels,)))
        self._form.setRowVisible(self.classes, not regresses)
        self._follow()
        self.classes.set_options(
            **{name: entered[name] for name in ("ignore", "objects", "border_width")},
            zero_is_unlabelled=self.zero.currentData(),
        )
        self._on_counted()

    def _follow(self) -> None:
        counted = self._form.isRowVisible(self.classes)
        self.classes.follow(self.labels.layer if counted else None)

    def _on_counted(self) -> None:
        values = self.classes.values  # none where an error is shown, perhaps due to it
        self.zero.setEnabled(not values or 0 in values)
        # Two values are no numbers of objects.
        numbered = len(values) != 2 or self._options.values()["objects"] != "no"
        self._form.setRowVisible(self._options.field("objects"), numbered)
