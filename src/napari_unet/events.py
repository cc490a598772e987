"""What training and prediction report while they work.

Both are generators of the frozen dataclasses below. The command line draws a progress
bar from them, the worker prints them as JSON lines, the widgets listen, a notebook
loops over them.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Base of all events."""

    def to_json(self) -> str:
        """Return the event as one line of JSON, its class name under ``"event"``."""
        return json.dumps({"event": type(self).__name__, **dataclasses.asdict(self)})

    @staticmethod
    def from_json(line: str) -> Event:
        """Build the event back from `to_json`'s line."""
        values: dict[str, Any] = json.loads(line)
        return _BY_NAME[values.pop("event")](**values)


@dataclass(frozen=True)
class TrainingStarted(Event):
    """The data is read and split; the first step comes next.

    Attributes
    ----------
    run : str or None
        The run folder; None when the run is kept in memory only.
    device, precision : str
        Where and how it computes, for example ``"cpu"`` and ``"bf16"``.
    step : int
        Steps already done, more than 0 when a run is resumed.
    classes : list of int
        The mask value of each class, in class order; none for regression.
    mapping : list of str
        What each mask value becomes and how common it is, or what the values to
        regress are like, in words.
    training, validation : str
        Which part of the data serves for what, in words.
    transfer : str
        Which layers are those of a saved model, in words; empty where all were drawn.
    remark : str
        What a user should know of the masks, if anything.
    """

    run: str | None
    device: str
    precision: str
    step: int
    classes: list[int]
    mapping: list[str]
    training: str
    validation: str
    transfer: str = ""
    remark: str = ""


@dataclass(frozen=True)
class StepDone(Event):
    """One step of the optimiser is done.

    Attributes
    ----------
    step : int
        Counted from 1.
    loss, learning_rate : float
    progress : float
        Share of the budget used, 0 to 1.
    elapsed, remaining : float
        Seconds of training so far and, by estimate, to come.
    """

    step: int
    loss: float
    learning_rate: float
    progress: float
    elapsed: float
    remaining: float


@dataclass(frozen=True)
class Validated(Event):
    """The held-out part was predicted as a whole and scored.

    Attributes
    ----------
    step : int
    loss : float
        Plain cross-entropy over the held-out pixels, or for regression their mean
        squared difference in standard deviations.
    iou, dice, precision, recall : dict of str to float
        Score of each class that occurs, under the class's name; None where undefined.
    score, smoothed : float
        Mean IoU, or for regression R², now, and its running average, by which "best"
        is judged.
    best : bool
        Whether this model became the best so far.
    r2, mae, rmse : float or None
        Scores of regression; see `napari_unet.evaluation.RegressionScores`.
    """

    step: int
    loss: float
    iou: dict[str, float]
    dice: dict[str, float]
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    score: float
    smoothed: float
    best: bool
    r2: float | None = None
    mae: float | None = None
    rmse: float | None = None


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """The state needed to resume was written."""

    step: int
    path: str


@dataclass(frozen=True)
class Paused(Event):
    """The training waits, its clock too; nothing is lost if it is ended now."""

    step: int


@dataclass(frozen=True)
class Resumed(Event):
    """The training goes on after a pause."""

    step: int


@dataclass(frozen=True)
class LivePredicted(Event):
    """What is looked at was predicted by the network as it is now; not in the log.

    Attributes
    ----------
    step : int
    bounds : list of [int, int]
        First pixel and the one after the last along each axis of the labels, rows and
        columns last.
    path : str
        The .npy file with it; whoever reads it removes it.
    kind : str
        ``"labels"``; ``"probability"``, that of all classes but the one with the most
        annotated pixels; or ``"values"`` for regression.
    pair : int
        Which of the images.
    """

    step: int
    bounds: list[list[int]]
    path: str
    kind: str
    pair: int = 0


@dataclass(frozen=True)
class LabelsTaken(Event):
    """Sections that were annotated anew while it runs are trained on from now on.

    Attributes
    ----------
    step : int
    sections : list of int
    pixels : int
        How many of those that train mean something else than before.
    held_out : int
        Likewise of those that only judge.
    pair : int
        Which of the images.
    """

    step: int
    sections: list[int]
    pixels: int
    held_out: int
    pair: int = 0

    @property
    def message(self) -> str:
        """The same in a sentence for the user."""
        several = "s" if len(self.sections) > 1 else ""
        where = f"section{several} {', '.join(map(str, self.sections))}"
        judging = f", and {self.held_out} that judge" if self.held_out else ""
        return f"Took in {self.pixels} new pixels on {where}{judging}."


@dataclass(frozen=True)
class LabelsRefused(Event):
    """What was annotated cannot be trained on; the training goes on without it."""

    step: int
    message: str
    sections: list[int] = field(default_factory=list)
    pair: int = 0


