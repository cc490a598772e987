from __future__ import annotations

from typing import Any

import pytest

from napari_unet.config import TrainingConfig
from napari_unet.errors import ConfigError
from napari_unet.presets import PRESETS
from napari_unet.training.defaults import complete_training


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_complete_trainings(name: str) -> None:
    config = complete_training(TrainingConfig.from_dict({"preset": name}))
    assert config.preset == name
    assert {key: getattr(config, key) for key in PRESETS[name]} == PRESETS[name]
    assert TrainingConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "ronneberger2015",
            {"network": "unet-2015", "optimizer": "sgd", "batch_size": 1}
            | {"width": 64, "dropout": 0.5, "patch_size": 572, "flip": True}
            | {"elastic": 10, "elastic_grid": 3, "border_weight": 10},
        ),
        (
            "keras-isbi",
            {"network": "unet-keras", "learning_rate": 1e-4, "weight_decay": 0}
            | {"epochs": 3, "steps_per_epoch": 100, "batch_size": 2}
            | {"border_weight": 0, "class_balance": False, "elastic": 0},
        ),
        (
            "xception-pets",
            {"network": "unet-xception", "patch_size": 160, "width": 32}
            | {"class_balance": False, "border_weight": 0, "flip": False},
        ),
        ("multiscale", {"multiscale": True, "network": "unet", "augment": "default"}),
    ],
)
def test_presets_resolve_to_the_published_options(
    name: str, expected: dict[str, Any]
) -> None:
    config = complete_training(TrainingConfig.from_dict({"preset": name}))
    assert {key: getattr(config, key) for key in expected} == expected


def test_what_is_given_overrides_the_preset() -> None:
    given = {"preset": "keras-isbi", "learning_rate": 1e-3, "width": 8, "epochs": 1}
    config = TrainingConfig.from_dict(given)
    assert (config.learning_rate, config.width) == (1e-3, 8)
    assert (config.epochs, config.steps_per_epoch) == (1, 100)


@pytest.mark.parametrize("given", [{"steps": 5}, {"budget": "2m"}])
def test_a_time_or_steps_replace_the_epochs_of_a_preset(given: dict[str, Any]) -> None:
    config = TrainingConfig.from_dict({"preset": "keras-isbi", **given})
    assert (config.epochs, config.steps_per_epoch) == (None, None)
    assert config.learning_rate == 1e-4


def test_unknown_preset_is_told() -> None:
    with pytest.raises(
        ConfigError, match="one of quick, good, best, ronneberger2015, keras"
    ):
        TrainingConfig.from_dict({"preset": "ronneberger"})
