from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from napari_unet.config import TrainingConfig, options
from napari_unet.training.defaults import complete_training

LOSSES = next(e for e in options(TrainingConfig) if e.name == "loss").choices


@pytest.mark.parametrize("loss", LOSSES)
def test_only_the_loss_of_2015_weighs_classes_and_borders_by_itself(loss: str) -> None:
    task = "regression" if loss in ("mse", "mae") else "classes"
    found = complete_training(TrainingConfig(loss=loss, task=task))
    default = loss in ("auto", "border-cross-entropy")
    own = (True, 10.0) if default else (False, 0.0)
    assert (found.class_balance, found.border_weight) == own
    if task == "regression":
        return
    told: dict[str, Any] = {"class_balance": not own[0], "border_weight": 3.0}
    found = complete_training(TrainingConfig(loss=loss, task=task, **told))
    assert (found.class_balance, found.border_weight) == (not own[0], 3.0)


def test_scribbles_weigh_their_classes_alike_unless_told_otherwise() -> None:
    told = TrainingConfig(loss="cross-entropy-dice", zero_is_unlabelled=True)
    assert complete_training(told).class_balance
    assert complete_training(replace(told, class_balance=False)).class_balance is False
    values = TrainingConfig(task="regression", zero_is_unlabelled=True)
    assert complete_training(values).class_balance is False


def test_nothing_is_left_open() -> None:
    meant = {"steps", "epochs", "steps_per_epoch", "init", "ignore", "clip", "patience"}
    meant |= {"elastic_grid", "preset", "patch_depth", "anisotropy", "class_names"}
    meant |= {"validation"}
    left = {
        name
        for name, value in complete_training(TrainingConfig()).to_dict().items()
        if value is None
    }
    assert left <= meant


def test_completing_twice_changes_nothing() -> None:
    once = complete_training(TrainingConfig(loss="dice", optimizer="sgd"))
    assert complete_training(once) == once


def test_auto_is_the_loss_that_suits_the_target() -> None:
    suits = {
        "border-cross-entropy": {},
        "cross-entropy-dice": {"objects": "border"},
        "mse": {"task": "regression", "objects": "distance"},
    }
    for loss, told in suits.items():
        assert complete_training(TrainingConfig(**told)).loss == loss
    blobs = complete_training(TrainingConfig(), walls=False)
    assert (blobs.loss, blobs.class_balance) == ("cross-entropy-dice", False)
    told = TrainingConfig(loss="border-cross-entropy")
    assert complete_training(told, walls=False).class_balance
