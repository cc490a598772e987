"""What the Objects widget did or would do, as a shell line or a script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.plugin.replay.recipes import new_folder
from napari_unet.plugin.replay.sources import file_of
from napari_unet.replay_objects import FindObjects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_unet.plugin.replay.recipes import Done
    from napari_unet.plugin.replay.sources import Given, LayerRef


@dataclass
class ObjectsRecipe:
    """Objects found in a layer.

    Attributes
    ----------
    layer : LayerRef
    inside, border : int, str or None
        As in `napari_unet.label_objects`.
    options : mapping
        Every option by name.
    """

    layer: LayerRef
    inside: int | None
    border: int | str | None
    options: Mapping[str, Any]

    def again(self) -> ObjectsRecipe:
        """Return what does the same once more."""
        return self

    def gather(self) -> Callable[[], Done]:
        """Look at the layer; what is returned is for a background thread.

        Raises
        ------
        UNetError
            If it is gone.
        """
        given = self.layer.given()
        return lambda: self._done(given)

    def _done(self, given: Given) -> Done:
        remarks: list[str] = []
        home = new_folder(f"{self.layer.name} objects")
        path, told = file_of(given, self.layer, home / "source.tif", remarks)
        out = str(home / "objects.tif")
        done = FindObjects(str(path), out, self.inside, self.border, self.options, told)
        return done, remarks
