"""What the Correct widget did or would do, as a shell line or a script."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.data.region import Region, crop
from napari_unet.plugin.replay.recipes import PredictRecipe, new_folder
from napari_unet.plugin.replay.sources import file_of, save
from napari_unet.prediction.results import find_tiffs
from napari_unet.replay.prediction import Prediction
from napari_unet.replay.unsure import FindUnsure

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.plugin.replay.recipes import Done
    from napari_unet.plugin.replay.sources import ChannelsRef, Given, LayerRef


@dataclass
class UnsureRecipe:
    """A search for unsure places.

    Attributes
    ----------
    source : LayerRef, ChannelsRef or PredictRecipe
        An uncertainty, the probabilities of all classes, or what gives the one.
    annotated : LayerRef or None
    unlabelled : int
        The value in `annotated` that means not annotated.
    start : tuple of int or None
        The first pixel of the image that was predicted; of all of it None.
    n, size : int
    over : bool
        Whether it is over, so that more may have been annotated since.
    """

    source: LayerRef | ChannelsRef | PredictRecipe
    annotated: LayerRef | None
    unlabelled: int
    start: tuple[int, ...] | None
    n: int
    size: int
    over: bool = False

    def again(self) -> UnsureRecipe:
        """Return what does the same once more."""
        return replace(self, over=True)

    def gather(self) -> Callable[[], Done]:
        """Look at the layers; what is returned is for a background thread.

        Raises
        ------
        UNetError
            If one is gone.
        """
        if isinstance(self.source, PredictRecipe):
            predict = self.source.gather()
            known = self._known(self.source.image.given())
            return lambda: self._after(predict(), known)
        given = self.source.given()
        known = self._known(given)
        return lambda: self._done(given, known)

    def _known(self, source: Given) -> Given | None:
        """Describe what is annotated of the part that was predicted."""
        if self.annotated is None:
            return None
        stack, labels = source.stack, self.annotated.given(source.stack)
        if self.start is None:
            return labels
        lengths = dict(zip(stack.axes, stack.shape, strict=True))
        bounds = [
            (start, start + lengths[axis])
            for axis, start in zip(stack.section_axes, self.start, strict=True)
        ]
        part = crop(labels.stack, Region(stack.section_axes, tuple(bounds)))
        return replace(labels, stack=part)

    def _done(self, given: Given, known: Given | None) -> Done:
        assert not isinstance(self.source, PredictRecipe)
        remarks: list[str] = []
        home = new_folder(f"{self.source.name} unsure")
        own = home / "unsure.tif"
        path, told = file_of(given, self.source, own, remarks)
        if told.pixel_size is not None:  # which `unsure` is not told
            path, told = (
                save(given, self.source, own, remarks),
                replace(told, axes=None),
            )
        if self.start is not None and any(self.start):
            first = ", ".join(map(str, self.start))
            remarks.append(f"Places are counted from the pixel {first} of the image.")
        return self._found(str(path), home, known, remarks, told.axes), remarks

    def _after(self, predicted: Done, known: Given | None) -> Done:
        said, remarks = predicted
        assert isinstance(said, Prediction)
        home = Path(said.out)
        source = find_tiffs(Path(said.image).name, home, ["uncertainty"])
        found = self._found(str(source["uncertainty"]), home, known, remarks)
        return replace(found, predicted=said), remarks

    def _found(
        self,
        source: str,
        home: Path,
        known: Given | None,
        remarks: list[str],
        axes: str | None = None,
    ) -> FindUnsure:
        annotated = None
        if known is not None and self.annotated is not None:
            folder = new_folder(f"{self.annotated.name} unsure")
            path, _ = file_of(known, self.annotated, folder / "labels.tif", remarks)
            annotated = str(path)
            if self.over:
                remarks.append("What is annotated by now is left out.")
        return FindUnsure(
            source,
            str(home / "places.csv"),
            self.n,
            self.size,
            axes,
            annotated,
            self.unlabelled,
        )
