"""The layer that shows what a network predicts while it is being trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer

from napari_unet.data.region import Region
from napari_unet.errors import UNetError
from napari_unet.events import Event, LivePredicted, TrainingStarted
from napari_unet.plugin.layers import find_again, label_values, stack_from_layer
from napari_unet.plugin.parts.choices import LIVE_KEY
from napari_unet.plugin.parts.fields import choice
from napari_unet.plugin.predict.where import region_in, section_box, view_box
from napari_unet.plugin.results import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtWidgets import QComboBox

    from napari_unet.plugin.pixel_job import PixelJob

_PAUSE = 200  # milliseconds that what is looked at stays the same, before it is told
_WHOLE = 1024**2  # pixels of a section that is shown whole, wherever the camera is
_PLACED = ("scale", "translate")


def live_choice() -> QComboBox:
    """Make the field that says what is shown while a training runs."""
    return choice(
        {"probability": "probability", "labels": "labels", "off": None},
        "What to show of the section you look at while the network learns; the "
        "probability is that of all classes but the one with most annotated pixels.",
    )


class LiveLayer(QObject):
    """Tells a training what is looked at, and shows what comes back as a layer.

    The layer lies on the image below the annotations, and follows the sliders. It is
    the last word when the training ends, and goes when the next one begins.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    field : QComboBox
        As `live_choice` makes it.
    """

    def __init__(self, viewer: ViewerModel, field: QComboBox) -> None:
        super().__init__(field)
        self._viewer = viewer
        self._field = field
        self._job: PixelJob | None = None
        self._images: list[Callable[[], Any]] = []
        self._labels: list[Callable[[], Any]] = []
        self._layer: Layer | None = None
        self._told: dict[str, Any] | None = None
        self._timer = QTimer(self, singleShot=True, interval=_PAUSE)
        self._timer.timeout.connect(self._tell)
        field.currentIndexChanged.connect(self._on_choice)
        for event in (viewer.dims.events, viewer.scene.camera.events):
            event.connect(self._on_moved)

    def follow(self, job: PixelJob, pairs: list[tuple[Any, Any]]) -> None:
        """Show what a training predicts, from its start to its end.

        Parameters
        ----------
        job : PixelJob
        pairs : list of (layer, layer)
            The images and labels that it was given, None for those that are no layers.
        """
        self._remove()
        self._job, self._told = job, None
        self._images = [find_again(image) for image, _ in pairs]
        self._labels = [find_again(labels) for _, labels in pairs]
        job.reported.connect(self._on_event)
        job.ended.connect(self._on_ended)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TrainingStarted):
            self._told = None  # what was said before it began was not heard
            self._tell()
        elif isinstance(event, LivePredicted):
            pixels = _taken(Path(event.path))
            if pixels is not None and self._field.currentData() is not None:
                self._show(event, pixels)

    def _on_ended(self) -> None:
        self._job = self._layer = None
        self._timer.stop()

    def _on_choice(self) -> None:
        if self._job is not None:
            self._remove()
            self._told = None
            self._tell()

    def _on_moved(self, _: Any = None) -> None:
        if self._job is not None and not self._timer.isActive():
            self._timer.start()

    def _tell(self) -> None:
        view = self._view()
        if self._job is not None and view != self._told:
            self._told = view
            self._job.tell({"do": "view", "view": view})

    def _view(self) -> dict[str, Any] | None:
        """Say what is looked at, in the words of the worker; None for nothing."""
        show = self._field.currentData()
        if show is None or self._job is None:
            return None
        for pair, ref in enumerate(self._images):
            image = ref()
            if image is None or image not in self._viewer.layers or not image.visible:
                continue
            try:
                region = self._region(image)
            except UNetError:
                continue  # the sliders are elsewhere
            folder = str(self._job.folder)
            bounds = [list(each) for each in region.bounds]
            return {"bounds": bounds, "folder": folder, "show": show, "pair": pair}
        return None

    def _region(self, image: Layer) -> Region:
        stack = stack_from_layer(image)
        region = region_in(section_box(self._viewer, image), image, stack, "section")
        if region.size > _WHOLE and self._viewer.dims.ndisplay == 2:
            region = region_in(view_box(self._viewer, image), image, stack, "view")
        return region

    def _show(self, event: LivePredicted, pixels: Any) -> None:
        image = self._images[event.pair]()
        if image is None or image not in self._viewer.layers:
            return
        stack = stack_from_layer(image)
        axes = "".join(a for a in stack.section_axes if a not in "YX") + "YX"
        region = Region(axes, tuple((a, b) for a, b in event.bounds))
        target = Target.of(image, stack, region)
        pixels = pixels.transpose([axes.index(axis) for axis in target.axes])
        if event.kind == "labels":
            pixels = label_values(pixels)
        if self._layer is None:
            self._add(image, self._make(event, target, pixels))
        elif self._layer not in self._viewer.layers:  # the user does not want it
            self._field.setCurrentIndex(self._field.findData(None))
        else:
            _update(self._layer, pixels, target.place)

    def _make(self, event: LivePredicted, target: Target, pixels: Any) -> Layer:
        meta = {"name": f"{target.name} live", "metadata": {LIVE_KEY: True}}
        if event.kind == "labels":
            layer = Labels(pixels, **target.place, **meta, opacity=0.4)
            labels = self._labels[event.pair]()
            if isinstance(labels, Labels):
                layer.colormap = labels.colormap
            return layer
        low, high = 0.0, 1.0
        if event.kind == "values":
            low, high = float(pixels.min()), float(pixels.max())
        look: dict[str, Any] = {"contrast_limits": (low, max(high, low + 1e-6))}
        look |= {"colormap": "magenta", "blending": "additive", "opacity": 0.6}
        return Image(pixels, **target.place, **meta, **look)

    def _add(self, image: Layer, layer: Layer) -> None:
        """Add the layer above the image, and leave the selection as it is."""
        selected = set(self._viewer.layers.selection)
        active = self._viewer.layers.selection.active
        self._viewer.layers.insert(self._viewer.layers.index(image) + 1, layer)
        self._viewer.layers.selection = selected
        self._viewer.layers.selection.active = active
        self._layer = layer

    def _remove(self) -> None:
        """Remove what is left of the last training."""
        for layer in list(reversed(self._viewer.layers)):  # napari may crash upwards
            if LIVE_KEY in layer.metadata:
                self._viewer.layers.remove(layer)
        self._layer = None


def _taken(path: Path) -> Any:
    """Read a file and remove it; None where the job's end has removed it."""
    try:
        pixels = np.load(path)
    except FileNotFoundError:
        return None
    path.unlink(missing_ok=True)
    return pixels


def _update(layer: Any, pixels: Any, place: dict[str, Any]) -> None:
    same = layer.data.shape == pixels.shape
    if same:
        layer.data[...] = pixels
    else:
        layer.data = pixels
    for name in _PLACED:
        if not np.array_equal(getattr(layer, name), place[name]):
            setattr(layer, name, place[name])
    if same:
        layer.refresh(extent=False)
