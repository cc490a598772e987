"""Predicts what is looked at: tile by tile in the worker, the nearest first."""

from __future__ import annotations

import tempfile
import time
import weakref
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication
from superqt.utils import create_worker

from napari_unet.config import PredictionConfig
from napari_unet.events import Event, LookStarted, TilePredicted
from napari_unet.model import find_model, read_info
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.look.layer import LazyLabels, LazyView, add_views
from napari_unet.plugin.look.pixels import LookPixels, TileFiles
from napari_unet.plugin.pixels import describe, remove
from napari_unet.plugin.predict.fit import TrainedModel
from napari_unet.plugin.predict.handover import files_of
from napari_unet.plugin.results import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_unet.plugin.look.pixels import Tile
    from napari_unet.plugin.session import Session
    from napari_unet.plugin.worker_client import Job

WHERE_I_LOOK = "where I look"
"""The part of an image that is predicted so, in words."""

_AT_ONCE = 32  # tiles in a request
_CUT_AT_ONCE = 4  # where their pixels come with it
_PAUSE = 60  # milliseconds between two looks at the view while it moves
_TURN = 0.01  # seconds in which tiles are read before the window has its turn
_DRAWING = 200  # milliseconds between two drawings of what has come in
_REST = 10  # at most 1/10 of the time goes to them


class Soon:
    """Calls a slot once, a little after it was last not yet to be called.

    Parameters
    ----------
    parent : QObject
    slot : callable
    pause : int
        Milliseconds.
    """

    def __init__(self, parent: QObject, slot: Callable[[], None], pause: int) -> None:
        self.pause = pause
        self._timer = QTimer(parent, singleShot=True)
        self._timer.timeout.connect(slot)

    def __call__(self) -> None:
        """Have it called, unless it will be anyway."""
        if not self._timer.isActive():
            self._timer.start(self.pause)


