from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet import train
from napari_unet.config import TrainingConfig, options
from napari_unet.data import Stack
from napari_unet.errors import ConfigError
from napari_unet.events import StepDone
from napari_unet.training.defaults import complete_training
from napari_unet.training.loop import Trainer
from napari_unet.training.optimisers import (
    OPTIMISERS,
    make_optimizer,
    rate_factor,
    running_average,
)


def step_of(start: float, slopes: list[float], **given: object) -> list[float]:
    """Where one weight goes when it meets such slopes."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, start)
    config = complete_training(TrainingConfig.from_dict(given))
    optimizer = make_optimizer(config, network)
    places = []
    for slope in slopes:
        network.weight.grad = torch.full((1, 1), slope)
        optimizer.step()
        places.append(network.weight.item())
    return places


def test_every_choice_can_be_made() -> None:
    choices = {each.name: each.choices for each in options(TrainingConfig)}
    assert set(choices["optimizer"]) == set(OPTIMISERS)


def test_sgd_by_hand() -> None:
    # Velocity 1, then 0.99 · 1 + 2; no decay unless it is asked for.
    places = step_of(3.0, [1.0, 2.0], optimizer="sgd", learning_rate=0.1)
    assert places == pytest.approx([3 - 0.1, 3 - 0.1 - 0.1 * 2.99])
    places = step_of(3.0, [1.0], optimizer="sgd", learning_rate=0.1, weight_decay=0.5)
    assert places == pytest.approx([3 - 0.1 * (1 + 0.5 * 3)])


def test_adam_by_hand() -> None:
    # The first step of Adam is as long as its rate, whatever the slope.
    assert step_of(3.0, [7.0], optimizer="adam", learning_rate=0.1) == [
        pytest.approx(2.9)
    ]
    decayed = step_of(
        3.0, [7.0], optimizer="adamw", learning_rate=0.1, weight_decay=0.5
    )
    assert decayed == [pytest.approx(3 * (1 - 0.1 * 0.5) - 0.1)]


def test_what_is_not_told_is_the_optimisers_own() -> None:
    found = {
        name: complete_training(TrainingConfig(optimizer=name))
        for name in ("adamw", "adam", "rmsprop", "sgd")
    }
    rates = {name: each.learning_rate for name, each in found.items()}
    assert rates == {"adamw": 2e-3, "adam": 2e-3, "rmsprop": 1e-3, "sgd": 1e-2}
    decays = {name: each.weight_decay for name, each in found.items()}
    assert decays == {"adamw": 1e-2, "adam": 0, "rmsprop": 0, "sgd": 0}
    told = TrainingConfig(optimizer="sgd", learning_rate=0.5, weight_decay=0.1)
    told = complete_training(told)
    assert (told.learning_rate, told.weight_decay) == (0.5, 0.1)


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_every_schedule_warms_up(schedule: str) -> None:
    factors = [rate_factor(schedule, share, 3) for share in (0, 0.025, 0.05 - 1e-9)]
    assert factors == pytest.approx([0.05, 0.525, 1])


def test_the_rate_falls_by_its_schedule() -> None:
    after = (0.05 + 0.95 / 2, 1.0, 1.5)
    cosine = [rate_factor("cosine", share, 0) for share in after[:2]]
    assert cosine == pytest.approx([0.5, 1e-3])
    assert [rate_factor("constant", share, 5) for share in after] == [1, 1, 1]
    cuts = [rate_factor("plateau", 0.7, cuts) for cuts in (0, 1, 2, 50)]
    assert cuts == [1, 0.5, 0.25, 1e-3]


def test_running_average_by_hand() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = running_average(network, 0.25)
    expected = math.nan
    for number, value in enumerate([1.0, 5.0, 9.0, 3.0, 4.0, 8.0]):
        torch.nn.init.constant_(network.weight, value)
        average.update_parameters(network)
        kept = min(0.25, (1 + number) / (10 + number))
        expected = value if number == 0 else kept * expected + (1 - kept) * value
        assert average.module.weight.item() == pytest.approx(expected)


def squares(sections: int) -> tuple[Stack, Stack]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (sections, 3, 3))
    labels = np.kron(labels, np.ones((8, 8))).astype(np.uint8)
    image = 80 * labels + random.integers(0, 90, labels.shape)
    return Stack(image.astype(np.uint8), "ZYX"), Stack(labels, "ZYX")


TINY: dict[str, Any] = {
    "depth": 1,
    "width": 2,
    "patch_size": 16,
    "precision": "fp32",
    "device": "cpu",
}


@pytest.mark.parametrize("wanted", [{"schedule": "plateau"}, {"patience": 2}])
def test_progress_is_told_only_where_something_is_held_out(
    wanted: dict[str, Any],
) -> None:
    with pytest.raises(ConfigError, match="nothing is held out to tell progress by"):
        train(*squares(1), steps=1, **wanted, **TINY)


def flat(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in network.parameters()])


def test_clipped_gradient_moves_no_further() -> None:
    """One step of SGD is as long as the clipped gradient times the rate."""

    def first_step(**options: Any) -> float:
        config = TrainingConfig(
            steps=1, optimizer="sgd", learning_rate=0.5, **options, **TINY
        )
        trainer = Trainer([squares(5)], config)
        before = flat(trainer.learner.network)
        for _ in trainer.events():
            pass
        return torch.linalg.vector_norm(flat(trainer.learner.network) - before).item()

    whole = first_step()
    assert whole > 0.02
    assert first_step(clip=1e3) == whole
    warm_up = 0.05
    assert first_step(clip=0.01) == pytest.approx(0.01 * 0.5 * warm_up, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_optimisers_learn(optimizer: str) -> None:
    options = {**TINY, "width": 4, "optimizer": optimizer, "batch_size": 4}
    events: list[Any] = []
    train(*squares(5), steps=60, on_event=events.append, **options)
    losses = [each.loss for each in events if isinstance(each, StepDone)]
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:3])
