from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_unet import Model, predict, train
from napari_unet.config import TrainingConfig
from napari_unet.data import Stack, synthetic_em
from napari_unet.data.fingerprint import fingerprint
from napari_unet.errors import (
    ConfigError,
    MaskError,
    OutputExistsError,
    StackFormatError,
    TrainingError,
)
from napari_unet.events import (
    CheckpointSaved,
    Event,
    StepDone,
    TrainingFinished,
    TrainingStarted,
    Validated,
)
from napari_unet.training import judge, learner, loop, train_events
from napari_unet.training.losses import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TINY: dict[str, Any] = {
    "depth": 1,
    "width": 2,
    "patch_size": 16,
    "batch_size": 2,
    "precision": "fp32",
    "device": "cpu",
}


def squares(sections: int = 5, size: int = 48, seed: int = 0) -> tuple[Stack, Stack]:
    """Bright squares on a dark noisy ground."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((sections, size, size), np.uint8)
    for section in labels:
        for row, column in rng.integers(0, size - 12, (4, 2)):
            section[row : row + 10, column : column + 10] = 255
    image = rng.normal(100, 10, labels.shape) + np.where(labels, 60, 0)
    facts: dict[str, Any] = {
        "axes": "ZYX",
        "pixel_size": {"Z": 50.0, "Y": 4.0, "X": 4.0},
        "unit": "nm",
    }
    return (
        Stack(image.clip(0, 255).astype(np.uint8), name="squares", **facts),
        Stack(labels, **facts),
    )


def events_of(
    steps: int | None = 4, run: Path | None = None, **options: Any
) -> list[Event]:
    config = TrainingConfig(steps=steps, **{**TINY, **options})
    return list(train_events([squares()], config, run=run))


def kinds(events: list[Event], kind: type[Event]) -> list[Any]:
    return [each for each in events if isinstance(each, kind)]


def weights(model: Model) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


def assert_equal_weights(one: Model, other: Model) -> None:
    mine, its = weights(one), weights(other)
    assert mine.keys() == its.keys()
    different = [name for name in mine if not torch.equal(mine[name], its[name])]
    assert different == []


# -- learning ------------------------------------------------------------------------


def test_what_was_learnt_is_found_in_another_image() -> None:
    image, labels = squares(6, 64)
    test_image, test_labels = squares(2, 64, seed=9)
    options = {**TINY, "width": 4, "batch_size": 4, "patch_size": 32}
    model = train(image, labels, steps=60, learning_rate=1e-2, **options)
    found = np.asarray(predict(model, test_image, precision="fp32"))
    truth = np.asarray(test_labels)
    ious = [
        ((found == value) & (truth == value)).sum()
        / ((found == value) | (truth == value)).sum()
        for value in (0, 255)
    ]
    assert np.mean(ious) > 0.85


def test_context_shows_what_only_the_next_section_holds(tmp_path: Path) -> None:
    image, labels = squares(9, 64)
    above = Stack(np.asarray(labels)[1:], "ZYX")
    below = Stack(np.asarray(image)[:-1], "ZYX")
    options = {**TINY, "width": 4, "batch_size": 4, "patch_size": 32, "context": 1}
    model = train(below, above, steps=80, learning_rate=1e-2, **options)
    model = Model.load(model.save(tmp_path / "model.safetensors"))
    found = np.asarray(predict(model, below, precision="fp32"))
    right = found == np.asarray(above)
    assert right[:-1].mean() > 0.9
    assert right[-1].mean() < 0.9  # the section above the last is not there


def test_classes_of_any_number_and_value() -> None:
    image, labels = squares()
    mask = np.asarray(labels).astype(np.uint16) * 3
    mask[:, :6] = 1000
    model = train(image, Stack(mask, "ZYX"), steps=2, **TINY)
    assert model.classes.values == (0, 765, 1000)
    assert model.classes.dtype == "uint16"
    assert set(np.unique(predict(model, image))) <= {0, 765, 1000}


def test_model_knows_where_it_comes_from(tmp_path: Path) -> None:
    image, labels = squares()
    model = train(image, labels, steps=3, run=tmp_path / "cells", seed=5, **TINY)
    assert model.pixel_size == {"Z": 50.0, "Y": 4.0, "X": 4.0}
    assert (model.unit, model.name) == ("nm", "cells")
    assert model.history["options"]["seed"] == 5
    assert model.history["step"] == 3
    assert not model.network.training
    assert {each.device.type for each in model.network.parameters()} == {"cpu"}
    assert_equal_weights(Model.load(tmp_path / "cells"), model)


# -- the same again ------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_same_seed_same_weights(dropout: float) -> None:
    options = {**TINY, "steps": 6, "dropout": dropout, "seed": 3}
    one = train(*squares(), **options)
    torch.rand(5)
    other = train(*squares(), **options)
    assert_equal_weights(one, other)


@pytest.mark.parametrize("name", ["loss", "dropout"])
def test_seed_changes_more_than_the_first_weights(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Patches and dropout, too, must differ between seeds."""
    dropout = 0.5 if name == "dropout" else 0.0
    build = learner.build_network

    def same_network(config: Any) -> Any:
        torch.manual_seed(0)
        return build(config)

    monkeypatch.setattr(learner, "build_network", same_network)
    if name == "dropout":
        batch = loop.Dataset.batch
        monkeypatch.setattr(loop.Dataset, "batch", lambda self, *_: batch(self, 1))
        monkeypatch.setattr("napari_unet.training.patches.step_seed", lambda *_: 1)
    losses = [
        kinds(events_of(1, seed=seed, dropout=dropout), StepDone)[0].loss
        for seed in (0, 1)
    ]
    assert losses[0] != losses[1]


