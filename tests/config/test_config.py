from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.config import (
    GROUPS,
    ClusterConfig,
    ComputeConfig,
    Config,
    EvaluationConfig,
    NetworkConfig,
    Option,
    OutputConfig,
    PredictionConfig,
    TrainingConfig,
    options,
    read_names,
    seconds,
    write_names,
)
from napari_unet.errors import ConfigError

CONFIGS: list[type[Config]] = [
    ClusterConfig,
    NetworkConfig,
    ComputeConfig,
    TrainingConfig,
    PredictionConfig,
]
EVERY_OPTION = [
    pytest.param(config, each, id=f"{config.__name__}.{each.name}")
    for config in CONFIGS
    for each in options(config)
]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("90s", 90),
        ("3m", 180),
        ("3min", 180),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h2m3s", 3723),
        ("1.5h", 5400),
        (" 2M ", 120),
        ("45", 45),
        (12.5, 12.5),
        (7, 7),
    ],
)
def test_budget_is_read(budget: str | float, expected: float) -> None:
    assert seconds(budget) == expected


@pytest.mark.parametrize(
    "budget",
    ["", "0", "0s", "-3m", "soon", "3m1h", "1.2.3s", "nan", "inf", "m", "3 weeks"],
)
def test_budget_that_makes_no_sense_is_refused(budget: str) -> None:
    with pytest.raises(ConfigError, match="such as 90s, 3m or 1h30m"):
        seconds(budget)


def test_budget_is_checked_when_the_config_is_built() -> None:
    with pytest.raises(ConfigError, match="budget is 'later'"):
        TrainingConfig(budget="later")


@pytest.mark.parametrize(("config", "each"), EVERY_OPTION)
def test_every_option_is_described_and_its_default_allowed(
    config: type[Config], each: Option
) -> None:
    assert each.type in (int, float, str, bool)
    assert each.help.endswith((".", ")"))
    assert "\n" not in each.help
    each.check(each.default)
    assert getattr(config(), each.name) == each.default


@pytest.mark.parametrize(("config", "each"), EVERY_OPTION)
def test_every_option_refuses_another_type(config: type[Config], each: Option) -> None:
    wrong: Any = 3 if each.type in (str, bool) else "3"
    if each.many:
        wrong = 0.5
    with pytest.raises(ConfigError, match=f"^{each.name} is .*must be"):
        config(**{each.name: wrong})
    if each.type is not bool:
        with pytest.raises(ConfigError, match="is True"):
            config(**{each.name: True})
    if not (each.optional or each.many):
        with pytest.raises(ConfigError, match="is None"):
            config(**{each.name: None})


@pytest.mark.parametrize(("config", "each"), EVERY_OPTION)
def test_every_number_has_bounds(config: type[Config], each: Option) -> None:
    if each.type not in (int, float) or each.many or each.choices:
        return
    assert each.minimum is not None
    bounds = [(each.minimum, -1)] + [(each.maximum, 1)] * (each.maximum is not None)
    for bound, direction in bounds:
        each.check(each.type(bound))
        with pytest.raises(ConfigError, match=re.escape(f"{each.minimum:g}")):
            each.check(each.type(bound) + direction)
    if each.type is float:
        for value in (float("nan"), float("inf"), -float("inf")):
            with pytest.raises(ConfigError):
                each.check(value)


def test_error_says_what_was_given_and_what_is_allowed() -> None:
    with pytest.raises(ConfigError) as caught:
        NetworkConfig(depth=9)
    assert str(caught.value) == (
        "depth is 9, but it must be a whole number from 1 to 6."
    )
    with pytest.raises(ConfigError, match="one of auto, cpu, cuda, mps"):
        ComputeConfig(device="gpu")
    with pytest.raises(ConfigError, match="at least 1 or nothing"):
        TrainingConfig(steps=0)


def test_whole_numbers_may_stand_for_numbers() -> None:
    assert TrainingConfig(learning_rate=1).learning_rate == 1
    with pytest.raises(ConfigError, match="whole number"):
        NetworkConfig(width=8.0)  # type: ignore[arg-type]


def test_configs_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NetworkConfig().depth = 3  # type: ignore[misc]


