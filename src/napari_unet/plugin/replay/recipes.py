"""What a widget did or would do, to be said as a shell line or a script."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from napari_unet.plugin import runs
from napari_unet.plugin.replay.sources import file_of, free_folder, save
from napari_unet.replay.evaluation import Evaluation
from napari_unet.replay.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_unet.plugin.replay.sources import ChannelsRef, Given, LayerRef, Ref
    from napari_unet.replay.batch import Batch


class Said(Protocol):
    """What is to be copied, in both languages."""

    def command(self) -> list[str]:
        """Return the arguments of the shell line, the program first."""

    def script(self) -> str:
        """Return the script."""


Done = tuple[Said, list[str]]
"""What to copy, and sentences about it for the user."""


def new_folder(name: str) -> Path:
    """Return a folder beside the runs that is not there, named after what it holds."""
    return free_folder(runs.new_run(name, datetime.now().astimezone()))


@dataclass
class PredictRecipe:
    """A prediction of a layer.

    Attributes
    ----------
    image : LayerRef
    model : Path
    options : mapping
        Every option by name.
    wanted : sequence of str
        What is predicted besides labels.
    region : sequence of (int, int), or None
    remarks : list of str
        Why doing it again would give something else.
    """

    image: LayerRef
    model: Path
    options: Mapping[str, Any]
    wanted: Sequence[str] = ()
    region: Sequence[Sequence[int]] | None = None
    remarks: list[str] = field(default_factory=list)

    def again(self) -> PredictRecipe:
        """Return what does the same once more."""
        return self

    def gather(self) -> Callable[[], Done]:
        """Look at the layer; what is returned is for a background thread.

        Raises
        ------
        UNetError
            If it is gone.
        """
        image = self.image.given()
        return lambda: self._done(image)

    def _done(self, image: Given) -> Done:
        remarks = list(self.remarks)
        new = runs.new_run(self.image.name, datetime.now().astimezone())
        path, told = file_of(image, self.image, new / "image.tif", remarks)
        out = new if path.parent == new else free_folder(_beside(path))
        wanted = [each for each in self.wanted if each != "attention"]
        if len(wanted) < len(self.wanted):
            remarks.append("Images of attention are made in the window only.")
        done = Prediction(
            str(self.model),
            str(path),
            str(out),
            self.options,
            wanted,
            self.region,
            told,
        )
        return done, remarks


@dataclass
class EvaluateRecipe:
    """A comparison of layers.

    Attributes
    ----------
    prediction : LayerRef or ChannelsRef
    truth : LayerRef
    image : LayerRef or None
    model : Path or None
    kind : str
    options : mapping
        Every option by name.
    region : str or None
        The part of the truth that the prediction lies on.
    """

    prediction: LayerRef | ChannelsRef
    truth: LayerRef
    image: LayerRef | None
    model: Path | None
    kind: str
    options: Mapping[str, Any]
    region: str | None = None

    def again(self) -> EvaluateRecipe:
        """Return what does the same once more."""
        return self

    def gather(self) -> Callable[[], Done]:
        """Look at the layers; what is returned is for a background thread.

        Raises
        ------
        UNetError
            If one is gone.
        """
        refs: dict[str, Ref] = {"prediction": self.prediction, "truth": self.truth}
        if self.image is not None:
            refs["image"] = self.image
        given = {name: ref.given() for name, ref in refs.items()}
        return lambda: self._done(refs, given)

    def _done(self, refs: Mapping[str, Ref], given: Mapping[str, Given]) -> Done:
        remarks: list[str] = []
        home = new_folder(f"{self.prediction.name} evaluation")
        files = {}
        for role, ref in refs.items():
            path = home / f"{role}.tif"
            file, told = file_of(given[role], ref, path, remarks)
            if told.axes:  # which `evaluate` is not told
                file = save(given[role], ref, path, remarks)
            files[role] = str(file)
        done = Evaluation(
            files["prediction"],
            files["truth"],
            str(home / "report.html"),
            self.kind,
            self.options,
            files.get("image"),
            None if self.model is None else str(self.model),
            self.region,
        )
        return done, remarks


@dataclass
class BatchRecipe:
    """A prediction of many images, which are files already."""

    batch: Batch

    def again(self) -> BatchRecipe:
        """Return what does the same once more."""
        return self

    def gather(self) -> Callable[[], Done]:
        """Say it; nothing has to be looked for."""
        return lambda: (self.batch, [])


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name.partition('.')[0]} prediction")
