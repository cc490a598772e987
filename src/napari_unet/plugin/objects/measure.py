"""The part of the Objects widget that measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtWidgets import QComboBox, QGroupBox, QSizePolicy

from napari_unet.errors import UNetError
from napari_unet.plugin.objects.job import order_measurements
from napari_unet.plugin.objects.table import measurements_of
from napari_unet.plugin.parts.choices import RESULT_KEY, LayerChoice
from napari_unet.plugin.parts.fields import button, form_in
from napari_unet.plugin.replay.object_recipes import MeasureRecipe
from napari_unet.plugin.replay.sources import ChannelsRef, LayerRef
from napari_unet.prediction.table import Table

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_unet.events import ObjectsMeasured
    from napari_unet.plugin.pixel_job import PixelJob
    from napari_unet.plugin.session import Session

_NONE, _ALL = "none", "all images that fit"


class ObjectsChoice(LayerChoice):
    """The labels layers; takes the newest that holds objects."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer, Labels, "find objects first")

    def refresh(self) -> None:
        """List the layers anew, and take objects that have just come."""
        before = set(map(id, self._layers))
        super().refresh()
        new = [each for each in self._layers if id(each) not in before]
        if found := [each for each in new if _are_objects(each)]:
            self.choose(found[-1])

    def _suggest(self, layers: list[Any]) -> int:
        found = [each for each in layers if _are_objects(each)] or layers
        return self._layers.index(found[-1]) if found else -1


def _are_objects(layer: Layer) -> bool:
    return bool(layer.metadata.get(RESULT_KEY, {}).get("what") == "objects")


class MeasureBox(QGroupBox):
    """What is measured, in which images.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        super().__init__("Measurements")
        self._viewer = viewer
        self._session = session
        self.labels = ObjectsChoice(viewer)
        self.labels.setToolTip("<p>Labels that number the objects to measure.</p>")
        self.image = QComboBox()
        self.image.setMinimumContentsLength(12)
        self.image.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
        )
        self.image.setToolTip("<p>Images of which intensities are measured.</p>")
        self.button = button(
            "&Measure", "List place, size, shape and intensity of each object."
        )
        form = form_in(self)
        form.addRow("&Of", self.labels)
        form.addRow("In&tensity", self.image)
        form.addRow(self.button)
        self.labels.chosen.connect(self._list_images)
        self._list_images()

    def refresh(self) -> None:
        """Follow the layers of the viewer."""
        self.labels.refresh()
        self._list_images()

    def order(self, dims: int) -> PixelJob:
        """Make the job; `dims` is for labels that are not ours.

        Raises
        ------
        UNetError
            If there is nothing to measure, or the worker is busy.
        """
        layer, dims = self._what(dims)
        job, axes = order_measurements(self._session, layer, self._images(), dims)
        self._measured = layer.unique_id, axes
        return job

    def recipe(self, dims: int) -> MeasureRecipe:
        """Return what is copied of measuring; parameters and errors as of `order`."""
        layer, dims = self._what(dims)
        images = self._images()
        image: LayerRef | ChannelsRef | None = None
        if images:
            image = LayerRef(images[0])
        if len(images) > 1:
            names = [each.name for each in images]
            image = ChannelsRef([LayerRef(each) for each in images], names)
        return MeasureRecipe(LayerRef(layer), image, dims)

    def _what(self, dims: int) -> tuple[Any, int]:
        """Return what is measured, and in how many dimensions."""
        layer = self.labels.layer
        if layer is None:
            raise UNetError(
                "There are no objects to measure. Press Find objects first, or open "
                "labels that number them."
            )
        found_with = layer.metadata.get(RESULT_KEY, {}).get("options", {})
        return layer, found_with.get("object_dims", dims)

    def show_table(self, event: ObjectsMeasured) -> str:
        """Open the table beside its layer; return what is to be said."""
        with np.load(event.path) as file:
            table = Table({name: file[name] for name in file}, tuple(event.remarks))
        number, axes = self._measured
        found = [each for each in self._viewer.layers if each.unique_id == number]
        if not found:
            return "The layer was removed while its objects were measured."
        layer: Labels = found[0]
        measurements_of(self._viewer).show_table(table, layer, axes)
        labels = table["label"]
        if len(np.unique(labels)) < len(labels):
            return (
                f"Measured {event.count} objects. Their numbers are used again in "
                "other sections, so that the layer has no features of its own."
            )
        layer.features = {"index": labels, **_but_label(table)}
        return f"Measured {event.count} objects."

    def _images(self) -> list[Image]:
        fitting, chosen = self._fitting(), self.image.currentText()
        if chosen == _ALL:
            return fitting
        return [each for each in fitting if each.name == chosen][:1]

    def _fitting(self) -> list[Image]:
        """Return the images in which the objects may have been found."""
        labels = self.labels.layer
        return [
            each
            for each in self._viewer.layers
            if labels is not None
            and isinstance(each, Image)
            and RESULT_KEY not in each.metadata
            and _shape(each) == _shape(labels)
        ]

    def _list_images(self) -> None:
        before = self.image.currentText()
        names = [each.name for each in self._fitting()]
        entries = [_NONE, *names, *([_ALL] if len(names) > 1 else [])]
        self.image.clear()
        self.image.addItems(entries)
        first = min(1, len(names))
        keep = before in entries[1:]
        self.image.setCurrentIndex(entries.index(before) if keep else first)


def _shape(layer: Layer) -> tuple[int, ...]:
    pixels = layer.data[0] if layer.multiscale else layer.data
    return tuple(pixels.shape[: layer.ndim])


def _but_label(table: Table) -> dict[str, Any]:
    return {name: each for name, each in table.columns.items() if name != "label"}