@dataclass(frozen=True)
class LiveFailed(Event):
    """What is looked at could not be predicted; the training goes on."""

    step: int
    message: str


@dataclass(frozen=True)
class TrainingFinished(Event):
    """The training ended and its best model is safe.

    Attributes
    ----------
    model : str or None
        The model file; None when the run was kept in memory only.
    step : int
        Steps done in all.
    best_step : int
        The step at which the kept model was taken.
    score : float or None
        Its smoothed validation score; None when nothing was held out.
    reason : str
        ``"budget"``, ``"steps"``, ``"stopped"``, ``"no progress"`` or ``"not finite"``.
    message : str
        The same in a sentence for the user.
    """

    model: str | None
    step: int
    best_step: int
    score: float | None
    reason: str
    message: str


@dataclass(frozen=True)
class PatchesDrawn(Event):
    """Training patches are drawn, to look at.

    Attributes
    ----------
    images, labels : str
        Files of arrays ``(N, C, Y, X)`` and ``(N, Y, X)``, as
        `napari_unet.preview_patches` returns them; with Z before Y for volumes.
    """

    images: str
    labels: str


@dataclass(frozen=True)
class Probe(Event):
    """What a training would do, from a second of it.

    Attributes
    ----------
    network : str
        Its name, depth and width.
    parameters : int
        Numbers that the network learns.
    patch : list of int
        Sections, rows and columns of a patch; no sections in 2-D.
    batch_size : int
    steps : int
        Steps in all: those asked for, or about those that the time allows.
    step_seconds : float
        Time of a step; of the judging in between nothing is included.
    seconds : float
        Time in all: that asked for, or about that which the steps take.
    memory : int
        Most bytes taken, by the process or, where there is one, on the GPU.
    device : str
    training, held_out : str
        Which part of the data serves for what, in words.
    """

    network: str
    parameters: int
    patch: list[int]
    batch_size: int
    steps: int
    step_seconds: float
    seconds: float
    memory: int
    device: str
    training: str
    held_out: str

    def facts(self) -> dict[str, str]:
        """Return the same as people read it, by what it is about."""
        minutes = self.seconds / 60
        time = f"{minutes:.0f} min" if minutes >= 2 else f"{self.seconds:.0f} s"
        return {
            "training": self.training,
            "held_out": self.held_out,
            "network": self.network,
            "parameters": f"{self.parameters:,}",
            "patch": " × ".join(map(str, self.patch)) + f", {self.batch_size} a step",
            "steps": f"about {self.steps:,} in {time}, {self.step_seconds:.2g} s each",
            "memory": f"{self.memory / 2**30:.1f} GB ({self.device})",
        }


@dataclass(frozen=True)
class PredictionStarted(Event):
    """The tiles are planned.

    Attributes
    ----------
    tiles : int
        How many tiles there are in all sections together.
    sections : int
    tile : list of int
        Rows and columns of the largest tile the network is given.
    device, precision : str
    remarks : list of str
        What the user should know of the result.
    """

    tiles: int
    sections: int
    tile: list[int]
    device: str
    precision: str
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TilesDone(Event):
    """Some more tiles are predicted: `done` of `total` so far."""

    done: int
    total: int


@dataclass(frozen=True)
class PredictionFinished(Event):
    """Everything is predicted and, where files were asked for, written.

    Attributes
    ----------
    labels, probabilities, objects, prediction, attention, uncertainty : str or None
        The files written, or groups in a zarr store; `prediction` holds the values of
        a model of regression.
    """

    labels: str | None = None
    probabilities: str | None = None
    objects: str | None = None
    prediction: str | None = None
    attention: str | None = None
    uncertainty: str | None = None

    @property
    def files(self) -> list[str]:
        """All that was written."""
        found = dataclasses.astuple(self)
        return [path for path in found if path is not None]


@dataclass(frozen=True)
class SectionsDone(Event):
    """Some more sections are gone through: `done` of `total` so far."""

    done: int
    total: int


@dataclass(frozen=True)
class PlacesFound(Event):
    """The places of an image where a network is least sure.

    Attributes
    ----------
    positions : list of list of int
        The middle of each, an index into the labels; the most unsure first.
    scores : list of float
        The mean uncertainty around each.
    """

    positions: list[list[int]]
    scores: list[float]


