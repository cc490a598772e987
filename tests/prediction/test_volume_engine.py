from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_network import random_network

from napari_unet.config import ComputeConfig, NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack, open_stack
from napari_unet.errors import StackFormatError
from napari_unet.events import PredictionStarted
from napari_unet.model import Model
from napari_unet.networks import build_network, measure_geometry
from napari_unet.networks.family import VOLUMES
from napari_unet.prediction import predict, predict_events, predict_to_files
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.sections import predict_sections

if TYPE_CHECKING:
    from pathlib import Path

FP32 = ComputeConfig("cpu", "fp32")

SHAPES = {
    "isotropic": NetworkConfig(depth=1, width=2, dims=3),
    "deeper": NetworkConfig(depth=2, width=2, dims=3),
    "1:4": NetworkConfig(depth=2, width=2, dims=3, anisotropy=4),
    "1:10": NetworkConfig(depth=2, width=2, dims=3, anisotropy=10),
    **{
        name: NetworkConfig(depth=1, width=2, dims=3, name=name, anisotropy=1.5)
        for name in VOLUMES
    },
}


def model(config: NetworkConfig) -> Model:
    return Model(random_network(config), config, Classes((0, 255)))


PREDICTORS = {
    name: Predictor(random_network(config), config, FP32)
    for name, config in SHAPES.items()
}


def probabilities_of(name: str, volume: np.ndarray, tile: int) -> np.ndarray:
    predictor, stack = PREDICTORS[name], Stack(volume, "ZYX")
    plan = predictor.plan(volume.shape, tile)
    results = predict_sections(
        predictor, stack, lambda plane: plane, plan, probabilities=True
    )
    sections = [each for each in results if not isinstance(each, int)]
    assert [each.index for each in sections] == list(range(len(volume)))
    for each in sections:
        assert each.probabilities is not None
        np.testing.assert_array_equal(each.labels, each.probabilities.argmax(0))
    return np.stack([each.probabilities for each in sections], axis=1)


def assert_seamless(name: str, shape: tuple[int, ...], tile: int) -> None:
    volume = np.random.default_rng(shape).normal(size=shape).astype(np.float32)
    whole = probabilities_of(name, volume, 4096)
    tiled = probabilities_of(name, volume, tile)
    assert whole.shape == (2, *shape)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "tile"),
    [
        ("isotropic", (1, 1, 1), 16),
        ("isotropic", (5, 33, 47), 24),  # fewer sections than it sees
        ("deeper", (37, 41, 70), 52),
        ("deeper", (9, 60, 61), 16),  # smaller than the halo
        ("1:4", (7, 70, 75), 60),
        ("1:10", (5, 99, 101), 60),
        ("1:10", (40, 3, 90), 20),
        *((name, (11, 45, 30), 36) for name in VOLUMES),
    ],
)
def test_tiled_volume_equals_whole(
    name: str, shape: tuple[int, ...], tile: int
) -> None:
    assert_seamless(name, shape, tile)
    if min(shape) > 1:
        assert len(PREDICTORS[name].plan(shape, tile).tiles) > 1


@given(
    name=st.sampled_from(sorted(SHAPES)),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 50), st.integers(1, 50)),
    tile=st.integers(16, 60),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_tiled_volume_equals_whole_for_any_shape_and_tile(
    name: str, shape: tuple[int, ...], tile: int
) -> None:
    assert_seamless(name, shape, tile)


