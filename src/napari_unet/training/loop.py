"""The training loop, top to bottom: batch, forward, backward, validate, keep."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_unet.data.masks.scale import Scale
from napari_unet.errors import ConfigError, TrainingError
from napari_unet.events import (
    CheckpointSaved,
    Event,
    StepDone,
    TrainingStarted,
    Validated,
)
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.networks.blocks import crop_centre
from napari_unet.networks.compute import (
    channels_last,
    choose_device,
    choose_dtype,
    dtype_name,
    reuse_memory,
)
from napari_unet.networks.encoders import EncoderUNet, freeze, load_published
from napari_unet.training.budget import Budget
from napari_unet.training.checkpoint import pack, unpack
from napari_unet.training.dataset import Dataset, step_seed
from napari_unet.training.losses import choose_loss
from napari_unet.training.optimisers import (
    PLATEAU,
    make_optimizer,
    rate_factor,
    running_average,
)
from napari_unet.training.record import describe_run, finished, judged
from napari_unet.training.run import Progress, RunFolder, versions
from napari_unet.training.thumbnail import write_thumbnail
from napari_unet.training.transfer import describe_transfer, start_from
from napari_unet.training.validation import score_held_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_unet.config import TrainingConfig
    from napari_unet.events import TrainingFinished
    from napari_unet.training.dataset import Pair

VALIDATIONS = 20
"""How often a training is judged, evenly over its budget."""

_SMOOTHING = 0.5  # weight of the newest score in the running average


class Trainer:
    """One training: its data, network, optimiser and progress.

    Parameters
    ----------
    pairs : sequence of (Stack, Stack)
        Images with their labels.
    config : TrainingConfig
    run : Path, optional
        The run folder; without one the run is kept in memory only.
    held_out : sequence of (Stack, Stack)
        Others to judge by, instead of holding out a part of `pairs`.
    resume : bool
        Whether to go on with the run that the folder holds.
    overwrite : bool
        Whether a run in the folder may be replaced.
    should_stop : callable
        Asked after every step.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        config: TrainingConfig,
        run: Path | None = None,
        *,
        held_out: Sequence[Pair] = (),
        resume: bool = False,
        overwrite: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.run = RunFolder(run) if run else None
        if self.run and not resume and not overwrite:
            self.run.check_free()
        self.pairs = [*pairs, *held_out]
        self.should_stop = should_stop
        reuse_memory()
        self.device = choose_device(config)
        self.dtype = choose_dtype(config, self.device)
        self.data = Dataset(pairs, config, held_out)
        self.config = config = self.data.config
        self.network_config = self.data.network
        self.budget = Budget(config, self.data)
        self.progress = Progress()
        self.best: Model | None = None
        self.transfer: dict[str, Any] | None = None
        self._check_judged()
        self._build()
        if self.run and resume:
            self._resume(self.run)
        else:
            self._start(overwrite=overwrite)

    def _check_judged(self) -> None:
        wants = self.config.schedule == "plateau" or self.config.patience is not None
        if wants and not self.data.held_out:
            raise ConfigError(
                f"The schedule is {self.config.schedule} and patience "
                f"{self.config.patience}, but nothing is held out to tell progress by: "
                "hold out more (the option validation), or take cosine and no patience."
            )

    def _build(self) -> None:
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = build_network(self.network_config)
        self.network = network.to(self.device)
        channels_last(self.network, self.network_config.dims)
        self.average = running_average(self.network, config.averaging)
        self.optimizer = make_optimizer(config, self.network)
        self.loss = choose_loss(config)

    # -- the loop ------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """Train, yielding events; each is in the log before it is seen."""
        for event in self._events():
            if self.run:
                self.run.append(event)
            yield event

    def _events(self) -> Iterator[Event]:
        self.budget.start(self.progress.elapsed)
        yield self._start_event()
        checkpointed = time.monotonic()
        reason = ""
        try:
            while not (reason := self._reason_to_end()):
                yield self._step()
                if self._validation_due():
                    yield from self._validate()
                pause = time.monotonic() - checkpointed
                if self.run and pause >= self.config.checkpoint_every:
                    yield self._checkpoint(self.run)
                    checkpointed = time.monotonic()
        except KeyboardInterrupt:
            reason = "stopped"
        except _NotFiniteError as error:
            if self.best is None:
                raise TrainingError(f"{error} There is no model yet.") from None
            yield self._finish("not finite", str(error))
            return
        if self.progress.step == 0:  # weights as they were drawn are no model
            yield self._finish("stopped", "Stopped before the first step.")
            return
        if self.progress.validated < self.progress.step or self.best is None:
            yield from self._validate()
        if self.run:
            yield self._checkpoint(self.run)
        yield self._finish(reason)

    def _reason_to_end(self) -> str:
        patience = self.config.patience
        if self.should_stop():
            return "stopped"
        if patience is not None and self.progress.stale >= patience:
            return "no progress"
        if self.progress.step and self._share_done() >= 1:
            return self.budget.ends_by
        return ""

    def _share_done(self) -> float:
        return self.budget.share(self.progress.step)

    def _step(self) -> StepDone:
        rate = self._set_learning_rate()
        step = self.progress.step + 1
        batch = self.data.batch(step)
        loss = self._forward(step, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        slope = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.config.clip or math.inf
        )
        value = loss.item()
        if not math.isfinite(value + slope.item()):
            what = "gradient of the loss" if math.isfinite(value) else "loss"
            raise _NotFiniteError(
                f"The {what} became {value + slope.item()} in step {step} and the "
                "training stopped. A lower learning_rate or precision fp32 may help; "
                "look for extreme pixel values in the image."
            )
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.progress.step = step
        share, elapsed = self._share_done(), self.budget.elapsed()
        remaining = max(0.0, elapsed / share - elapsed) if share else 0.0
        return StepDone(step, value, rate, min(share, 1.0), elapsed, remaining)

    def _set_learning_rate(self) -> float:
        config = self.config
        assert config.learning_rate is not None
        rate = config.learning_rate * rate_factor(
            config.schedule, self._share_done(), self.progress.cuts
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _forward(self, step: int, batch: Any) -> torch.Tensor:
        config = self.config
        self.network.train()
        if config.freeze:
            freeze(self.network, self._share_done() < config.freeze)
        images, labels, weights = (each.to(self.device) for each in batch)
        half = self.dtype == torch.bfloat16
        # Some encoders draw random numbers even without dropout.
        with torch.random.fork_rng():
            torch.manual_seed(step_seed(config.seed, step))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                output = self.network(images)
        heads = output if isinstance(output, list) else [output]  # deep supervision
        size = heads[0].shape[2:]  # smaller than the patch where the network crops
        labels, weights = crop_centre(labels, size), crop_centre(weights, size)
        losses = [self.loss(logits.float(), labels, weights) for logits in heads]
        return torch.stack(losses).mean()

    # -- judging and keeping -------------------------------------------------------

    def _validation_due(self) -> bool:
        due = math.floor(self._share_done() * VALIDATIONS)
        if due <= self.progress.validations or self._share_done() >= 1:
            return False
        self.progress.validations = due
        return True

    def _validate(self) -> Iterator[Validated]:
        """Judge the averaged weights on whole sections, and keep the best.

        Where nothing is held out the newest weights count as the best.
        """
        progress = self.progress
        progress.validated = progress.step
        if not self.data.held_out:
            self._keep_best()
            return
        loss, scores = score_held_out(
            self.average.module, self.network_config, self.config, self.data
        )
        before = scores.score if progress.smoothed is None else progress.smoothed
        progress.smoothed = before + _SMOOTHING * (scores.score - before)
        best = progress.best is None or progress.smoothed >= progress.best
        progress.stale = 0 if best else progress.stale + 1
        progress.cuts += not best and progress.stale % PLATEAU == 0
        if best:
            progress.best = progress.smoothed
            self._keep_best()
        yield judged(progress, loss, scores, best=best)

    def _keep_best(self) -> None:
        self.progress.best_step = self.progress.step
        network = copy.deepcopy(self.average.module).cpu().eval()
        target = self.data.target
        self.best = Model(
            network,
            self.network_config,
            None if isinstance(target, Scale) else target,
            pixel_size=self._pixel_size(),
            unit=self.pairs[0][0].unit,
            name=self.run.path.name if self.run else self.pairs[0][0].name,
            history={
                "options": self.config.to_dict(),
                "data": self.data.digest,
                "images": len(self.pairs),
                "step": self.progress.step,
                "score": self.progress.best,
                "init": self.transfer,
                "versions": versions(),
            },
            scale=target if isinstance(target, Scale) else None,
        )
        if self.run:
            self.best.save(self.run.model)

    def _pixel_size(self) -> dict[str, float]:
        """Return the pixel size that all images have."""
        image, _ = self.pairs[0]
        alike = all(
            (each.pixel_size, each.unit) == (image.pixel_size, image.unit)
            for each, _ in self.pairs
        )
        return dict(image.pixel_size) if alike else {}

    def _checkpoint(self, run: RunFolder) -> CheckpointSaved:
        tensors = pack(self.network, self.average, self.optimizer)
        run.save_last(replace(self.progress, elapsed=self.budget.elapsed()), tensors)
        return CheckpointSaved(self.progress.step, str(run.last))

    def _start(self, *, overwrite: bool) -> None:
        self._take_weights()
        if self.run:
            record = describe_run(self.data, self.network_config, self.pairs)
            self.run.create({**record, "init": self.transfer}, overwrite=overwrite)

    def _take_weights(self) -> None:
        """Start from a saved model, if one was named, or from published weights."""
        if self.config.init:
            self.transfer = start_from(
                self.network, self.network_config, self.config.init
            )
        elif self.config.pretrained and isinstance(self.network, EncoderUNet):
            load_published(self.network)
        else:
            return
        self.average.module.load_state_dict(self.network.state_dict())

    def _resume(self, run: RunFolder) -> None:
        recorded = run.config()
        if recorded["data"]["sha256"] != self.data.digest:
            raise TrainingError(
                f"{run.path} was trained on other pixels than these: give the same "
                "images and labels, or start a new run."
            )
        run.reopen(self.config.to_dict())
        last = run.load_last()
        if last is None:
            self._take_weights()
            run.rewind_log(0)
            return
        self.progress, tensors = last
        self.transfer = recorded.get("init")
        unpack(tensors, self.network, self.average, self.optimizer)
        if run.model.exists():
            self.best = Model.load(run.model)
            self._trust_newer(self.best)
        else:  # removed by somebody: the next validation makes a new one
            self.progress.best = None
        run.rewind_log(self.progress.step)

    def _trust_newer(self, best: Model) -> None:
        """Let a model saved after the last checkpoint count, where time is the budget.

        With steps as the budget the run will come by that model again.
        """
        if self.budget.steps is None and best.history["step"] > self.progress.best_step:
            self.progress.best_step = best.history["step"]
            self.progress.best = best.history["score"]

    # -- words ---------------------------------------------------------------------

    def _start_event(self) -> TrainingStarted:
        return TrainingStarted(
            str(self.run.path) if self.run else None,
            self.device.type,
            dtype_name(self.dtype),
            self.progress.step,
            list(self.data.target.values),
            self.data.target.describe(self.data.counts),
            *self.data.describe_split(),
            describe_transfer(self.transfer) if self.transfer else "",
            self.data.remark,
        )

    def _finish(self, reason: str, why: str = "") -> TrainingFinished:
        kept = self.best is not None
        if self.run and self.best is not None:
            images = [image for image, _ in self.pairs]
            splits = self.data.splits
            write_thumbnail(self.run.path, self.best, images, splits, self.config)
        return finished(self.run, self.progress, reason, why, kept=kept)


class _NotFiniteError(Exception):
    """The loss is no number any more."""
