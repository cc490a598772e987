"""The training loop, top to bottom: batch, forward, backward, validate, keep."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_unet.control import Control
from napari_unet.data.masks.scale import Scale
from napari_unet.errors import ConfigError, TrainingError
from napari_unet.events import (
    CheckpointSaved,
    Event,
    LabelsTaken,
    LivePredicted,
    Paused,
    Resumed,
    StepDone,
    TrainingStarted,
    Validated,
)
from napari_unet.model import Model
from napari_unet.networks.compute import (
    dtype_name,
    reuse_memory,
)
from napari_unet.training.budget import Budget
from napari_unet.training.dataset import Dataset
from napari_unet.training.learner import Learner, NotFiniteError
from napari_unet.training.live import LivePreview
from napari_unet.training.new_labels import check_same, take_labels
from napari_unet.training.optimisers import (
    PLATEAU,
)
from napari_unet.training.parallel import Team
from napari_unet.training.patches import step_seed
from napari_unet.training.record import (
    describe_data,
    describe_run,
    finished,
    judged,
    what_is_kept,
)
from napari_unet.training.run import Progress, RunFolder, versions
from napari_unet.training.thumbnail import write_thumbnail
from napari_unet.training.transfer import describe_transfer
from napari_unet.training.validation import HeldOutScores, score_held_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import torch

    from napari_unet.config import TrainingConfig
    from napari_unet.control import NewLabels
    from napari_unet.events import TrainingFinished
    from napari_unet.training.dataset import Pair

VALIDATIONS = 20
"""How often a training is judged, evenly over its budget."""

_NEW = (
    "The annotations are not those that the run was last trained on: it goes on with "
    "these."
)
_SMOOTHING = 0.5  # weight of the newest score in the running average


class Order(NamedTuple):
    """What all processes of a training do next: a step.

    Attributes
    ----------
    step : int
    share : float
        Share of the budget that is used.
    cuts : int
        See `rate_factor`.
    """

    step: int
    share: float
    cuts: int


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
    new_labels : bool
        Whether a run may be resumed with other annotations than it had.
    should_stop : callable
        Asked after every step.
    control : Control, optional
        Steers it from another thread.
    team : Team, optional
        The processes that train together. All but the first have no run folder and no
        events: they learn their share of each batch as the first one says. Of `control`
        they are not told: annotations do not change while several train.
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
        new_labels: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        control: Control | None = None,
        team: Team | None = None,
    ) -> None:
        self.team = team = team or Team()
        self.run = RunFolder(run) if run and team.leads else None
        if self.run and not resume and not overwrite:
            self.run.check_free()
        self.pairs = [*pairs, *held_out]
        self.should_stop = should_stop
        self.control = control or Control()
        reuse_memory()
        team.join()
        config = team.same(config)
        team.check(config.batch_size, config.device)
        kept = what_is_kept(self.run.config()) if self.run and resume else None
        self.data = Dataset(pairs, config, held_out, kept=team.same(kept))
        self.config = config = self.data.config
        self.network_config = self.data.network
        self.budget = Budget(config, self.data)
        self.progress = Progress()
        self.best: Model | None = None
        self.threshold: float | None = None  # of two classes, the one that suits best
        self.remark = ""
        self.transfer: dict[str, Any] | None = None
        self._check_judged()
        self.learner = Learner(config, self.network_config, team)
        self.live = LivePreview(self.learner, self.data, self.pairs, self.control)
        if self.run and resume:
            self._resume(self.run, new_labels=new_labels)
        elif team.leads:
            self._start(overwrite=overwrite)
        self._start_alike()

    def _check_judged(self) -> None:
        wants = self.config.schedule == "plateau" or self.config.patience is not None
        if wants and not self.data.held_out:
            raise ConfigError(
                f"The schedule is {self.config.schedule} and patience "
                f"{self.config.patience}, but nothing is held out to tell progress by: "
                "hold out more (the option validation), or take cosine and no patience."
            )

    # -- the loop ------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """Train, yielding events; each is in the log before it is seen."""
        if not self.team.leads:
            self._follow()
            return
        try:
            for event in self._events():
                if self.run and not isinstance(event, LivePredicted):
                    self.run.append(event)
                yield event
        finally:
            self.team.dismiss(self.best)

    def _follow(self) -> None:
        """Learn as the first process says, until it hands out the best model."""
        while isinstance(told := self.team.same(None), Order):
            with contextlib.suppress(NotFiniteError):  # the first one sees it, too
                self._learn(told)
        self.best = told

    def _events(self) -> Iterator[Event]:
        self.budget.start(self.progress.elapsed)
        yield self._start_event()
        checkpointed = time.monotonic()
        reason = ""
        try:
            while True:
                yield from self._heed()
                if reason := self._reason_to_end():
                    break
                yield self._step()
                if self._validation_due():
                    yield from self._validate()
                pause = time.monotonic() - checkpointed
                if self.run and pause >= self.config.checkpoint_every:
                    yield self._checkpoint(self.run)
                    checkpointed = time.monotonic()
        except KeyboardInterrupt:
            reason = "stopped"
        except NotFiniteError as error:
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

    def _heed(self) -> Iterator[Event]:
        """Do what we were told since the last step."""
        for new in self.control.new_labels():
            yield from self._take(new)
        yield from self._look()
        if self.control.paused:
            yield from self._pause()

    def _take(self, new: NewLabels) -> Iterator[Event]:
        """Take in what was annotated, on record before it is trained on."""
        step = self.progress.step
        taken = take_labels(self.data, new, step)
        if isinstance(taken, LabelsTaken):
            if not (taken.pixels or taken.held_out):
                return  # it was so already
            if taken.held_out:
                self._judge_again()
            if self.run:
                self.run.note_data(describe_data(self.data, self.pairs), step)
        yield taken
        if isinstance(taken, LabelsTaken) and self.run and step:
            yield self._checkpoint(self.run)

    def _judge_again(self) -> None:
        """Score the best model anew, so that what comes is compared by one measure."""
        if self.best is None or self.progress.best is None or not self.data.held_out:
            return
        _, scores = score_held_out(
            self.best.network, self.network_config, self.config, self.data
        )
        self.progress.best = self.progress.smoothed = scores.score

    def _look(self) -> Iterator[Event]:
        yield from self.live.events(self.progress.step, self._model)

    def _pause(self) -> Iterator[Event]:
        """Wait without computing; the clock stands still, and a kill loses nothing."""
        spent = self.budget.elapsed()
        if self.run and self.progress.step:
            yield self._checkpoint(self.run)
        yield Paused(self.progress.step)
        while self.control.paused:
            seen = self.control.view
            yield from self._look()
            self.control.wait(seen)
        self.budget.start(spent)
        if not self.control():
            yield Resumed(self.progress.step)

    def _reason_to_end(self) -> str:
        patience = self.config.patience
        if self.should_stop() or self.control():
            return "stopped"
        if patience is not None and self.progress.stale >= patience:
            return "no progress"
        if self.progress.step and self._share_done() >= 1:
            return self.budget.ends_by
        return ""

    def _share_done(self) -> float:
        return self.budget.share(self.progress.step)

    def _step(self) -> StepDone:
        progress = self.progress
        step = progress.step + 1
        order = Order(step, self._share_done(), progress.cuts)
        loss, rate = self._learn(self.team.same(order))
        progress.step = step
        share, elapsed = self._share_done(), self.budget.elapsed()
        remaining = max(0.0, elapsed / share - elapsed) if share else 0.0
        return StepDone(step, loss, rate, min(share, 1.0), elapsed, remaining)

    def _learn(self, order: Order) -> tuple[float, float]:
        batch = self.data.batch(order.step, self.team.share)
        seed = step_seed(self.config.seed, order.step)
        return self.learner.step(batch, order.step, seed, order.share, order.cuts)

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
            self.learner.average, self.network_config, self.config, self.data
        )
        before = scores.score if progress.smoothed is None else progress.smoothed
        progress.smoothed = before + _SMOOTHING * (scores.score - before)
        best = progress.best is None or progress.smoothed >= progress.best
        progress.stale = 0 if best else progress.stale + 1
        progress.cuts += not best and progress.stale % PLATEAU == 0
        if isinstance(scores, HeldOutScores):
            self.threshold = scores.best_threshold
        if best:
            progress.best = progress.smoothed
            self._keep_best()
        yield judged(progress, loss, scores, best=best)

    def _keep_best(self) -> None:
        self.progress.best_step = self.progress.step
        self.best = self._model(copy.deepcopy(self.learner.average).cpu().eval())
        if self.run:
            self.best.save(self.run.model)

    def _model(self, network: torch.nn.Module) -> Model:
        """Describe a network of this training as a model."""
        target = self.data.target
        return Model(
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
                "best_threshold": self.threshold,
                "init": self.transfer,
                "versions": versions(),
            },
            scale=target if isinstance(target, Scale) else None,
        )

    def _pixel_size(self) -> dict[str, float]:
        """Return the pixel size that all images have."""
        image, _ = self.pairs[0]
        alike = all(
            (each.pixel_size, each.unit) == (image.pixel_size, image.unit)
            for each, _ in self.pairs
        )
        return dict(image.pixel_size) if alike else {}

    def _checkpoint(self, run: RunFolder) -> CheckpointSaved:
        progress = replace(self.progress, elapsed=self.budget.elapsed())
        run.save_last(progress, self.learner.pack())
        return CheckpointSaved(self.progress.step, str(run.last))

    def _start(self, *, overwrite: bool) -> None:
        self.transfer = self.learner.take_weights()
        if self.run:
            record = describe_run(self.data, self.network_config, self.pairs)
            self.run.create({**record, "init": self.transfer}, overwrite=overwrite)

    def _start_alike(self) -> None:
        """Have all processes start from the same, on the same data.

        The others may not see the run folder, nor a model to start from.
        """
        team = self.team
        if not team.several:
            return
        digest = team.same(self.data.digest)
        if digest != self.data.digest:
            raise TrainingError(
                f"Process {team.rank} read other pixels than process 0: give all "
                "machines the same images and labels."
            )
        tensors = team.same(self.learner.pack() if team.leads else {})
        if not team.leads:
            self.learner.unpack(tensors)

    def _resume(self, run: RunFolder, *, new_labels: bool) -> None:
        changed = check_same(self.data, run, new_labels=new_labels)
        recorded = run.config()
        run.reopen(self.config.to_dict())
        last = run.load_last()
        if changed:
            step = last[0].step if last else 0
            run.note_data(describe_data(self.data, self.pairs), step)
            self.remark = _NEW
        if last is None:
            self.transfer = self.learner.take_weights()
            run.rewind_log(0)
            return
        self.progress, tensors = last
        self.transfer = recorded.get("init")
        self.learner.unpack(tensors)
        if run.model.exists():
            self.best = Model.load(run.model)
            self._trust_newer(self.best)
        else:  # removed by somebody: the next validation makes a new one
            self.progress.best = None
        run.rewind_log(self.progress.step)
        if changed:
            self._judge_again()

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
            self._device(),
            dtype_name(self.learner.dtype),
            self.progress.step,
            list(self.data.target.values),
            self.data.target.describe(self.data.counts),
            *self.data.describe_split(),
            describe_transfer(self.transfer) if self.transfer else "",
            f"{self.data.remark} {self.remark}".strip(),
        )

    def _device(self) -> str:
        kind = self.learner.device.type
        return f"{self.team.size} × {kind}" if self.team.several else kind

    def _finish(self, reason: str, why: str = "") -> TrainingFinished:
        kept = self.best is not None
        if self.run and self.best is not None:
            images = [image for image, _ in self.pairs]
            splits = self.data.splits
            write_thumbnail(self.run.path, self.best, images, splits, self.config)
        return finished(self.run, self.progress, reason, why, kept=kept)