@pytest.mark.parametrize(("name", "margin"), [("deeper", 4), ("1:10", 1)])
def test_prediction_is_the_network_on_the_mirrored_volume(
    name: str, margin: int
) -> None:
    predicted = model(SHAPES[name])
    volume = np.random.default_rng(1).normal(100, 20, (6, 21, 30)).astype(np.float32)
    normal = (volume - volume.mean()) / volume.std()
    strides = measure_geometry(SHAPES[name]).strides
    pads = [
        (before, before + -(length + 2 * before) % stride)
        for before, length, stride in zip(
            (margin, 4, 4), volume.shape, strides, strict=True
        )
    ]
    padded = torch.from_numpy(np.pad(normal, pads, mode="reflect"))
    with torch.no_grad():
        logits = predicted.network(padded[None, None])[0]
    inner = logits[:, margin : margin + 6, 4:25, 4:34]
    shares = predict(
        predicted, volume, output="probabilities", device="cpu", precision="fp32"
    )
    expected = torch.softmax(inner, 0).numpy().swapaxes(0, 1)
    np.testing.assert_allclose(shares, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_times_are_looped_over_and_sections_come_in_order(axes: str) -> None:
    predicted = model(SHAPES["1:4"])
    volumes = np.random.default_rng(2).integers(0, 255, (2, 3, 20, 24)).astype(np.uint8)
    # One normalisation holds for the whole image, so each time brings the same values.
    volumes[1] = volumes[0, ::-1]
    pixels = volumes if axes == "TZYX" else volumes.swapaxes(0, 1)
    stack, indices, planes = Stack(pixels, axes), [], []
    options = PredictionConfig("cpu", "fp32", tile=16)
    for _ in predict_events(
        predicted,
        stack,
        options,
        lambda index, labels, shares: (indices.append(index), planes.append(labels)),
    ):
        pass
    assert indices == list(range(6))
    found = np.reshape(planes, pixels.shape)
    found = found if axes == "TZYX" else found.swapaxes(0, 1)
    for volume, labels in zip(volumes, found, strict=True):
        alone = predict(predicted, volume, device="cpu", precision="fp32")
        np.testing.assert_array_equal(labels, alone)
    assert len(np.unique(found)) == 2


def test_volume_comes_back_in_files_as_in_arrays(tmp_path: Path) -> None:
    predicted = model(SHAPES["1:4"])
    volume = np.random.default_rng(3).integers(0, 255, (4, 20, 24)).astype(np.uint16)
    stack = Stack(volume, "ZYX", {"Z": 4.0, "Y": 1.0, "X": 1.0}, "µm", "volume")
    options = PredictionConfig("cpu", "fp32")
    list(predict_to_files(predicted, stack, tmp_path, options, probabilities=True))
    labels, shares = predict(predicted, stack, output="both", precision="fp32")
    assert (labels.dtype, labels.shape) == (np.uint8, (4, 20, 24))
    assert (shares.dtype, shares.shape) == (np.float32, (4, 2, 20, 24))
    written = open_stack(tmp_path / "volume.labels.tif")
    assert written.axes == "ZYX"
    assert written.pixel_size["Z"] == 4
    np.testing.assert_array_equal(np.asarray(written), labels)
    np.testing.assert_array_equal(
        np.asarray(open_stack(tmp_path / "volume.prob.tif")), shares
    )


def test_section_has_no_volume() -> None:
    with pytest.raises(StackFormatError, match=r"axes YX and no Z.*take a 2-D network"):
        predict(model(SHAPES["1:4"]), np.zeros((20, 20), np.uint8))


def test_tiles_of_a_large_volume_fit_the_memory() -> None:
    config = NetworkConfig(depth=2, width=16, dims=3)
    options = PredictionConfig("cpu", "fp32", memory="1GB")
    predictor = Predictor(build_network(config), config, options)
    plan = predictor.plan((500, 2000, 2000), None)
    assert 2**29 < predictor.expected(plan) <= 2**30
    thin = predictor.plan((4, 2000, 2000), None)
    assert predictor.expected(thin) <= 2**30
    assert thin.window[1] > 2 * plan.window[1]


def test_tiles_are_counted_over_all_volumes() -> None:
    stack = Stack(np.zeros((2, 6, 40, 40), np.uint8), "TZYX")
    config = PredictionConfig("cpu", "fp32", tile=32)
    predicted = model(SHAPES["1:4"])
    started = next(predict_events(predicted, stack, config, lambda *section: None))
    assert isinstance(started, PredictionStarted)
    tiles = PREDICTORS["1:4"].plan((6, 40, 40), 32).tiles
    assert (started.tiles, started.sections) == (2 * len(tiles), 12)