@settings(deadline=None)
@given(
    depth=st.integers(1, 4),
    width=st.integers(1, 256),
    steps=st.none() | st.integers(1, 10**6),
    learning_rate=st.floats(1e-7, 1),
    flip=st.booleans(),
)
def test_config_goes_through_json_unchanged(**values: Any) -> None:
    config = TrainingConfig(**values)
    stored = json.loads(json.dumps(config.to_dict()))
    assert TrainingConfig.from_dict(stored) == config


def test_unknown_option_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"Unknown option widht; known are .*width"):
        NetworkConfig.from_dict({"widht": 3})


def test_options_shared_with_the_network_are_the_same() -> None:
    network = {each.name: each for each in options(NetworkConfig)}
    for each in options(TrainingConfig):
        if each.name in network:
            same = network[each.name]
            left_open = {"default", "optional", "usual", "help", "group"}
            for field in dataclasses.fields(Option):
                if field.name not in left_open:
                    assert getattr(each, field.name) == getattr(same, field.name)
            if each.name != "anisotropy":  # that of the data, not of the network
                assert each.help.startswith(same.help.removesuffix("."))
    assert {"depth", "width", "dropout"} <= {e.name for e in options(TrainingConfig)}


def test_options_come_in_the_order_they_are_defined() -> None:
    names = [each.name for each in options(PredictionConfig)]
    assert names == [
        "device",
        "precision",
        "object_dims",
        "object_threshold",
        "seed_threshold",
        "neck",
        "split",
        "with_border",
        "fill_holes",
        "minimum_size",
        "maximum_size",
        "clear_border",
        "tile",
        "memory",
        "rescale",
        "tta",
        "uncertainty",
        "engine",
    ]
    assert options(PredictionConfig(tile=64)) == options(PredictionConfig)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("254,255", (254, 255)),
        (" 255; 254 -1,", (255, 254, -1)),
        ("", ()),
        (None, ()),
        (7, (7,)),
        ([7, 7, 8], (7, 8)),
    ],
)
def test_ignored_values_are_read_in_any_form(
    given: Any, expected: tuple[int, ...]
) -> None:
    config = TrainingConfig(ignore=given)
    assert config.ignore == expected
    assert config.to_dict()["ignore"] == list(expected)
    assert TrainingConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("given", ["a", "1.5", [1.5], True, [None], -(2**31) - 1])
def test_several_values_are_whole_numbers(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"ignore is .* must be"):
        TrainingConfig(ignore=given)


def test_random_weights_are_not_frozen() -> None:
    with pytest.raises(ConfigError, match="random weights"):
        TrainingConfig(freeze=0.2)
    assert TrainingConfig(freeze=0.2, init="run").freeze == 0.2
    assert TrainingConfig(freeze=0.2, network="unet-resnet18").freeze == 0.2


def test_each_group_begins_with_an_option() -> None:
    others = (OutputConfig, EvaluationConfig)
    names = {each.name for config in (*CONFIGS, *others) for each in options(config)}
    assert set(GROUPS) <= names


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0=background,255=nucleus", {0: "background", 255: "nucleus"}),
        (" 1 = a, b = c , -2=d", {1: "a, b = c", -2: "d"}),
        ("", {}),
        (None, {}),
    ],
)
def test_names_of_classes(given: str | None, expected: dict[int, str]) -> None:
    assert read_names(given) == expected
    assert read_names(write_names(expected)) == expected


@pytest.mark.parametrize("given", ["nucleus", "1=", "=a", "1=a,1=b", "1=a,2=a"])
def test_names_of_classes_are_one_for_each_value(given: str) -> None:
    with pytest.raises(ConfigError, match=r"class_names is .* must be mask values"):
        TrainingConfig(class_names=given)


def test_what_has_no_classes_of_its_own_takes_no_names() -> None:
    for other in ({"objects": "border"}, {"task": "regression"}):
        with pytest.raises(ConfigError, match="no classes to name"):
            TrainingConfig(class_names="0=a", **other)


def test_a_batch_is_computed_in_one_place() -> None:
    with pytest.raises(ConfigError, match="one cluster"):
        ClusterConfig(workers=2, scheduler="tcp://here:1")
    with pytest.raises(ConfigError, match="at least 1"):
        ClusterConfig(workers=0)
    assert ClusterConfig(workers=1)
    assert not ClusterConfig()
