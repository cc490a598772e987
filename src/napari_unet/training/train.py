"""The two ways to start a training: to its end, or event by event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.config import TrainingConfig
from napari_unet.data.stack import Stack, as_stack
from napari_unet.training.loop import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike

    from napari_unet.events import Event
    from napari_unet.model import Model


def train(
    image: Stack | str | Path | ArrayLike,
    labels: Stack | str | Path | ArrayLike,
    *,
    budget: str | float = "3m",
    steps: int | None = None,
    run: str | Path | None = None,
    axes: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    **options: Any,
) -> Model:
    """Train a U-Net on an annotated image.

    Interrupting it (Ctrl-C) returns the best model so far.

    Parameters
    ----------
    image : array, Stack, str or Path
        Pixels such as ``(Y, X)``, ``(Z, Y, X)`` or, with `axes`, ``(Z, Y, X, C)``; of
        any number type.
    labels : array, Stack, str or Path
        The mask, one value per pixel: the image's shape without channels.
    budget : str or float
        Time to train for: ``"90s"``, ``"3m"``, ``"1h"``, or a number of seconds.
    steps : int, optional
        Steps to train for, instead of a time. The same steps, seed and machine give
        the same weights.
    run : str or Path, optional
        Folder that keeps the run, so that it can be resumed after a crash.
    axes : str, optional
        The axes of `image`, one letter per dimension out of ``TZCYX``; read from a
        file, and told from the shape where that is clear.
    resume : bool
        Whether to go on with the run in `run`.
    overwrite : bool
        Whether a run in `run` may be replaced.
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
        If an option is out of range.
    TrainingError
        If the loss is not finite before there is a model, or a run cannot be resumed.
    OutputExistsError
        If `run` holds another run.

    Examples
    --------
    >>> model = train(image, labels, budget="2m")  # doctest: +SKIP
    """
    config = TrainingConfig.from_dict(
        {"budget": str(budget), "steps": steps, **options}
    )
    trainer = Trainer(
        as_stack(image, axes=axes),
        _labels(labels),
        config,
        Path(run) if run else None,
        resume=resume,
        overwrite=overwrite,
    )
    for event in trainer.events():
        on_event(event)
    assert trainer.best is not None
    return trainer.best


def train_events(
    image: Stack,
    labels: Stack,
    config: TrainingConfig,
    *,
    run: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train and yield the events; parameters and errors are those of `train`.

    Parameters
    ----------
    should_stop : callable
        Asked after every step; when true the training ends and its best model is kept.

    Yields
    ------
    TrainingStarted, StepDone, Validated, CheckpointSaved, TrainingFinished
    """
    yield from Trainer(
        image,
        labels,
        config,
        run,
        resume=resume,
        overwrite=overwrite,
        should_stop=should_stop,
    ).events()


def _labels(labels: Stack | str | Path | ArrayLike) -> Stack:
    return as_stack(labels)
