"""What a widget did or would do, to be said as a shell line or a script."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from napari_unet.errors import UNetError
from napari_unet.plugin import runs
from napari_unet.plugin.replay.sources import Given, LayerRef, free_folder, keep
from napari_unet.plugin.settings import preferences
from napari_unet.replay import Batch, Evaluation, Prediction, Told, Training
from napari_unet.replay_objects import FindObjects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Done = tuple[Training | Prediction | Evaluation | Batch | FindObjects, list[str]]
    """What to say, and sentences about it for the user."""

_TIMED = (
    "In a given time a computer does not always do as many steps; for the very same "
    "model, say under Advanced how many."
)


@dataclass
class TrainRecipe:
    """A training on layers.

    Attributes
    ----------
    image, labels : LayerRef
    run : Path
    options : mapping
        Every option by name; of a run that is resumed, those that change.
    resume : bool
    remarks : list of str
        Why doing it again would give something else.
    home : Path or None
        The folder to save layers to that are in no file; by default that of the run.
    mask : Path or None
        The file of the labels as they were when the training began.
    """

    image: LayerRef
    labels: LayerRef
    run: Path
    options: Mapping[str, Any]
    resume: bool = False
    remarks: list[str] = field(default_factory=list)
    home: Path | None = None
    mask: Path | None = None

    def begin(self, labels: Given) -> None:
        """Find or save the labels as they are now; for a background thread."""
        try:
            if (found := labels.find()) and not found[1].axes:
                self.mask = found[0]
            elif preferences().get("training", "keep_labels"):
                self.mask = keep(labels, self.run / "labels.tif")
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
        image = self.image.given()
        labels = self.labels.given(image.stack) if self.mask is None else None
        return lambda: self._done(image, labels)

    def _done(self, image: Given, labels: Given | None) -> Done:
        remarks, home = list(self.remarks), self.home or self.run
        path, told = _file_of(image, self.image, home / "image.tif", remarks)
        mask, own = self.mask, home / "labels.tif"
        if labels is not None:
            mask, asked = _file_of(labels, self.labels, own, remarks)
            if asked.axes and not told.axes:  # which cannot be said of a mask alone
                mask = _save(labels, self.labels, own, remarks)
        if not (self.options.get("steps") or self.options.get("epochs")):
            remarks.append(_TIMED)
        pair = (str(path), str(mask))
        done = Training([pair], str(self.run), self.options, told, self.resume)
        return done, remarks


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
        path, told = _file_of(image, self.image, new / "image.tif", remarks)
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
    prediction, truth : LayerRef
    image : LayerRef or None
    model : Path or None
    kind : str
    options : mapping
        Every option by name.
    region : str or None
        The part of the truth that the prediction lies on.
    """

    prediction: LayerRef
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
        refs = {"prediction": self.prediction, "truth": self.truth}
        if self.image is not None:
            refs["image"] = self.image
        given = {name: ref.given() for name, ref in refs.items()}
        return lambda: self._done(refs, given)

    def _done(self, refs: Mapping[str, LayerRef], given: Mapping[str, Given]) -> Done:
        remarks: list[str] = []
        name = f"{self.prediction.name} evaluation"
        home = free_folder(runs.new_run(name, datetime.now().astimezone()))
        files = {}
        for role, ref in refs.items():
            path = home / f"{role}.tif"
            file, told = _file_of(given[role], ref, path, remarks)
            if told.axes:  # which `evaluate` is not told
                file = _save(given[role], ref, path, remarks)
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
        name = f"{self.layer.name} objects"
        home = free_folder(runs.new_run(name, datetime.now().astimezone()))
        path, told = _file_of(given, self.layer, home / "source.tif", remarks)
        out = str(home / "objects.tif")
        done = FindObjects(str(path), out, self.inside, self.border, self.options, told)
        return done, remarks


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name.partition('.')[0]} prediction")


def _file_of(
    given: Given, layer: LayerRef, path: Path, remarks: list[str]
) -> tuple[Path, Told]:
    """Return the file of a layer, and write one if there is none."""
    return given.find() or (_save(given, layer, path, remarks), Told())


def _save(given: Given, layer: LayerRef, path: Path, remarks: list[str]) -> Path:
    path = keep(given, path)
    remarks.append(f"The layer {layer.name!r} is in no file as it is now: see {path}.")
    return path
