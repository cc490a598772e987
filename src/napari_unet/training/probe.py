"""What a training would do, told from a second of it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import psutil
import torch

from napari_unet.config import TrainingConfig
from napari_unet.config import seconds as read_seconds
from napari_unet.events import Probe, StepDone
from napari_unet.training.augmentation import patch_shape
from napari_unet.training.loop import Trainer
from napari_unet.training.pairs import as_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from napari_unet.data.stack import Stack
    from napari_unet.training.pairs import Pair

_PAUSE = 0.005  # seconds between two looks at the memory


def probe_training(
    image: Stack | str | Path | ArrayLike,
    labels: Stack | str | Path | ArrayLike,
    *,
    seconds: float = 1.0,
    axes: str | None = None,
    **options: Any,
) -> Probe:
    """Say what a training would do, after so many seconds of it; nothing is kept.

    Parameters
    ----------
    image, labels : array, Stack, str or Path, or lists of them
        As for `napari_unet.train`.
    seconds : float
        How long to train, besides reading the data; at least two steps are made.
    axes : str, optional
        The axes of `image`.
    **options
        Fields of `napari_unet.config.TrainingConfig`.

    Raises
    ------
    ConfigError, MaskError, StackFormatError, TrainingError
        As `napari_unet.train` does.
    """
    config = TrainingConfig.from_dict(options)
    return probe(as_pairs(image, labels, axes), config, seconds=seconds)


def probe(
    pairs: Sequence[Pair],
    config: TrainingConfig,
    *,
    held_out: Sequence[Pair] = (),
    seconds: float = 1.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Probe:
    """Probe a training of stacks; see `probe_training`.

    Parameters
    ----------
    pairs, held_out : sequence of (Stack, Stack)
    config : TrainingConfig
    seconds : float
    should_stop : callable
        Asked after every step.
    """
    # Published weights need not be fetched to learn how long a step takes.
    trainer = Trainer(pairs, replace(config, pretrained=False), held_out=held_out)
    with _Memory() as memory:
        step_seconds = _time_steps(trainer, seconds, should_stop)
    data, network = trainer.data, trainer.learner.network
    training, judged = data.describe_split()
    steps = trainer.budget.steps
    shape = data.network
    return Probe(
        network=f"{shape.name}, depth {shape.depth}, width {shape.width}",
        parameters=sum(each.numel() for each in network.parameters()),
        patch=list(patch_shape(trainer.config)),
        batch_size=trainer.config.batch_size,
        steps=steps or max(1, round(read_seconds(config.budget) / step_seconds)),
        step_seconds=step_seconds,
        seconds=steps * step_seconds if steps else read_seconds(config.budget),
        memory=memory.most,
        device=trainer.learner.device.type,
        training=training,
        held_out=judged,
    )


def _time_steps(
    trainer: Trainer, seconds: float, should_stop: Callable[[], bool]
) -> float:
    """Return what a step takes, the first one left out: it also warms up."""
    began = time.monotonic()
    ends = [began]
    for event in trainer.events():
        if isinstance(event, StepDone):
            ends.append(time.monotonic())
            enough = len(ends) > 2 and ends[-1] - began >= seconds
            if enough or event.progress >= 1 or should_stop():
                break  # before it is judged: that may take longer than all steps
    warm = ends[1:] if len(ends) > 2 else ends
    return max(1e-6, (warm[-1] - warm[0]) / (len(warm) - 1))


class _Memory(threading.Thread):
    """Watches the most memory taken while it is entered, on a GPU that of the GPU."""

    def __init__(self) -> None:
        super().__init__(name="memory", daemon=True)
        self._over = threading.Event()
        self._process = psutil.Process()
        self.most = 0

    def __enter__(self) -> Self:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        if torch.cuda.is_available() and (used := torch.cuda.max_memory_allocated()):
            self.most = used

    def run(self) -> None:
        """Look until it is over."""
        while True:
            self.most = max(self.most, self._process.memory_info().rss)
            if self._over.wait(_PAUSE):
                return
