"""Layers that fill in while the worker predicts."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_unet.plugin.parts.choices import LIVE_KEY, RESULT_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel
    from napari.layers import Layer

    LayerData = tuple[Any, dict[str, Any], str]

_TURN = 20  # milliseconds the window has between two new layers, each a stall of napari
PARTIAL = "partial"
"""In what a layer's metadata says of a result: not all of it is predicted."""

_PAUSE = 300  # milliseconds between two looks at what is new
_REST = 10  # drawing a large section takes long: at most 1/10 of the time goes to it


class FillingLayers(QObject):
    """Layers of files that another process writes; they may be renamed or deleted.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QObject
    """

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Layer] = []
        self._coming: deque[LayerData] = deque()
        self._adder = QTimer(self, interval=_TURN)
        self._adder.timeout.connect(self._add_next)
        self._timer = QTimer(self, singleShot=True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._show_new)

    def add(self, layers: Iterable[LayerData]) -> None:
        """Add layers to the viewer, above all others, one after the other."""
        self._coming.extend(layers)
        self._adder.start()

    def touch(self) -> None:
        """Show what has come in soon, not more often than the window can bear."""
        if not self._timer.isActive():
            self._timer.start()

    def end(self, remark: str = "") -> str:
        """Show all there is for good, and add a remark to the layers' names.

        Returns
        -------
        str
            What the main layer is called now; empty if none is left.
        """
        self._timer.stop()
        while self._coming:
            self._add_next()
        present, self._layers = self._present(), []
        for layer in present:
            if remark:
                layer.name = f"{layer.name} ({remark})"
            else:
                layer.metadata[RESULT_KEY].pop(PARTIAL, None)
            layer.refresh(extent=False)
        return present[-1].name if present else ""

    def _add_next(self) -> None:
        if self._coming:
            data, meta, kind = self._coming.popleft()
            layer = getattr(self._viewer, f"add_{kind}")(data, **meta)
            layer.metadata[RESULT_KEY] = {**layer.metadata[RESULT_KEY], PARTIAL: True}
            self._layers.append(layer)
            if kind == "labels":
                self._hide_older(layer)
        else:
            self._adder.stop()

    def _hide_older(self, new: Layer) -> None:
        """Hide what was labelled before on the same pixels: two would show as one."""
        for layer in self._viewer.layers:
            if layer not in self._layers and _shows_same(layer, new):
                layer.visible = False

    def _show_new(self) -> None:
        """Draw the visible slice of the visible layers again; no other pixel is read.

        Thumbnails wait for the end.
        """
        begun = time.perf_counter()
        for layer in self._present():
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        taken = 1000 * (time.perf_counter() - begun)
        self._timer.setInterval(max(_PAUSE, round(_REST * taken)))

    def _present(self) -> list[Layer]:
        return [layer for layer in self._layers if layer in self._viewer.layers]


def _shows_same(layer: Layer, new: Layer) -> bool:
    if LIVE_KEY in layer.metadata:
        return True
    before, now = (each.metadata.get(RESULT_KEY, {}) for each in (layer, new))
    return (
        before.get("what") in ("labels", "objects")
        and now.get("image") in (before.get("image"), str(layer.unique_id))
        and tuple(layer.data.shape) == tuple(new.data.shape)
        and list(layer.translate) == list(new.translate)
    )


def say_complete(done: int, total: int, sections: int) -> str:
    """Say which sections are predicted, since what is not yet looks like a class.

    Parameters
    ----------
    done, total : int
        Tiles.
    sections : int
        They are predicted one after the other; 0 if not.
    """
    if sections < 2 or not done:
        return ""
    # The last tile of a section may be computed and not yet written.
    whole = (done - 1) * sections // total
    return f"The first {whole} of {sections} sections are complete. "
