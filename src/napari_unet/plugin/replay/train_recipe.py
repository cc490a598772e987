"""What the Train widget did or would do, to be said as a shell line or a script."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_unet.errors import UNetError
from napari_unet.plugin import runs
from napari_unet.plugin.replay.sources import (
    file_of,
    files_alike,
    free_folder,
    keep,
    save,
)
from napari_unet.plugin.settings import preferences
from napari_unet.replay.training import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_unet.plugin.replay.recipes import Done
    from napari_unet.plugin.replay.sources import FileRef, Given, LayerRef
    from napari_unet.replay.words import Told

_TIMED = (
    "In a given time a computer does not always do as many steps; for the very same "
    "model, say under Advanced how many."
)


@dataclass
class TrainedPair:
    """An image and its labels.

    Attributes
    ----------
    image, labels : LayerRef or FileRef
    mask : Path or None
        The file of the labels as they were when the training began.
    """

    image: LayerRef | FileRef
    labels: LayerRef | FileRef
    mask: Path | None = None

    def given(self) -> tuple[Given, Given | None]:
        """Describe both as they are now; labels only if they are in no file yet."""
        image = self.image.given()
        return image, None if self.mask else self.labels.given(image.stack)


@dataclass
class TrainRecipe:
    """A training on layers and files.

    Attributes
    ----------
    pairs : sequence of TrainedPair
    run : Path
    options : mapping
        Every option by name; of a run that is resumed, those that change.
    resume : bool
    remarks : list of str
        Why doing it again would give something else.
    home : Path or None
        The folder to save layers to that are in no file; by default that of the run.
    """

    pairs: Sequence[TrainedPair]
    run: Path
    options: Mapping[str, Any]
    resume: bool = False
    remarks: list[str] = field(default_factory=list)
    home: Path | None = None

    def begin(self, masks: Sequence[Given]) -> None:
        """Find or save the labels as they are now; for a background thread."""
        keeps = preferences().get("training", "keep_labels")
        for pair, labels in zip(self.pairs, masks, strict=True):
            try:
                if (found := labels.find()) and not found[1].axes:
                    pair.mask = found[0]
                elif keeps:
                    pair.mask = keep(labels, self.run / "labels.tif")
            except UNetError as error:  # no reason not to train
                self.remarks.append(str(error))

    def again(self) -> TrainRecipe:
        """Return what gives the same model once more, in a folder of its own."""
        stored = runs.stored_options(self.run) if self.resume else None
        run = free_folder(self.run.with_name(f"{self.run.name} again"))
        options = stored or self.options
        return replace(self, run=run, options=options, resume=False, home=self.run)

    def gather(self) -> Callable[[], Done]:
        """Look at the layers; what is returned is for a background thread.

        Raises
        ------
        UNetError
            If one is gone.
        """
        given = [each.given() for each in self.pairs]
        return lambda: self._done(given)

    def _done(self, given: Sequence[tuple[Given, Given | None]]) -> Done:
        remarks = list(self.remarks)
        own = self._home / "image.tif"
        found = [
            (image, pair.image, own)
            for pair, (image, _) in zip(self.pairs, given, strict=True)
        ]
        images, told = files_alike(found, remarks)
        files = []
        for pair, image, (_, labels) in zip(self.pairs, images, given, strict=True):
            mask = pair.mask
            if labels is not None:
                mask = self._mask(pair, labels, told, remarks)
            files.append((str(image), str(mask)))
        if not (self.options.get("steps") or self.options.get("epochs")):
            remarks.append(_TIMED)
        done = Training(files, str(self.run), self.options, told, self.resume)
        return done, remarks

    def _mask(
        self, pair: TrainedPair, labels: Given, told: Told, remarks: list[str]
    ) -> Path:
        own = self._home / "labels.tif"
        path, asked = file_of(labels, pair.labels, own, remarks)
        if asked.axes and not told.axes:  # which cannot be said of a mask alone
            return save(labels, pair.labels, own, remarks)
        return path

    @property
    def _home(self) -> Path:
        return self.home or self.run
