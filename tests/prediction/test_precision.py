from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.config import NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack
from napari_unet.data.region import find_region
from napari_unet.events import PredictionStarted
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction import precision, predict_events
from napari_unet.prediction.engine import prepare
from napari_unet.prediction.precision import agreement, lively_windows
from napari_unet.prediction.predictor import Predictor


@pytest.fixture(autouse=True)
def hardware_has_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "napari_unet.networks.compute._fast_in_bf16", lambda device: True
    )


def model(**shape: Any) -> Model:
    config = NetworkConfig(**{"depth": 1, "width": 4, **shape})
    torch.manual_seed(0)
    classes = Classes(tuple(range(max(2, config.classes))))
    return Model(build_network(config).eval(), config, classes)


def surer(one: Model, margin: float) -> Model:
    """Move the last bias, so that the first class wins by far, or by nothing."""
    last = [each for each in one.network.modules() if hasattr(each, "bias")][-1]
    with torch.no_grad():
        last.bias[0] += margin
    return one


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


def test_bf16_is_taken_where_the_labels_stay() -> None:
    work = prepare(surer(model(), 100), Stack(noise(3, 80, 90), "ZYX"), CONFIG)
    assert work.predictor.dtype == torch.bfloat16
    assert work.remarks == ()


CONFIG = PredictionConfig("cpu")


def test_fp32_is_taken_where_bf16_changes_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(noise(3, 200, 210), "ZYX")
    unsure = model(width=16, depth=2)
    events = predict_events(unsure, stack, CONFIG, lambda *section: None)
    started = next(events)
    assert isinstance(started, PredictionStarted)
    assert started.precision == "fp32"
    assert any(
        "In bf16" in each and "% of the labels" in each for each in started.remarks
    )
    # Once for each model: what was found is kept.
    monkeypatch.setattr(precision, "agreement", lambda *_: pytest.fail("tried again"))
    again = prepare(unsure, stack, CONFIG)
    assert again.predictor.dtype == torch.float32
    # Who says bf16 gets it.
    told = prepare(unsure, stack, PredictionConfig("cpu", "bf16"))
    assert told.predictor.dtype == torch.bfloat16
    assert told.remarks == ()


def test_share_of_equal_labels_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Predictor(model().network, model().config, PredictionConfig("cpu", "fp32"))
    windows = [noise(1, 4, 4) - 100, noise(1, 4, 4) - 100]
    assert agreement(first, first, windows) == 1
    first.network = lambda batch: torch.cat([batch, 0 * batch], dim=1)  # type: ignore[assignment]
    other = Predictor(model().network, model().config, PredictionConfig("cpu", "fp32"))
    other.network = lambda batch: torch.cat([batch, 1e9 + batch], dim=1)  # type: ignore[assignment]
    share = float(np.mean([window < 0 for window in windows]))
    assert agreement(first, other, windows) == pytest.approx(share)


@pytest.mark.parametrize(
    ("shape", "dims", "size"),
    [
        ((5, 300, 310), 2, (1, 104, 104)),
        ((1, 9, 9), 2, (1, 18, 18)),
        ((30, 90, 100), 3, (1, 16, 56, 56)),
        ((2, 20, 7), 3, (1, 10, 28, 16)),
    ],
)
def test_windows_are_small_of_one_size_and_lively(
    shape: tuple[int, ...], dims: int, size: tuple[int, ...]
) -> None:
    pixels = noise(*shape) - 100
    pixels[:, : shape[1] // 2] = 0  # nothing to see there
    stack = Stack(pixels, "ZYX")
    one = model(dims=dims)
    made = Predictor(one.network, one.config, PredictionConfig("cpu", "fp32"))
    windows = lively_windows(made, stack, np.asarray, find_region(stack))
    assert len(windows) == 4
    assert len({each.shape for each in windows}) == 1
    assert windows[0].size <= 2 * np.prod(size)
    assert all(each.std() > 1 for each in windows)


def test_regression_is_not_tried() -> None:
    one = model(classes=1)
    work = prepare(one, Stack(noise(2, 40, 40), "ZYX"), CONFIG)
    assert work.predictor.dtype == torch.float32
    assert work.remarks == ()