def test_random_numbers_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    def draw() -> list[float]:
        return [
            torch.rand(()).item(),
            float(np.random.rand()),  # noqa: NPY002
            random.random(),
        ]

    def seed() -> None:
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)

    seed()
    expected = draw()
    seed()
    train(*squares(), steps=3, dropout=0.2, run=tmp_path, **TINY)
    train(*squares(), steps=4, resume=True, run=tmp_path)
    assert draw() == expected


# -- events and the run folder -------------------------------------------------------


def test_events_tell_the_story(tmp_path: Path) -> None:
    events = events_of(4, tmp_path / "run", checkpoint_every=0)
    assert isinstance(events[0], TrainingStarted)
    assert events[0].classes == [0, 255]
    assert events[0].training == "sections 1 to 4, rows 0 to 47"
    assert events[0].validation == "section 0, rows 0 to 47"
    steps = kinds(events, StepDone)
    assert [each.step for each in steps] == [1, 2, 3, 4]
    assert [each.progress for each in steps] == [0.25, 0.5, 0.75, 1.0]
    assert [each.step for each in kinds(events, Validated)] == [1, 2, 3, 4]
    assert kinds(events, CheckpointSaved)[-1].step == 4
    last = events[-1]
    assert isinstance(last, TrainingFinished)
    assert (last.step, last.reason) == (4, "steps")
    assert last.model == str(tmp_path / "run" / "model.safetensors")
    assert last.model in last.message
    best = [each.smoothed for each in kinds(events, Validated) if each.best]
    assert last.score == best[-1] == max(best)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_run_folder_is_valid_json_and_complete(tmp_path: Path) -> None:
    events = events_of(4, tmp_path, checkpoint_every=0)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "config.json",
        "last.json",
        "last.safetensors",
        "log.jsonl",
        "model.safetensors",
        "thumbnail.png",
    ]
    config = strict((tmp_path / "config.json").read_text())
    assert config["options"]["steps"] == 4
    assert config["classes"]["values"] == [0, 255]
    assert config["data"]["pairs"][0]["image"]["shape"] == [5, 48, 48]
    assert len(config["data"]["sha256"]) == 64
    assert strict((tmp_path / "last.json").read_text())["step"] == 4
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [strict(line)["event"] for line in lines] == [
        type(event).__name__ for event in events
    ]
    assert [Event.from_json(line) for line in lines] == events


def test_run_in_memory_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    events = events_of(2)
    assert isinstance(events[-1], TrainingFinished)
    assert events[-1].model is None
    assert list(tmp_path.iterdir()) == []


def test_run_is_not_overwritten_unless_told_to(tmp_path: Path) -> None:
    image, labels = squares()
    first = train(image, labels, steps=1, run=tmp_path, **TINY)
    with pytest.raises(OutputExistsError, match="holds a run already"):
        train(image, labels, steps=2, run=tmp_path, seed=1, **TINY)
    assert_equal_weights(Model.load(tmp_path), first)
    train(image, labels, steps=2, run=tmp_path, seed=1, overwrite=True, **TINY)
    assert Model.load(tmp_path).history["options"]["seed"] == 1


# -- how it ends ---------------------------------------------------------------------


def test_stopping_keeps_a_model(tmp_path: Path) -> None:
    seen: list[Event] = []
    config = TrainingConfig(budget="1h", **TINY)
    for event in train_events(
        [squares()],
        config,
        run=tmp_path,
        should_stop=lambda: len(kinds(seen, StepDone)) == 3,
    ):
        seen.append(event)
    last = seen[-1]
    assert isinstance(last, TrainingFinished)
    assert (last.reason, last.step, last.best_step) == ("stopped", 3, 3)
    assert Model.load(tmp_path).history["step"] == 3