class Look(QObject):
    """Layers that are predicted where and when they are looked at.

    It ends when all of them are removed, or its image before there are any, or with the
    window. Other jobs go first in the worker: while one is at work, only what is known
    already is shown.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    image : Image
        The layer to predict; of a pyramid, its full resolution.
    model : Path
        File or run folder.
    options : dict
        Of `PredictionConfig`.
    probabilities : bool
        Whether there are images of the probabilities, too.

    Raises
    ------
    UNetError
        If the model cannot be read, or an option is wrong.
    """

    said = Signal(str)
    """What is at work, in words for the user."""

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        image: Image,
        model: Path,
        options: dict[str, Any],
        *,
        probabilities: bool = False,
    ) -> None:
        file = find_model(model)
        info = read_info(file)
        config = PredictionConfig.from_dict(options)
        stack = stack_from_layer(image)
        super().__init__(session)
        self._viewer = viewer
        self._image = weakref.ref(getattr(image, "__wrapped__", image))
        self._session = session
        self._folder = Path(tempfile.mkdtemp(prefix="napari-unet-"))
        trained = TrainedModel.from_info(info)
        seen = trained.as_seen(stack) if config.rescale else stack
        self._pixels = LookPixels(stack, files_of(image), self._folder, seen)
        self._files = TileFiles()
        self._request: dict[str, Any] = {
            "do": "look",
            **describe(stack, self._folder),
            "model": str(file),
            "options": config.to_dict(),
            "output": "probabilities" if probabilities else "labels",
            "folder": str(self._folder),
        }
        target = Target.of(image, stack)
        self._add_views = partial(
            add_views, viewer, target, info, str(model), probabilities=probabilities
        )
        self._views: list[LazyView] = []  # none until the worker has opened the image
        self._started = LookStarted("", [], [], "")
        self._job: Job | None = None
        self._ordered: list[dict[str, Any]] = []  # tiles the worker is to predict
        self._reading = True  # a thread of ours is at the image
        self._arrived: deque[Tile] = deque()  # tiles that wait to be read
        self._shown: set[Tile] = set()  # since the view last moved
        self._seen: list[Any] = []  # of each layer, what is in view
        self._left = 0  # tiles in view that are to come
        self._halted = self._over = False
        self._look_soon = Soon(self, self._look, _PAUSE)
        self._read_soon = Soon(self, self._read, 0)
        self._show_soon = Soon(self, self._show, _DRAWING)
        session.join(self)
        session.worker.ready_changed.connect(self._on_changed)
        QApplication.instance().aboutToQuit.connect(self.end)
        viewer.layers.events.removed.connect(self._on_removed)
        self._in_background(self._pixels.open, then=self._on_opened)

    @property
    def layers(self) -> list[Layer]:
        """Those of the labels or values and then the probabilities, once there are."""
        return [view.layer for view in self._views]

    @property
    def complete(self) -> bool:
        """Whether all that is in view is computed and shown."""
        at_work = self._reading or self._job is not None or self._arrived
        if at_work or not self._views or self._is_ahead():
            return False
        return not self._missing()

    def end(self) -> None:
        """Compute no more, and remove what was kept on the disk."""
        if self._over:
            return
        self._over = True
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        if self._started.axes:
            self._connect("disconnect")
        if self._job is not None:
            self._session.worker.stop()
        else:
            self._clear()
        self._session.leave(self)

    # -- what is looked at ---------------------------------------------------------

    def _look(self) -> None:
        """Have what is in view read or predicted, as far as it is not known."""
        if self._over or self._halted or self._reading:
            return
        if not self._views:
            self._submit([])
            return
        if self._is_ahead():
            self._look_soon()
            return
        missing = self._missing()
        self._arrived = deque(tile for tile in missing if tile in self._files)
        if self._arrived:
            self._read_soon()
        wanted = [tile for tile in missing if tile not in self._files]
        ordered = {tile["bounds"] for tile in self._ordered}
        if self._job is not None:
            if not ordered <= set(wanted):  # the view has moved on
                self._session.worker.stop()
        elif wanted:
            self._order(wanted)
        self._tell(len(wanted))

    def _is_ahead(self) -> bool:
        return any(view.is_ahead() for view in self._views)

    def _missing(self) -> list[Tile]:
        """List the tiles to be shown, those in the middle of the view first."""
        seen = [view.in_view() for view in self._views]
        if seen != self._seen:
            self._seen = seen
            self._shown.clear()
        missing: dict[Tile, None] = {}  # each once, in order
        for view, part in zip(self._views, seen, strict=True):
            if part is not None:
                found = view.levels.missing(*part, self._started.cuts)
                missing |= dict.fromkeys(found)
        return [tile for tile in missing if tile not in self._shown]

    def _read(self) -> None:
        """Read tiles that have arrived, until the window must have its turn."""
        begun = time.perf_counter()
        while self._arrived and time.perf_counter() - begun < _TURN:
            tile = self._arrived.popleft()
            self._shown.add(tile)
            if tile in self._files:
                self._put(tile)
                self._show_soon()
        if self._arrived:
            self._read_soon()
        elif self._ordered:
            self._tell(max(1, self._left - 1))
        else:
            self._look_soon()

    def _put(self, tile: Tile) -> None:
        """Give each layer its part of a tile; one that is hidden gets it when shown."""
        labels, *probabilities = self._files.read(tile)
        for view in self._views:
            if not view.layer.visible:
                continue
            pixels = labels
            if view.of_class is not None:
                pixels = probabilities[0][..., view.of_class, :, :]
            view.put(tile, pixels)

    def _show(self) -> None:
        """Draw what has come in, not more often than the window can bear."""
        begun = time.perf_counter()
        for view in self._views:
            view.show()
        taken = 1000 * (time.perf_counter() - begun)
        self._show_soon.pause = max(_DRAWING, round(_REST * taken))

    def _tell(self, count: int) -> None:
        self._left = count
        if count and self._job is None and self._session.worker.busy:
            self.said.emit("Waits for the worker, which is busy with another job.")
        elif count:
            self.said.emit(f"Tiles in view that are still to come: {count}.")
        elif not any(layer.visible for layer in self.layers):
            self.said.emit("Nothing is computed while its layers are hidden.")
        elif not any(self._seen):
            self.said.emit("Nothing is computed unless it is seen from above, in 2-D.")
        else:
            self.said.emit("All that is in view is computed.")

    # -- what the worker does ------------------------------------------------------

    def _on_opened(self, image: dict[str, Any]) -> None:
        self._request |= image
        self._look_soon()

    def _order(self, tiles: list[Tile]) -> None:
        if self._request["image"] is not None:
            self._submit([{"bounds": tile} for tile in tiles[:_AT_ONCE]])
            return
        axes, reach = self._started.axes, self._started.reach
        cut = partial(self._pixels.cut, tiles[:_CUT_AT_ONCE], axes, reach)
        self._in_background(cut, then=self._submit)

    def _submit(self, tiles: list[dict[str, Any]]) -> None:
        self._ordered = tiles
        worker = self._session.worker
        if self._over or self._job is not None or worker.busy:
            self._forget()
            return  # `ready_changed` will come
        request = {**self._request, "tiles": tiles}
        self._job = job = worker.submit(request, gives_way=True)
        job.reported.connect(self._on_event)
        job.failed.connect(self._on_failed)
        job.died.connect(self._on_failed)
        job.ended.connect(self._on_ended)

    def _on_event(self, event: Event) -> None:
        if self._over:
            return
        if isinstance(event, LookStarted) and not self._views:
            self._started = event
            self._views = self._add_views(event)
            self._connect("connect")
        elif isinstance(event, TilePredicted):
            tile = tuple((start, stop) for start, stop in event.bounds)
            paths = filter(None, (event.path, event.probabilities))
            self._files.add(tile, *map(Path, paths))
            self._forget(tile)
            self._arrived.append(tile)
            self._read_soon()

    def _on_failed(self, message: str) -> None:
        self._halted = True
        self.said.emit(f"{message} Hide and show the layer to try again.")
        show_error(message)

    def _on_ended(self) -> None:
        self._job = None
        self._forget()
        if self._over:
            self._clear()
        self._look_soon()

    def _forget(self, tile: Tile | None = None) -> None:
        """Wait no longer for a tile, or for any."""
        gone = [each for each in self._ordered if tile in (None, each["bounds"])]
        self._ordered = [each for each in self._ordered if each not in gone]
        self._pixels.forget(gone)

    # -- what is around ------------------------------------------------------------

    def _connect(self, how: str) -> None:
        """Follow the view, or (``"disconnect"``) no more."""
        viewer = self._viewer
        for events in (
            viewer.scene.camera.events,
            viewer.dims.events,
            viewer.canvas.events.size,
        ):
            getattr(events, how)(self._on_changed)
        for view in self._views:
            self._connect_view(view, how)

    def _connect_view(self, view: LazyView, how: str) -> None:
        getattr(view.layer.events.set_data, how)(self._on_changed)
        getattr(view.layer.events.visible, how)(self._on_visible)
        if isinstance(view, LazyLabels):
            getattr(self._viewer.dims.events.ndisplay, how)(view.colour)

    def _on_changed(self, _: Any = None) -> None:
        self._look_soon()

    def _on_visible(self, _: Any = None) -> None:
        self._halted = False
        self._look_soon()

    def _on_removed(self, _: Any = None) -> None:
        there = self._viewer.layers
        for view in [view for view in self._views if view.layer not in there]:
            self._connect_view(view, "disconnect")
            self._views.remove(view)
        if self._views and all(view.of_class is None for view in self._views):
            self._request["output"] = "labels"
        image = self._image()
        if not self._views and (self._started.axes or image not in there):
            self.end()

    def _clear(self) -> None:
        remove(self._folder)
        self.deleteLater()

    def _in_background(
        self, work: Callable[[], Any], then: Callable[[Any], None]
    ) -> None:
        def done(result: Any) -> None:
            self._reading = False
            if self._over:
                remove(self._folder)
            else:
                then(result)

        def failed(error: Exception) -> None:
            self._reading = False
            if self._over:
                return
            self._on_failed(f"The image could not be read ({error}).")

        self._reading = True
        create_worker(work, _connect={"returned": done, "errored": failed})
