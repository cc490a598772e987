"""What the Objects widget did or would do, as a shell line or a script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.plugin.replay.recipes import new_folder
from napari_unet.plugin.replay.sources import file_of, files_alike, save
from napari_unet.replay.objects import FindObjects, MeasureObjects
from napari_unet.replay.words import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_unet.plugin.replay.recipes import Done
    from napari_unet.plugin.replay.sources import ChannelsRef, Given, LayerRef, Ref


@dataclass
class ObjectsRecipe:
    """Objects found in a layer.

    Attributes
    ----------
    layer : LayerRef or ChannelsRef
    inside, border : int, str or None
        As in `napari_unet.label_objects`.
    options : mapping
        Every option by name.
    """

    layer: LayerRef | ChannelsRef
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


@dataclass
class MeasureRecipe:
    """Objects measured in images.

    Attributes
    ----------
    objects : LayerRef
    image : LayerRef, ChannelsRef or None
    dims : int
    """

    objects: LayerRef
    image: LayerRef | ChannelsRef | None
    dims: int

    def again(self) -> MeasureRecipe:
        """Return what does the same once more."""
        return self

    def gather(self) -> Callable[[], Done]:
        """Look at the layers; what is returned is for a background thread.

        Raises
        ------
        UNetError
            If one is gone.
        """
        home = new_folder(f"{self.objects.name} measured")
        named = {"objects": self.objects, "image": self.image}
        given = [
            (ref.given(), ref, home / f"{name}.tif")
            for name, ref in named.items()
            if ref is not None
        ]
        return lambda: self._done(given, home)

    def _done(self, given: Sequence[tuple[Given, Ref, Path]], home: Path) -> Done:
        remarks: list[str] = []
        (objects, *image), told = files_alike(given, remarks)
        if told.axes:  # of an image they may be others than those of its objects
            (objects, *image) = (save(*each, remarks) for each in given)
            told = Told()
        named = str(image[0]) if image else None
        out = str(home / "objects.csv")
        return MeasureObjects(str(objects), out, named, self.dims, told), remarks