@dataclass(frozen=True)
class EvaluationFinished(Event):
    """A prediction is compared with its truth.

    Attributes
    ----------
    headline : dict of str to str
        The scores it is judged by first.
    tables : list of dict
        `napari_unet.evaluation.score_tables.ScoreTable` as plain values.
    remarks : list of str
        What a reader of the scores should know.
    words : str
        What kinds of errors there are; empty for values.
    sections : dict or None
        `napari_unet.evaluation.section_scores.SectionScores` as plain values.
    scores : dict
        All of it, as ``evaluate --json`` gives it.
    page : str
        The file of the report.
    errors : str
        The .npy file of the map of errors, rows and columns last.
    """

    headline: dict[str, str]
    tables: list[dict[str, Any]]
    remarks: list[str]
    words: str
    sections: dict[str, Any] | None
    scores: dict[str, Any]
    page: str
    errors: str


@dataclass(frozen=True)
class ObjectsFound(Event):
    """Objects are found everywhere: how many, and the .npy file of their numbers."""

    path: str
    count: int


@dataclass(frozen=True)
class ObjectsMeasured(Event):
    """All objects are measured.

    Attributes
    ----------
    path : str
        A .npz file with an array for each column of the table.
    count : int
        Of rows.
    remarks : list of str
        What the user should know of the measurements.
    """

    path: str
    count: int
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LookStarted(Event):
    """An image can be predicted tile by tile, wherever it is looked at.

    Attributes
    ----------
    axes : str
        Those of the labels, rows and columns last.
    cuts : list of list of int
        Where tiles begin and the last one ends, along each of `axes`.
    reach : list of int
        How far beyond a tile pixels are read for it, along each of `axes`.
    dtype : str
        That of the result.
    """

    axes: str
    cuts: list[list[int]]
    reach: list[int]
    dtype: str


@dataclass(frozen=True)
class TilePredicted(Event):
    """A tile that is looked at is predicted.

    Attributes
    ----------
    bounds : list of [int, int]
        First pixel and the one after the last along each axis of the labels.
    path : str
        The .npy file with its labels or values.
    """

    bounds: list[list[int]]
    path: str


@dataclass(frozen=True)
class BatchStarted(Event):
    """The images of a batch are listed.

    Attributes
    ----------
    total : int
    waiting : int
        How many are to be predicted now.
    done, failed : int
        How many are done already, or have failed and are not tried again.
    remarks : list of str
        What the user should know.
    names : list of str
        Those that are to be predicted now.
    """

    total: int
    waiting: int
    done: int
    failed: int
    remarks: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ItemBegun(Event):
    """The network turns to an image of a batch.

    Attributes
    ----------
    name : str
        Its path below the folder that was given.
    pixels : int
        How many are to be predicted.
    device, precision : str
    remarks : list of str
        What the user should know of its result.
    """

    name: str
    pixels: int
    device: str
    precision: str
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ItemDone(Event):
    """An image of a batch is predicted, and its files are complete.

    Attributes
    ----------
    name : str
    image : dict
        What tells its content: `napari_unet.batch.manifest.Fingerprint`.
    files : dict of str to str
        The results, relative to the output folder.
    facts : dict
        Pixels, seconds, and where they were asked for objects and scores.
    """

    name: str
    image: dict[str, Any]
    files: dict[str, str]
    facts: dict[str, Any]


@dataclass(frozen=True)
class ItemFailed(Event):
    """An image of a batch could not be predicted; the others go on.

    Attributes
    ----------
    name, reason : str
    image : dict or None
        As in `ItemDone`; None where it could not be read at all.
    """

    name: str
    reason: str
    image: dict[str, Any] | None = None


@dataclass(frozen=True)
class BatchFinished(Event):
    """A batch has come to its end, or was stopped.

    Attributes
    ----------
    total, done, failed, left : int
        Of how many images, over all runs.
    reports : list of str
        The files that say what became of each.
    """

    total: int
    done: int
    failed: int
    left: int
    reports: list[str]


@dataclass(frozen=True)
class Ready(Event):
    """The worker process waits for a request."""


@dataclass(frozen=True)
class Failed(Event):
    """A request to the worker ended in an error.

    Attributes
    ----------
    message : str
        What happened, for the user.
    kind : str
        The name of the exception's class.
    details : str
        The traceback, for a bug report; empty for errors that explain themselves.
    """

    message: str
    kind: str
    details: str = field(default="", repr=False)


_BY_NAME = {
    each.__name__: each
    for each in (
        TrainingStarted,
        StepDone,
        Validated,
        CheckpointSaved,
        Paused,
        Resumed,
        LivePredicted,
        LabelsTaken,
        LabelsRefused,
        LiveFailed,
        TrainingFinished,
        PatchesDrawn,
        Probe,
        PredictionStarted,
        TilesDone,
        PredictionFinished,
        SectionsDone,
        PlacesFound,
        EvaluationFinished,
        ObjectsFound,
        ObjectsMeasured,
        LookStarted,
        TilePredicted,
        BatchStarted,
        ItemBegun,
        ItemDone,
        ItemFailed,
        BatchFinished,
        Ready,
        Failed,
    )
}
