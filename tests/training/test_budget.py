from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from napari_unet import train
from napari_unet.config import TrainingConfig
from napari_unet.errors import ConfigError
from napari_unet.training import budget
from napari_unet.training.budget import Budget

if TYPE_CHECKING:
    from napari_unet.training.dataset import Dataset


class Covered:
    """A data set of which so many steps show each pixel once."""

    steps_to_cover = 7


def budget_of(**options: Any) -> Budget:
    return Budget(TrainingConfig(**options), cast("Dataset", Covered()))


def test_steps_of_a_training() -> None:
    assert budget_of().steps is None
    assert budget_of(steps=5).steps == 5
    assert budget_of(epochs=3).steps == 21
    assert budget_of(epochs=3, steps_per_epoch=100).steps == 300
    assert budget_of(epochs=4, budget="1s").share(14) == 0.5
    assert budget_of(epochs=4).ends_by == "steps"


def test_time_spent_before_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr(budget.time, "monotonic", lambda: now)
    minute = budget_of(budget="1m")
    now += 15
    assert (minute.elapsed(), minute.share(99)) == (15, 0.25)
    minute.start(30.0)
    now += 15
    assert (minute.elapsed(), minute.share(0)) == (45, 0.75)
    assert minute.ends_by == "budget"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"steps": 5, "epochs": 2}, "steps is 5 and epochs is 2"),
        ({"steps_per_epoch": 5}, "there are no epochs"),
        ({"steps_per_epoch": 5, "steps": 5}, "there are no epochs"),
    ],
)
def test_two_budgets_are_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        TrainingConfig(**given)


@pytest.mark.parametrize("given", [{"steps": 5}, {"epochs": 5}])
def test_time_beside_another_budget_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Say how long to train in one way"):
        train([], [], budget="3m", **given)
