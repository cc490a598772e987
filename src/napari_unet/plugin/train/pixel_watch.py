"""Tells when the pixels of a layer change: by the brush, a script, or an undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.plugin.layers import find_again

if TYPE_CHECKING:
    from collections.abc import Callable

_EVENTS = ("data", "labels_update", "paint")


class PixelWatch:
    """Calls back when pixels of a layer change; who makes it keeps it.

    Parameters
    ----------
    layer : Layer
        Not held.
    then : callable
        Called without arguments, perhaps several times for one change.
    """

    def __init__(self, layer: Any, then: Callable[[], None]) -> None:
        self._find = find_again(layer)
        self._then = then
        self._edits = self._count_edits()
        for emitter, callback in self._events():
            emitter.connect(callback)

    def end(self) -> None:
        """Call back no more."""
        for emitter, callback in self._events():
            emitter.disconnect(callback)

    def _events(self) -> list[tuple[Any, Callable[..., None]]]:
        layer = self._find()
        if layer is None:
            return []
        events = layer.events
        named = [getattr(events, name) for name in _EVENTS if hasattr(events, name)]
        drawn = (events.set_data, self._on_drawn)
        return [*((each, self._on_change) for each in named), drawn]

    def _count_edits(self) -> tuple[int, ...]:
        """Count what can be undone and redone, of which napari tells nobody."""
        layer = self._find()
        names = ("_undo_history", "_redo_history")
        return tuple(len(getattr(layer, name, ())) for name in names)

    def _on_change(self, _: Any = None) -> None:
        self._then()

    def _on_drawn(self, _: Any = None) -> None:
        """Tell an undo from a slider, both of which only draw the layer anew."""
        edits = self._count_edits()
        if edits != self._edits:
            self._edits = edits
            self._then()
