"""Objects of the current section, found again while values change."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.errors import UNetError
from napari_unet.events import Event, ObjectsFound
from napari_unet.plugin.objects.job import name_of_image, order_preview
from napari_unet.plugin.parts.choices import PREVIEW_KEY
from napari_unet.plugin.results import in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_unet.config import ObjectConfig
    from napari_unet.plugin.objects.input import Wanted
    from napari_unet.plugin.objects.job import ObjectsOrder
    from napari_unet.plugin.pixel_job import PixelJob
    from napari_unet.plugin.session import Session

_PAUSE = 150  # milliseconds without a change after which objects are found


class LivePreview(QObject):
    """A layer with the objects of the section that is looked at.

    The newest values win: what was ordered before them is not shown any more.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    wanted : callable
        Returns what becomes objects and the options, or raises `UNetError`.
    parent : QObject
    """

    said = Signal(str)
    """What is shown, or why nothing is."""

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        wanted: Callable[[], tuple[Wanted, ObjectConfig]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._wanted = wanted
        self._layer: weakref.ref[Labels] | None = None
        self._job: PixelJob | None = None
        self._name = ""
        self._on = False
        self._waits = False  # for the worker to be free
        self._cut = False  # what is shown depends on the view
        self._timer = QTimer(self, singleShot=True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._order)

    def start(self) -> None:
        """Preview from now on, wherever the sliders go."""
        if not self._on:
            self._on = True
            self._viewer.dims.events.connect(self.ask)
            self._viewer.scene.camera.events.connect(self._on_camera)
            self._session.side.ready_changed.connect(self._on_ready)
        self.ask()

    def stop(self) -> None:
        """Remove the preview."""
        if self._on:
            self._on = False
            self._viewer.dims.events.disconnect(self.ask)
            self._viewer.scene.camera.events.disconnect(self._on_camera)
            self._session.side.ready_changed.disconnect(self._on_ready)
        self._timer.stop()
        self._forget()
        self._remove()

    def ask(self, _: Any = None) -> None:
        """Find objects anew, soon."""
        if self._on:
            self._timer.start()

    def _on_camera(self, _: Any = None) -> None:
        if self._cut:
            self.ask()

    def _order(self) -> None:
        self._forget()
        try:
            wanted, config = self._wanted()
            order = order_preview(self._viewer, self._session, wanted, config)
        except UNetError as error:
            self._waits = True
            self._hide(str(error))
            return
        self._waits, self._cut = False, order.cut
        self._name = f"{name_of_image(self._viewer, wanted.layer)} objects (preview)"
        self._job = job = order.job
        self._session.start(
            job,
            reported=lambda event: self._on_event(job, order, event),
            failed=lambda text: self._on_failed(job, text),
        )

    def _forget(self) -> None:
        if self._job is not None:
            job, self._job = self._job, None
            job.stop()

    def _on_ready(self, ready: bool) -> None:
        if ready and self._waits:
            self.ask()

    def _on_event(self, job: PixelJob, order: ObjectsOrder, event: Event) -> None:
        if job is not self._job or not isinstance(event, ObjectsFound):
            return
        self._job = None
        pixels = in_order(np.load(event.path), order.target.axes)
        self._show(pixels, order.target.place)
        where = "the middle of the view" if order.cut else "this section"
        self.said.emit(f"{event.count} objects in {where}.")

    def _on_failed(self, job: PixelJob, message: str) -> None:
        if job is self._job:
            self._job = None
            self._hide(message)

    def _hide(self, why: str) -> None:
        self._remove()
        self.said.emit(why)

    def _remove(self) -> None:
        layer, self._layer = self._present(), None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _show(self, pixels: Any, place: dict[str, Any]) -> None:
        layer = self._present()
        if layer is not None and layer.ndim != pixels.ndim:
            self._remove()
            layer = None
        if layer is None:
            active = self._viewer.layers.selection.active
            layer = self._viewer.add_labels(
                pixels,
                name=self._name,
                opacity=0.5,
                metadata={PREVIEW_KEY: True},
                **place,
            )
            layer.editable = False
            # A plugin gets a proxy, which nobody else keeps.
            self._layer = weakref.ref(getattr(layer, "__wrapped__", layer))
            if active is not None:
                self._viewer.layers.selection.active = active
            return
        for name, value in place.items():
            if not np.array_equal(getattr(layer, name), value):
                setattr(layer, name, value)
        layer.data = pixels
        layer.name = self._name

    def _present(self) -> Labels | None:
        layer = self._layer() if self._layer is not None else None
        return layer if layer is not None and layer in self._viewer.layers else None
