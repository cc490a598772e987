"""Predictions averaged over orientations, and their uncertainty, in tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_network import random_network

from napari_unet.config import NETWORKS, NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack
from napari_unet.data.masks.scale import Scale
from napari_unet.errors import ConfigError
from napari_unet.events import PredictionStarted
from napari_unet.model import Model
from napari_unet.networks import measure_geometry
from napari_unet.networks.blocks import Convolution
from napari_unet.networks.family import find_member
from napari_unet.prediction.block import with_classes
from napari_unet.prediction.engine import predict_blocks, prepare
from napari_unet.prediction.openvino import find_spec
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.uncertainty import disagreement, entropy

CONFIGS = {
    name: NetworkConfig(
        1, 2, depth=2, width=4, name=name, dims=find_member(name).dims, anisotropy=2
    )
    for name in NETWORKS
}
CONFIGS["context"] = NetworkConfig(depth=1, width=2, context=1, channels=2)
CONFIGS["classes"] = NetworkConfig(depth=2, width=2, classes=3)
CONFIGS["values"] = NetworkConfig(depth=2, width=2, classes=1)


def network(config: NetworkConfig) -> torch.nn.Module:
    built = random_network(config)
    convolutions = [each for each in built.modules() if isinstance(each, Convolution)]
    last = [each for each in convolutions if each.out_channels == config.classes][-1]
    assert last.bias is not None
    size = measure_geometry(config).nearest(40)
    with torch.no_grad():  # logits of 0 or 100 would see no difference
        logits = built(torch.randn(1, config.inputs, *[size] * config.dims))
        mean, deviation = logits.transpose(0, 1).flatten(1).mean(1), logits.std()
        last.weight /= deviation
        last.bias.copy_((last.bias - mean) / deviation)
    return built


def predictor(name: str, tta: int, uncertainty: str = "none", **how: Any) -> Predictor:
    options = PredictionConfig("cpu", "fp32", tta=tta, uncertainty=uncertainty, **how)
    return Predictor(network(CONFIGS[name]), CONFIGS[name], options)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def image_for(name: str, rows: int, columns: int) -> Stack:
    config = CONFIGS[name]
    if config.dims == 3:
        return Stack(noise(5, (rows + 1) // 2, (columns + 1) // 2), "ZYX")
    return Stack(noise(3, config.channels, rows, columns), "ZCYX")


def collect(
    made: Predictor, stack: Stack, tile: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Labels, probabilities (or values) and maps of a stack."""
    seen = stack.shape_seen(made.config.dims)
    plan = made.plan(seen, tile)
    labels = np.full((stack.n_sections, *stack.section_shape), np.nan)
    shares = np.full((len(labels), made.config.classes, *labels.shape[1:]), np.nan)
    maps: dict[str, np.ndarray] = {}
    for block in predict_blocks(made, stack, np.asarray, plan, probabilities=True):
        if isinstance(block, int):
            continue
        labels[block.place] = block.labels
        assert block.probabilities is not None
        turned = np.moveaxis(block.probabilities, 0, -3)
        shares[with_classes(block.place)] = turned
        for name, found in block.maps.items():
            assert (found.dtype, found.shape) == (np.float32, block.labels.shape)
            maps.setdefault(name, np.full(labels.shape, np.nan))[block.place] = found
    assert not np.isnan(labels).any()
    if made.config.classes > 1:
        np.testing.assert_array_equal(labels, shares.argmax(axis=1))
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    return labels, shares, maps


@pytest.mark.parametrize(
    ("name", "tta"), [*((name, 8) for name in CONFIGS), ("unet", 4), ("unet-2015", 4)]
)
def test_tiled_equals_whole_in_all_orientations(name: str, tta: int) -> None:
    made = predictor(name, tta)
    assert made.geometry.exact
    stack = image_for(name, 61, 140)
    assert len(made.plan(stack.shape_seen(made.config.dims), 32).tiles) > 1
    _, whole, _ = collect(made, stack, 4096)
    assert whole.std(axis=(0, 2, 3)).max() > 0.01
    _, tiled, _ = collect(made, stack, 32)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


@given(
    name=st.sampled_from(["unet", "unet-2015", "unet-3d"]),
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    tile=st.integers(16, 90),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_tiled_equals_whole_for_any_shape(
    name: str, rows: int, columns: int, tile: int
) -> None:
    made = predictor(name, 8)
    stack = image_for(name, rows, columns)
    _, whole, _ = collect(made, stack, 4096)
    _, tiled, _ = collect(made, stack, tile)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["unet", "unet-3d", "values"])
