"""The two ways to start a training: to its end, or event by event."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.control import stop_on_interrupt
from napari_unet.errors import ConfigError, TrainingError
from napari_unet.training.going_on import check_budget, training_config
from napari_unet.training.loop import Trainer
from napari_unet.training.pairs import as_pairs, held_out_pairs
from napari_unet.training.parallel import Team, find_team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_unet.config import TrainingConfig
    from napari_unet.control import Control
    from napari_unet.events import Event
    from napari_unet.model import Model
    from napari_unet.training.pairs import Image, Pair


def train(
    image: Image | Sequence[Image],
    labels: Image | Sequence[Image],
    *,
    validation_image: Image | Sequence[Image] | None = None,
    validation_labels: Image | Sequence[Image] | None = None,
    budget: str | float | None = None,
    steps: int | None = None,
    init: str | Path | None = None,
    run: str | Path | None = None,
    axes: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    new_labels: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    **options: Any,
) -> Model:
    """Train a U-Net on an annotated image, or on several.

    Interrupting it (Ctrl-C) returns the best model so far. Started by torchrun in
    several processes, they train together, and each returns the same model.

    Parameters
    ----------
    image : array, Stack, str or Path, or a list of them
        Pixels such as ``(Y, X)``, ``(Z, Y, X)`` or, with `axes`, ``(Z, Y, X, C)``; of
        any number type. The images of a list may differ in size, and each is
        normalised on its own.
    labels : array, Stack, str or Path, or a list of them
        The mask, one value per pixel: the image's shape without channels. Of a list
        of images, the mask of each in the same order. The files of two folders are
        paired by name, each an image of its own; ``open_stack(folder)`` makes one stack
        of them.
    validation_image, validation_labels : like image and labels, optional
        Others to judge the model by; nothing else is held out then.
    budget : str or float, optional
        Time to train for: ``"90s"``, ``"3m"`` (the default), ``"1h"``, or a number of
        seconds.
    steps : int, optional
        Steps to train for, instead of a time. The same steps, seed and machine give
        the same weights. A third way is the option `epochs`.
    init : str or Path, optional
        Run folder or model file to start from: its layers that fit are taken, the
        others, such as the last one when the classes are others, drawn anew and named.
    run : str or Path, optional
        Folder that keeps the run, so that it can be resumed after a crash.
    axes : str, optional
        The axes of `image`, one letter per dimension out of ``TZCYX``; read from a
        file, and told from the shape where that is clear.
    resume : bool
        Whether to go on with the run in `run`, with its options; of those only
        `budget`, `steps` and those of the machine may be others.
    overwrite : bool
        Whether a run in `run` may be replaced.
    new_labels : bool
        Whether a run may be resumed with other labels than it had, of the same images.
        Its split and classes stay.
    on_event : callable
        Called with each event of `napari_unet.events` as it happens.
    **options
        Any other field of `napari_unet.config.TrainingConfig`, such as
        ``learning_rate=1e-3``.

    Returns
    -------
    Model
        The best one, judged on the part of the data that was held out.

    Raises
    ------
    StackFormatError, MaskError
        If the data cannot be read, or image and mask do not fit.
    ConfigError
        If an option is out of range, two say how long to train, or no layer of
        `init` fits.
    TrainingError
        If the loss is not finite before there is a model, or a run cannot be resumed.
    OutputExistsError
        If `run` holds another run.

    Examples
    --------
    >>> model = train(image, labels, budget="2m")  # doctest: +SKIP
    """
    words = {"budget": budget, "init": init}
    options |= {name: str(word) for name, word in words.items() if word is not None}
    if steps is not None:
        options["steps"] = steps
    check_budget(options)
    folder = Path(run) if run else None
    if resume and folder is None:
        raise ConfigError("There is no run to resume: say which by run=.")
    team = find_team()
    team.join()  # before what only one may fail at, for which others would wait
    resume = resume or team.was_at(folder)
    with stop_on_interrupt(insist=False) if team.several else nullcontext() as stop:
        trainer = Trainer(
            as_pairs(image, labels, axes),
            training_config(options, folder if resume and team.leads else None),
            folder,
            held_out=held_out_pairs(validation_image, validation_labels, axes),
            resume=resume,
            overwrite=overwrite,
            new_labels=new_labels,
            should_stop=stop.is_set if stop else lambda: False,
            team=team,
        )
        return _to_its_end(trainer, on_event)


def _to_its_end(trainer: Trainer, on_event: Callable[[Event], None]) -> Model:
    for event in trainer.events():
        on_event(event)
    if trainer.best is None:
        raise TrainingError("The training was stopped before there was a model.")
    return trainer.best


def train_events(
    pairs: Sequence[Pair],
    config: TrainingConfig,
    *,
    run: Path | None = None,
    held_out: Sequence[Pair] = (),
    resume: bool = False,
    overwrite: bool = False,
    new_labels: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    control: Control | None = None,
    team: Team | None = None,
) -> Iterator[Event]:
    """Train and yield the events; parameters and errors are those of `train`.

    Parameters
    ----------
    pairs : sequence of (Stack, Stack)
        Images with their labels.
    held_out : sequence of (Stack, Stack)
        Others to judge by, instead of holding out a part of `pairs`.
    should_stop : callable
        Asked after every step; when true the training ends and its best model is kept.
    control : Control, optional
        Pauses, resumes and stops it from another thread, says what to predict while it
        learns, and hands over sections that were annotated anew.
    team : Team, optional
        The processes that train together, which have met (`Team.join`); only the first
        one yields events.

    Yields
    ------
    TrainingStarted, StepDone, Validated, CheckpointSaved, Paused, Resumed,
    LivePredicted, LiveFailed, LabelsTaken, LabelsRefused, TrainingFinished
    """
    yield from Trainer(
        pairs,
        config,
        run,
        held_out=held_out,
        resume=resume,
        overwrite=overwrite,
        new_labels=new_labels,
        should_stop=should_stop,
        control=control,
        team=team,
    ).events()
