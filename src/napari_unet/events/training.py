"""What a training reports while it works."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_unet.events.event import Event


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
