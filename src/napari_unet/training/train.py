"""The two ways to start a training: to its end, or event by event."""

from __future__ import annotations

from contextlib import nullcontext
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import TrainingConfig
from napari_unet.control import stop_on_interrupt
from napari_unet.data.matching import is_several, pair_folders
from napari_unet.data.open import as_stack
from napari_unet.data.stack import Stack
from napari_unet.errors import ConfigError, MaskError, TrainingError
from napari_unet.presets import PRESETS
from napari_unet.training.going_on import on_top
from napari_unet.training.loop import Trainer
from napari_unet.training.parallel import Team, find_team
from napari_unet.training.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike

    from napari_unet.control import Control
    from napari_unet.events import Event
    from napari_unet.model import Model
    from napari_unet.training.dataset import Pair

    Image = Stack | str | Path | ArrayLike

_HOW_LONG = ("budget", "steps", "epochs")
_MAY_CHANGE = {
    *_HOW_LONG,
    "steps_per_epoch",
    "patience",
    "checkpoint_every",
    "device",
    "precision",
    "class_names",
    "preset",  # what it stands for is compared
}


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
    if budget is not None:
        options["budget"] = str(budget)
    if steps is not None:
        options["steps"] = steps
    if init is not None:
        options["init"] = str(init)
    check_budget(options)
    folder = Path(run) if run else None
    if resume and folder is None:
        raise ConfigError("There is no run to resume: say which by run=.")
    team = find_team()
    with stop_on_interrupt(insist=False) if team.several else nullcontext() as stop:
        trainer = Trainer(
            as_pairs(image, labels, axes),
            training_config(options, folder if resume and team.leads else None),
            folder,
            held_out=_held_out_pairs(validation_image, validation_labels, axes),
            resume=resume,
            overwrite=overwrite,
            new_labels=new_labels,
            should_stop=stop.is_set if stop else lambda: False,
            team=team,
        )
        for event in trainer.events():
            on_event(event)
    if trainer.best is None:
        raise TrainingError("The training was stopped before there was a model.")
    return trainer.best


def _held_out_pairs(
    image: Image | Sequence[Image] | None,
    labels: Image | Sequence[Image] | None,
    axes: str | None,
) -> list[Pair]:
    if image is None and labels is None:
        return []
    if image is None or labels is None:
        raise ConfigError(
            "To judge the model by other data give both: validation_image and "
            "validation_labels."
        )
    return as_pairs(image, labels, axes)


def as_pairs(
    image: Image | Sequence[Image], labels: Image | Sequence[Image], axes: str | None
) -> list[Pair]:
    """Open images and masks, one or a list of each, as pairs of stacks."""
    images, masks = _as_list(image), _as_list(labels)
    if len(images) == len(masks) == 1 and all(map(_names_several, (*images, *masks))):
        files = pair_folders(Path(images[0]), Path(masks[0]))
        images = [pair.image for pair in files]
        masks = [pair.mask for pair in files]
    if len(images) != len(masks) or not images:
        raise MaskError(
            f"There are {len(images)} images and {len(masks)} masks, but each image "
            "needs its mask: give two lists of the same length, in the same order."
        )
    pairs = []
    for one, mask in zip(images, masks, strict=True):
        stack = as_stack(one, axes=axes)
        pairs.append((stack, _as_labels(mask, stack, told=axes is not None)))
    return pairs


def _names_several(given: Any) -> bool:
    return isinstance(given, str | Path) and is_several(Path(given))


def _as_list(given: Image | Sequence[Image]) -> list[Any]:
    """Return several images as they are, one image as a list of one."""
    if not isinstance(given, list | tuple):
        return [given]
    numbers = given and all(isinstance(each, Number | list | tuple) for each in given)
    return [given] if numbers else list(given)


def _as_labels(labels: Image, image: Stack, *, told: bool) -> Stack:
    """Take the axes from the image: of a file where they were told, of an array."""
    if isinstance(labels, Stack):
        return labels
    if isinstance(labels, str | Path):
        return as_stack(labels, axes=image.section_axes if told else None)
    fits = np.ndim(labels) == len(image.section_axes)
    return as_stack(labels, axes=image.section_axes if fits else None)


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
        The processes that train together; only the first one yields events.

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


def check_budget(given: dict[str, Any]) -> None:
    """Raise `ConfigError` if more than one of the options given says how long."""
    several = [name for name in _HOW_LONG if given.get(name) is not None]
    if len(several) > 1:
        raise ConfigError(
            f"Say how long to train in one way: {' and '.join(several)} were given."
        )


def training_config(
    given: dict[str, Any], resumed: Path | None, *, more: bool = False
) -> TrainingConfig:
    """Complete the options given: by those of the resumed run, or by the defaults.

    Parameters
    ----------
    given : dict
    resumed : Path, optional
        The folder of the run to be gone on with.
    more : bool
        Whether the time, steps or epochs given come on top once those of the run are
        used up; else they are totals.

    Raises
    ------
    ConfigError
        If an option is unknown or out of range, or is another one than the run to be
        resumed was started with.
    TrainingError
        If there is no run to resume.
    """
    if resumed is None:
        return TrainingConfig.from_dict(given)
    given = {**PRESETS.get(str(given.get("preset")), {}), **given}
    if more:
        given = on_top(given, RunFolder(resumed))
    asked = TrainingConfig.from_dict(given).to_dict()
    # What is left open now was filled in when the run was started.
    given = {
        name: asked[name]
        for name in given
        if name in _MAY_CHANGE or asked[name] not in (None, "auto")
    }
    recorded: dict[str, Any] = RunFolder(resumed).config()["options"]
    changed = [
        f"{name} was {recorded.get(name)!r}, not {value!r}"
        for name, value in given.items()
        if name not in _MAY_CHANGE and value != recorded.get(name)
    ]
    if changed:
        raise ConfigError(
            f"The run in {resumed} was started with other options: "
            f"{'; '.join(changed)}. Leave these out to resume it, or start a new run."
        )
    if given.keys() & _HOW_LONG:  # what is given now counts more than what was then
        recorded |= {"steps": None, "epochs": None, "steps_per_epoch": None}
    return TrainingConfig.from_dict({**recorded, **given})
