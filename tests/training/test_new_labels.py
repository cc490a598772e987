"""Annotations that change while a training runs, or before it is gone on with."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from test_control import TINY, squares

from napari_unet import train
from napari_unet.config import TrainingConfig
from napari_unet.control import Control, NewLabels
from napari_unet.data import Stack
from napari_unet.errors import MaskError, TrainingError
from napari_unet.events import (
    CheckpointSaved,
    Event,
    LabelsRefused,
    LabelsTaken,
    StepDone,
    TrainingFinished,
    TrainingStarted,
)
from napari_unet.training import train_events
from napari_unet.training.dataset import Dataset, Kept
from napari_unet.training.split import Split, follow

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CONFIG = TrainingConfig.from_dict({**TINY, "zero_is_unlabelled": True})


def strokes(*sections: int) -> tuple[Stack, Stack]:
    """Eight sections of 64 rows, with strokes of two classes on some of them."""
    random = np.random.default_rng(1)
    image = random.integers(0, 255, (8, 64, 32)).astype("u1")
    labels = np.zeros_like(image)
    for section in sections:
        labels[section, :, 2:6], labels[section, :, 20:24] = 1, 2
    return Stack(image, "ZYX"), Stack(labels, "ZYX")


def painted(labels: Stack, section: int, value: int, rows: slice) -> NDArray[Any]:
    mask = np.array(labels.section(section)[0])
    mask[rows, 10:14] = value
    return mask


def all_alike(one: Dataset, other: Dataset, steps: int = 6) -> None:
    assert one.digest == other.digest
    assert one.prints == other.prints
    for step in range(1, steps):
        for mine, its in zip(one.batch(step), other.batch(step), strict=True):
            assert torch.equal(mine, its)
    for held, same in zip(one.held_out, other.held_out, strict=True):
        np.testing.assert_array_equal(held.image, same.image)
        np.testing.assert_array_equal(held.labels, same.labels)


@pytest.mark.parametrize("network", [{}, {"context": 1}])
@pytest.mark.parametrize("balance", [True, False])
def test_what_is_taken_in_is_as_if_it_had_been_there(
    network: dict[str, int], balance: bool
) -> None:
    image, labels = strokes(0, 1, 3, 4, 6)
    config = replace(CONFIG, class_balance=balance, **network)
    data = Dataset([(image, labels)], config)
    data.batch(1)
    (split,) = data.splits
    assert split.validation == (0,)
    known = dict(data.patches.sources)
    new = {
        4: painted(labels, 4, 1, slice(0, 10)),  # more on an old one
        5: painted(labels, 5, 2, slice(0, 10)),  # the first on a new one
        6: np.zeros((64, 32), "u1"),  # erased
        0: painted(labels, 0, 1, slice(0, 5)),  # held out
    }
    new[5][:, 20:24] = 1
    taken = data.take(0, new)
    assert (taken.training, taken.held_out) == (40 + 40 + 256 + 2 * 4 * 64, 20)
    assert data.splits[0].training == (1, 3, 4, 5)
    assert data.splits[0].validation == (0,)
    pixels = np.array(labels)
    for section, mask in new.items():
        pixels[section] = mask
    fresh = Dataset(
        [(image, Stack(pixels, "ZYX"))], config, kept=Kept(data.target, data.splits)
    )
    all_alike(data, fresh)
    data.take(0, {1: painted(labels, 1, 2, slice(0, 10))})
    assert data.patches.sources[0, 3].blocks is not None
    assert known.keys() == {(0, 1), (0, 3), (0, 4), (0, 6)}


def test_only_what_changed_is_computed_again() -> None:
    image, labels = strokes(0, 1, 3, 4, 6)
    data = Dataset([(image, labels)], replace(CONFIG, class_balance=False))
    for step in range(1, 30):
        data.batch(step)
    before = dict(data.patches.sources)
    assert all(each.weights is not None for each in before.values())
    data.take(0, {4: painted(labels, 4, 1, slice(0, 10))})
    same = {key for key, each in data.patches.sources.items() if each is before[key]}
    assert same == {(0, 1), (0, 3), (0, 6)}


def test_held_out_strokes_never_train() -> None:
    image, labels = strokes(0, 1, 3, 4, 6)
    data = Dataset([(image, labels)], CONFIG)
    before = [data.batch(step) for step in range(1, 20)]
    taken = data.take(0, {0: painted(labels, 0, 1, slice(0, 64))})
    assert (taken.training, taken.held_out) == (0, 4 * 64)
    for step, batch in enumerate(before, start=1):
        for mine, its in zip(batch, data.batch(step), strict=True):
            assert torch.equal(mine, its)
    assert (data.held_out[0].labels[0] == 0).sum() == 8 * 64


def test_rows_that_are_held_out_stay_so_in_new_sections() -> None:
    image, labels = strokes(2)
    data = Dataset([(image, labels)], replace(CONFIG, depth=1, validation=0.3))
    (split,) = data.splits
    assert split.training == split.validation == (2,)
    first = split.validation_rows[0]
    data.take(0, {5: painted(labels, 5, 1, slice(first - 1, first + 2))})
    assert data.splits == [replace(split, training=(2, 5), validation=(2, 5))]


@pytest.mark.parametrize(
    ("split", "annotated", "training", "validation"),
    [
        (((5, 6), (1, 3)), (1, 2, 3, 4, 5, 6), (4, 5, 6), (1, 2, 3)),
        (((5, 6), (1, 3)), (0, 3, 6), (0, 6), (3,)),
        (((), (1, 3)), (0, 1, 3, 7), (), (0, 1, 3, 7)),
        (((1, 3), ()), (0, 1, 3, 7), (0, 1, 3, 7), ()),
    ],
)
def test_new_sections_join_the_part_they_belong_to(
    split: Any, annotated: Any, training: Any, validation: Any
) -> None:
    followed = follow(Split(*split, (0, 9), (0, 9)), annotated)
    assert (followed.training, followed.validation) == (training, validation)


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        ({4: np.full((64, 32), 3, "u1")}, MaskError, "value 3 at 2048 pixels"),
        ({i: np.ones((64, 32), "u1") for i in (1, 3, 4, 6)}, TrainingError, r"\[2\]"),
        ({0: np.zeros((64, 32), "u1")}, TrainingError, "judged by"),
        ({4: np.ones((5, 5), "u1")}, TrainingError, r"\(5, 5\) pixels"),
    ],
)
def test_what_does_not_fit_changes_nothing(
    masks: Any, error: type[Exception], message: str
) -> None:
    pair = strokes(0, 1, 3, 4, 6)
    data, same = (Dataset([pair], CONFIG) for _ in range(2))
    with pytest.raises(error, match=message):
        data.take(0, masks)
    assert data.splits == same.splits
    all_alike(data, same)


def run(
    folder: Path, new: dict[int, NDArray[Any]] | None, at: int = 3, **options: Any
) -> list[Event]:
    control = Control()
    config = TrainingConfig.from_dict(
        {**TINY, "zero_is_unlabelled": True, "checkpoint_every": 3600.0, **options}
    )
    events = []
    pairs = [strokes(0, 1, 3, 4, 6)]
    for event in train_events(pairs, config, run=folder, control=control):
        if isinstance(event, StepDone) and event.step == at and new:
            path = folder / "new.npy"
            np.save(path, np.stack(list(new.values())))
            control.annotate(NewLabels(tuple(new), str(path)))
        events.append(event)
    return events


def test_strokes_are_trained_on_from_the_next_step_and_resume(tmp_path: Path) -> None:
    image, labels = strokes(0, 1, 3, 4, 6)
    new = {5: painted(labels, 5, 2, slice(0, 10)), 0: painted(labels, 0, 1, slice(5))}
    events = run(tmp_path / "run", new, steps=6)
    (place,) = (i for i, each in enumerate(events) if isinstance(each, LabelsTaken))
    taken, saved, step = events[place : place + 3]
    assert taken == LabelsTaken(3, [5, 0], 40, 20)
    assert "Took in 40 new pixels on sections 5, 0, and 20 that judge" in taken.message
    assert isinstance(saved, CheckpointSaved)
    assert isinstance(step, StepDone)
    assert step.step == 4
    assert not (tmp_path / "run" / "new.npy").exists()
    record = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert [each["step"] for each in record["history"]] == [3]
    assert record["history"][-1]["sha256"] == record["sha256"]

    pixels = np.array(labels)
    for section, mask in new.items():
        pixels[section] = mask
    last = Stack(pixels.copy(), "ZYX")
    seen: list[Event] = []
    options: dict[str, Any] = {"run": tmp_path / "run", "resume": True, "steps": 7}
    train(image, last, on_event=seen.append, **options)
    assert isinstance(seen[0], TrainingStarted)
    assert seen[0].remark == ""
    assert "section 0," in seen[0].validation
    with pytest.raises(TrainingError, match=r"not the labels.*--new-labels"):
        train(image, labels, **options)
    pixels[7, 3:6] = 1
    options["steps"] = 8
    train(image, Stack(pixels, "ZYX"), new_labels=True, on_event=seen.append, **options)
    again = [each for each in seen if isinstance(each, TrainingStarted)][-1]
    assert "goes on with these" in again.remark
    record = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert [each["step"] for each in record["history"]] == [3, 7]


def test_what_cannot_be_trained_on_is_said_and_training_goes_on(tmp_path: Path) -> None:
    events = run(tmp_path / "run", {4: np.full((64, 32), 7, "u1")}, steps=5)
    (refused,) = (each for each in events if isinstance(each, LabelsRefused))
    assert "value 7" in refused.message
    assert "goes on" in refused.message
    plain = run(tmp_path / "plain", None, steps=5)
    losses = [
        [each.loss for each in one if isinstance(each, StepDone)]
        for one in (events, plain)
    ]
    assert losses[0] == losses[1]
    assert isinstance(events[-1], TrainingFinished)


def test_numbered_objects_are_taken_in_as_what_they_become() -> None:
    image, _ = squares()
    numbers = np.zeros((4, 32, 32), "u2")
    numbers[:, 4:14, 4:14], numbers[:, 18:28, 18:28] = 7, 9
    config = replace(CONFIG, zero_is_unlabelled=False, objects="border", validation=0.0)
    data = Dataset([(image, Stack(numbers, "ZYX"))], config)
    changed = numbers.copy()
    changed[2, 4:14, 18:28] = 11
    data.take(0, {2: changed[2]})
    all_alike(data, Dataset([(image, Stack(changed, "ZYX"))], config))