def test_it_is_the_mean_over_turned_and_mirrored_windows(name: str) -> None:
    config = CONFIGS[name]
    window = noise(1, 1, *[8] * (config.dims - 2), 24, 40)
    built = network(config)

    def alone(turned: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = built(torch.from_numpy(turned.copy()))
        return (logits.softmax(1) if config.classes > 1 else logits).numpy()

    turns = []
    for times in range(4):
        for mirrored in (False, True):
            seen = np.rot90(window, times, axes=(-2, -1))
            said = alone(seen[..., ::-1])[..., ::-1] if mirrored else alone(seen)
            turns.append(np.rot90(said, -times, axes=(-2, -1)))
    found = predictor(name, 8)(torch.from_numpy(window))
    found = found.softmax(1) if config.classes > 1 else found
    np.testing.assert_allclose(found, np.mean(turns, axis=0), atol=2e-5)
    assert np.std(turns, axis=0).max() > 0.01


@pytest.mark.parametrize("blended", [False, True])
@pytest.mark.parametrize("tta", [1, 8])
def test_entropy_is_that_of_the_probabilities(tta: int, blended: bool) -> None:
    made = predictor("classes", tta, "entropy")
    made.geometry = replace(made.geometry, exact=not blended)
    _, shares, maps = collect(made, image_for("classes", 61, 94), 48)
    expected = entropy(torch.from_numpy(shares)).numpy()
    assert list(maps) == ["entropy"]
    np.testing.assert_allclose(maps["entropy"], expected, rtol=0, atol=1e-6)
    assert 0 <= maps["entropy"].min() < maps["entropy"].max() <= 1


@pytest.mark.parametrize("name", ["classes", "unet-2015", "unet-3d"])
def test_disagreement_is_that_of_the_orientations(name: str) -> None:
    stack = image_for(name, 61, 94)
    made = predictor(name, 4, "disagreement")
    _, shares, maps = collect(made, stack, 4096)
    _, tiled_shares, tiled = collect(made, stack, 32)
    np.testing.assert_allclose(tiled_shares, shares, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        tiled["disagreement"], maps["disagreement"], rtol=0, atol=1e-5
    )
    assert 0 <= maps["disagreement"].min() < maps["disagreement"].max() <= 1


def test_disagreement_by_each_orientation() -> None:
    window = torch.from_numpy(noise(1, 1, 24, 24))
    alone = predictor("classes", 1)
    said = [
        alone(window.flip(axes)).softmax(1).flip(axes)
        for axes in ([], [-2], [-1], [-2, -1])
    ]
    expected = disagreement(
        torch.stack(said).mean(0), torch.stack([entropy(each) for each in said]).mean(0)
    )
    made = predictor("classes", 4, "disagreement")
    found = made(window)
    mean, unsure = found[:, :-1].softmax(1), found[:, -1]
    torch.testing.assert_close(disagreement(mean, unsure), expected)


def test_blended_tiles_disagree_as_their_windows_do() -> None:
    made = predictor("classes", 8, "disagreement")
    made.geometry = replace(made.geometry, exact=False)
    stack = image_for("classes", 61, 94)
    _, whole_shares, whole = collect(made, stack, 4096)
    _, shares, maps = collect(made, stack, 64)
    near = {
        "shares": np.abs(shares - whole_shares).max(),
        "disagreement": np.abs(maps["disagreement"] - whole["disagreement"]).max(),
    }
    assert max(near.values()) < 0.1


def test_one_orientation_cannot_disagree() -> None:
    with pytest.raises(ConfigError, match="disagreement and tta 1"):
        PredictionConfig(uncertainty="disagreement")


def test_values_have_no_entropy() -> None:
    config = CONFIGS["values"]
    scale = Scale(0, 1)
    model = Model(network(config), config, None, scale=scale)
    stack = Stack(noise(20, 20), "YX")
    with pytest.raises(ConfigError, match="regression"):
        prepare(model, stack, PredictionConfig("cpu", uncertainty="entropy"))


@pytest.mark.skipif(not find_spec("openvino"), reason="OpenVINO is an extra")
@pytest.mark.parametrize("name", ["unet", "unet-2015", "unet-3d"])
def test_openvino_is_exact_in_tiles_too(name: str) -> None:
    stack = image_for(name, 61, 94)
    made = predictor(name, 4, engine="openvino")
    _, whole, _ = collect(made, stack, 4096)
    _, tiled, _ = collect(made, stack, 32)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)
    _, expected, _ = collect(predictor(name, 4), stack, 4096)
    np.testing.assert_allclose(tiled, expected, rtol=0, atol=1e-4)


def test_a_remark_on_the_engine_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_unet.prediction import predictor as module

    monkeypatch.setattr(module, "choose_runtime", lambda *given: (None, "Not so."))
    config = CONFIGS["unet"]
    model = Model(network(config), config, Classes((0, 255)))
    work = prepare(model, Stack(noise(20, 20), "YX"), PredictionConfig("cpu"))
    started = next(work.events(lambda block: None))
    assert isinstance(started, PredictionStarted)
    assert started.remarks == ["Not so."]
