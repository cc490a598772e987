"""The training loop, top to bottom: batch, forward, backward, validate, keep."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from napari_unet.control import Control
from napari_unet.errors import TrainingError
from napari_unet.events import (
    CheckpointSaved,
    Event,
    LabelsTaken,
    LivePredicted,
    Paused,
    Resumed,
    StepDone,
    TrainingStarted,
)
from napari_unet.model import Model
from napari_unet.networks.compute import dtype_name, reuse_memory
from napari_unet.training.budget import Budget
from napari_unet.training.dataset import Dataset
from napari_unet.training.judge import Judge, check_judged
from napari_unet.training.learner import Learner, NotFiniteError
from napari_unet.training.live import LivePreview
from napari_unet.training.new_labels import check_same, take_labels
from napari_unet.training.parallel import Team
from napari_unet.training.patches import step_seed
from napari_unet.training.record import (
    describe_data,
    describe_run,
    finished,
    what_is_kept,
)
from napari_unet.training.run import Progress, RunFolder
from napari_unet.training.thumbnail import write_thumbnail
from napari_unet.training.transfer import describe_transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_unet.config import TrainingConfig
    from napari_unet.control import NewLabels
    from napari_unet.events import TrainingFinished
    from napari_unet.training.pairs import Pair

_NEW = (
    "The annotations are not those that the run was last trained on: it goes on with "
    "these."
)


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

    Its parameters are those of `train_events`. Where several processes train together,
    all but the first have no run folder and no events: they learn their share of each
    batch as the first one says. Of `control` they are not told: annotations do not
    change while several train.
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
        config = team.same(config)
        team.check(config.batch_size, config.device)
        kept = what_is_kept(self.run.config()) if self.run and resume else None
        self.data = Dataset(pairs, config, held_out, kept=team.same(kept))
        self.config = self.data.config
        self.budget = Budget(self.config, self.data)
        self.progress = Progress()
        self.remark = ""
        check_judged(self.data)
        self.learner = Learner(self.config, self.data.network, team)
        self.judge = Judge(self.learner, self.data, self.pairs, self.run)
        self.live = LivePreview(self.learner, self.data, self.pairs, self.control)
        if self.run and resume:
            self._resume(self.run, new_labels=new_labels)
        elif team.leads:
            self._start(overwrite=overwrite)
        self._start_alike()

    @property
    def best(self) -> Model | None:
        """The best model so far."""
        return self.judge.best

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
        self.judge.best = told

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
                if self.judge.due(self.progress, self._share_done()):
                    yield from self.judge.validate(self.progress)
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
            yield from self.judge.validate(self.progress)
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
                self.judge.score_best_again(self.progress)
            if self.run:
                self.run.note_data(describe_data(self.data, self.pairs), step)
        yield taken
        if isinstance(taken, LabelsTaken) and self.run and step:
            yield self._checkpoint(self.run)

    def _look(self) -> Iterator[Event]:
        make = partial(self.judge.model, progress=self.progress)
        yield from self.live.events(self.progress.step, make)

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

    # -- starting, keeping and resuming --------------------------------------------

    def _start(self, *, overwrite: bool) -> None:
        self.judge.transfer = self.learner.take_weights()
        if self.run:
            record = describe_run(self.data, self.pairs)
            record["init"] = self.judge.transfer
            record |= {"launch": self.team.launch} if self.team.launch else {}
            self.run.create(record, overwrite=overwrite)

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

    def _checkpoint(self, run: RunFolder) -> CheckpointSaved:
        progress = replace(self.progress, elapsed=self.budget.elapsed())
        run.save_last(progress, self.learner.pack())
        return CheckpointSaved(self.progress.step, str(run.last))

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
            self.judge.transfer = self.learner.take_weights()
            run.rewind_log(0)
            return
        self.progress, tensors = last
        self.judge.transfer = recorded.get("init")
        self.learner.unpack(tensors)
        if run.model.exists():
            self.judge.best = best = Model.load(run.model)
            self._trust_newer(best)
        else:  # removed by somebody: the next validation makes a new one
            self.progress.best = None
        run.rewind_log(self.progress.step)
        if changed:
            self.judge.score_best_again(self.progress)

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
            describe_transfer(self.judge.transfer) if self.judge.transfer else "",
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