def test_stopping_before_the_first_step_makes_no_model(tmp_path: Path) -> None:
    config = TrainingConfig(**TINY)
    *_, last = train_events([squares()], config, run=tmp_path, should_stop=lambda: True)
    assert isinstance(last, TrainingFinished)
    assert (last.reason, last.step, last.model) == ("stopped", 0, None)
    assert "There is no model" in last.message
    assert not (tmp_path / "model.safetensors").exists()
    image, labels = squares()  # and the run can still be gone on with
    assert train(image, labels, run=tmp_path, resume=True, steps=1).history["step"] == 1


def test_interrupting_before_the_first_step_says_there_is_no_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(self: Any, step: int, share: slice) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Dataset, "batch", interrupted)
    with pytest.raises(TrainingError, match="stopped before there was a model"):
        train(*squares(), steps=1, **TINY)


def test_interrupting_returns_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = loop.Dataset.batch

    def interrupted(self: Any, step: int, share: slice) -> Any:
        if step == 4:
            raise KeyboardInterrupt
        return batch(self, step, share)

    monkeypatch.setattr(loop.Dataset, "batch", interrupted)
    model = train(*squares(), budget="1h", **TINY)
    assert model.history["step"] == 3


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def test_time_budget_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(loop.time, "monotonic", clock.monotonic)
    events = events_of(None, budget="100s")
    last = events[-1]
    assert isinstance(last, TrainingFinished)
    assert last.reason == "budget"
    steps = kinds(events, StepDone)
    assert 95 <= steps[-1].elapsed <= 110
    assert clock.now < 120
    assert [each.progress for each in steps] == sorted(each.progress for each in steps)
    assert steps[-1].progress <= 1
    assert len(kinds(events, Validated)) > 5
    middle = steps[len(steps) // 2]
    assert middle.elapsed + middle.remaining == pytest.approx(100, abs=10)


def test_learning_rate_rises_then_falls() -> None:
    events = events_of(40, learning_rate=1e-2, batch_size=1)
    rates = [each.learning_rate for each in kinds(events, StepDone)]
    top = rates.index(max(rates))
    assert top == 2  # 5 % of 40 steps
    assert max(rates) == pytest.approx(1e-2)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 1e-4


def set_scores(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    given: Iterator[float] = itertools.chain(scores, itertools.repeat(scores[-1]))
    score = judge.score_held_out

    def fixed(*held_out: Any) -> Any:
        loss, found = score(*held_out)
        return loss, replace(found, mean_iou=next(given))

    monkeypatch.setattr(judge, "score_held_out", fixed)


def test_best_is_judged_by_the_smoothed_score(monkeypatch: pytest.MonkeyPatch) -> None:
    set_scores(monkeypatch, [0.5, 0.9, 0.4, 0.8])
    events = events_of(4)
    found = [
        (each.score, each.smoothed, each.best) for each in kinds(events, Validated)
    ]
    expected = [(0.5, 0.5, True), (0.9, 0.7, True), (0.4, 0.55, False)]
    expected.append((0.8, 0.675, False))
    for (score, smoothed, best), wanted in zip(found, expected, strict=True):
        assert (score, best) == (wanted[0], wanted[2])
        assert smoothed == pytest.approx(wanted[1])
    last = events[-1]
    assert isinstance(last, TrainingFinished)
    assert last.best_step == 2
    assert last.score == pytest.approx(0.7)


def test_no_progress_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    set_scores(monkeypatch, [0.5, 0.6, 0.3])
    events = events_of(20, patience=3)
    last = events[-1]
    assert isinstance(last, TrainingFinished)
    assert (last.reason, last.step, last.best_step) == ("no progress", 5, 2)


def test_best_model_is_kept_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    set_scores(monkeypatch, [0.9, 0.1])
    best = train(*squares(), steps=6, **TINY)
    monkeypatch.undo()
    stop: list[Event] = []
    config = TrainingConfig(steps=6, **TINY)
    trainer = loop.Trainer([squares()], config, should_stop=lambda: len(stop) > 1)
    for event in trainer.events():
        stop.append(event)
    assert best.history["step"] == 1
    assert trainer.best is not None
    assert_equal_weights(best, trainer.best)


def test_without_validation_the_newest_counts(tmp_path: Path) -> None:
    events = events_of(4, tmp_path, validation=0.0)
    assert kinds(events, Validated) == []
    last = events[-1]
    assert isinstance(last, TrainingFinished)
    assert (last.best_step, last.score) == (4, None)
    assert Model.load(tmp_path).history["step"] == 4


# -- losses that are no number -------------------------------------------------------


def spoil_loss(
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    how: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    count = itertools.count(1)

    def spoiled(logits: Any, *rest: Any) -> torch.Tensor:
        value = cross_entropy(logits, *rest)
        return how(value, logits) if next(count) >= at else value

    monkeypatch.setattr(learner, "choose_loss", lambda *_: spoiled)


def nan_loss(value: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return value * torch.nan


def nan_gradient(value: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return value + (0 * logits).square().sum().sqrt()  # 0, but with the slope 0·∞


@pytest.mark.parametrize("how", [nan_loss, nan_gradient])
@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_loss_that_is_no_number_keeps_the_last_good_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any, validation: float
) -> None:
    good = train(*squares(), steps=4, **TINY, validation=validation)
    spoil_loss(monkeypatch, 5, how)
    config = TrainingConfig(steps=20, **TINY, validation=validation)
    events = list(train_events([squares()], config, run=tmp_path))
    last = events[-1]
    assert isinstance(last, TrainingFinished)
    assert last.reason == "not finite"
    assert "step 5" in last.message
    assert str(tmp_path) in last.message
    assert last.step == 4
    kept = Model.load(tmp_path)
    assert all(torch.isfinite(each).all() for each in weights(kept).values())
    assert kept.history["step"] == last.best_step <= 4
    assert good.history["step"] <= 4
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        strict(line)


def test_loss_that_is_no_number_from_the_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_loss(monkeypatch, 1, nan_loss)
    with pytest.raises(TrainingError, match="nan in step 1") as caught:
        train(*squares(), steps=5, run=tmp_path, **TINY)
    assert "best one" not in str(caught.value)  # there is none
    assert not (tmp_path / "model.safetensors").exists()


# -- wrong use -----------------------------------------------------------------------


def test_wrong_options_are_told() -> None:
    with pytest.raises(ConfigError, match="learning_rat"):
        train(*squares(), learning_rat=1)
    with pytest.raises(ConfigError, match="depth is 9"):
        train(*squares(), depth=9)
    with pytest.raises(ConfigError, match="multiple of 16"):
        train(*squares(), depth=4, patch_size=24)
    with pytest.raises(ConfigError, match="budget is 'soon'"):
        train(*squares(), budget="soon")


def test_wrong_data_is_told(tmp_path: Path) -> None:
    image, labels = squares()
    with pytest.raises(MaskError, match="one value"):
        train(image, np.zeros((5, 48, 48), np.uint8), steps=1, **TINY)
    with pytest.raises(MaskError, match=r"\(5, 48, 48\)"):
        train(image, np.asarray(labels)[:4], steps=1, **TINY)
    with pytest.raises(StackFormatError, match="does not exist"):
        train(tmp_path / "none.tif", labels, steps=1, **TINY)
    assert list(tmp_path.iterdir()) == []


def test_wrong_data_leaves_no_run(tmp_path: Path) -> None:
    image, labels = squares()
    with pytest.raises(MaskError):
        train(image, np.asarray(labels)[:4], steps=1, run=tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("axes", ["TZYX", "ZCYX", "YXC", "TYX"])
def test_axes_given_for_arrays_serve_the_labels_too(axes: str) -> None:
    lengths = {"T": 3, "Z": 2, "C": 2, "Y": 48, "X": 48}
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, [lengths[axis] for axis in axes]).astype(np.uint8)
    labels = rng.integers(0, 2, [lengths[a] for a in axes if a != "C"])
    model = train(image, labels, axes=axes, steps=1, **TINY)
    assert model.config.channels == (2 if "C" in axes else 1)


@pytest.mark.parametrize("kind", ["bool", "uint16", "float32"])
def test_any_number_type_trains(kind: str) -> None:
    image, labels = squares()
    pixels = (np.asarray(image) > 130).astype(kind)
    if kind == "float32":
        pixels[0, :9] = np.nan
    model = train(pixels, np.asarray(labels) > 0, steps=2, **TINY)
    assert model.classes.dtype == "bool"
    assert predict(model, pixels).dtype == bool


def test_single_section_trains() -> None:
    image, labels = synthetic_em(1, 128)
    events: list[Event] = []
    config = TrainingConfig(steps=2, **TINY)
    events += train_events([(image, labels)], config)
    assert isinstance(events[0], TrainingStarted)
    assert events[0].training == "section 0, rows 0 to 106"
    assert events[0].validation == "section 0, rows 115 to 127"
    assert kinds(events, Validated)


def test_scribbles_train() -> None:
    image, labels = squares()
    scribbles = np.zeros((5, 48, 48), np.uint8)
    rng = np.random.default_rng(0)
    shown = rng.random(scribbles.shape) < 0.05
    scribbles[shown] = 1 + (np.asarray(labels)[shown] > 0)
    model = train(image, scribbles, steps=3, zero_is_unlabelled=True, **TINY)
    assert model.classes.values == (1, 2)
    assert set(np.unique(predict(model, image))) <= {1, 2}


def test_stopped_before_the_first_step_there_is_no_model(tmp_path: Path) -> None:
    events = train_events(
        [squares()],
        TrainingConfig(**TINY, steps=5),
        run=tmp_path / "run",
        should_stop=lambda: True,
    )
    last = list(events)[-1]
    assert isinstance(last, TrainingFinished)
    assert (last.model, last.step, last.reason) == (None, 0, "stopped")
    assert "no model" in last.message
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_budget_that_reading_uses_up_still_trains_a_step() -> None:
    events: list[Event] = []
    train(*squares(), budget=0.001, on_event=events.append, **TINY)
    assert sum(isinstance(event, StepDone) for event in events) == 1


def test_resuming_needs_a_run() -> None:
    with pytest.raises(ConfigError, match="no run to resume"):
        train(*squares(), resume=True, **TINY)


# -- several images ------------------------------------------------------------------


def pictures(count: int) -> tuple[list[Stack], list[Stack]]:
    """Pictures of squares, each of another size and brightness."""
    images, masks = [], []
    for number in range(count):
        image, labels = squares(1, 40 + 4 * number, seed=number)
        pixels = np.asarray(image)[0] * 1.0 + 500 * number
        images.append(Stack(pixels, "YX", name=f"picture {number}"))
        masks.append(Stack(np.asarray(labels)[0], "YX"))
    return images, masks


def test_several_images_train_resume_and_are_recorded(tmp_path: Path) -> None:
    images, masks = pictures(5)
    options = {**TINY, "validation": 0.2, "checkpoint_every": 0}
    straight = train(images, masks, steps=4, **options)
    train(images, masks, steps=2, run=tmp_path, **options)
    resumed = train(images, masks, steps=4, run=tmp_path, resume=True, **options)
    events: list[Event] = []
    again = train(images, masks, steps=4, on_event=events.append, **options)
    assert_equal_weights(straight, again)
    assert resumed.history["data"] == straight.history["data"]
    started = events[0]
    assert isinstance(started, TrainingStarted)
    assert started.validation == "1 image (picture 0)"
    record = json.loads((tmp_path / "config.json").read_text())
    assert [each["image"]["name"] for each in record["data"]["pairs"]] == [
        f"picture {number}" for number in range(5)
    ]
    assert record["data"]["pairs"][0]["split"] == [
        "nothing",
        "section 0, rows 0 to 39",
    ]
    prints = [
        sorted(fingerprint(np.asarray(each)) for each in pair)
        for pair in zip(images, masks, strict=True)
    ]
    assert [each["fingerprints"] for each in record["data"]["pairs"]] == [
        {"training": [], "validation": prints[0]},
        *({"training": own, "validation": []} for own in prints[1:]),
    ]
    with pytest.raises(TrainingError, match="other pixels"):
        train(images[1:], masks[1:], steps=4, run=tmp_path, resume=True, **options)


def test_other_images_may_judge() -> None:
    images, masks = pictures(3)
    events: list[Event] = []
    train(
        images[:2],
        masks[:2],
        validation_image=np.asarray(images[2]),
        validation_labels=np.asarray(masks[2]),
        steps=2,
        on_event=events.append,
        **TINY,
    )
    started = events[0]
    assert isinstance(started, TrainingStarted)
    assert started.training == "2 images (picture 0, picture 1)"
    assert kinds(events, Validated)
    with pytest.raises(ConfigError, match="give both"):
        train(images, masks, validation_image=images[0], steps=1, **TINY)


def test_each_image_needs_its_mask() -> None:
    images, masks = pictures(3)
    with pytest.raises(MaskError, match="3 images and 2 masks"):
        train(images, masks[:2], steps=1, **TINY)
    with pytest.raises(MaskError, match="0 images"):
        train([], [], steps=1, **TINY)


def test_nested_lists_of_numbers_are_one_image() -> None:
    image, labels = squares(1, 32)
    model = train(
        np.asarray(image).tolist(), np.asarray(labels).tolist(), steps=1, **TINY
    )
    assert model.classes.values == (0, 255)
