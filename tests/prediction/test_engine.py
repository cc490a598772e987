from __future__ import annotations

import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_network import random_network

from napari_unet.config import ComputeConfig, NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.errors import ModelError
from napari_unet.events import PredictionFinished, PredictionStarted, TilesDone
from napari_unet.model import Model
from napari_unet.prediction.engine import predict_blocks
from napari_unet.prediction.plan import MARGIN
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.sections import predict_events, predict_sections

FP32 = ComputeConfig("cpu", "fp32")


def model(
    channels: int = 1, classes: Classes | None = None, depth: int = 1, width: int = 2
) -> Model:
    classes = classes or Classes((0, 255))
    config = NetworkConfig(channels, classes.n, depth, width)
    return Model(random_network(config), config, classes)


def probabilities_of(
    predictor: Predictor, image: np.ndarray, tile: int | None
) -> np.ndarray:
    """Predict one normalised section ``(C, Y, X)``."""
    stack = Stack(image[None], "ZCYX")
    plan = predictor.plan(stack.section_shape, tile)
    results = predict_sections(predictor, stack, np.asarray, plan, probabilities=True)
    (section,) = [each for each in results if not isinstance(each, int)]
    assert section.probabilities is not None
    np.testing.assert_array_equal(section.labels, section.probabilities.argmax(0))
    return section.probabilities


PREDICTORS = {
    depth: Predictor(
        random_network(NetworkConfig(depth=depth, width=2)),
        NetworkConfig(depth=depth, width=2),
        FP32,
    )
    for depth in (1, 2, 3)
}


def assert_seamless(depth: int, shape: tuple[int, int], tile: int) -> None:
    random = np.random.default_rng(shape)
    image = random.normal(size=(1, *shape)).astype(np.float32)
    predictor = PREDICTORS[depth]
    whole = probabilities_of(predictor, image, 4096)
    tiled = probabilities_of(predictor, image, tile)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("depth", "shape", "tile"),
    [
        (3, (1, 1), 16),
        (3, (1, 300), 128),
        (3, (300, 1), 128),
        (2, (100, 100), 64),
        (3, (132, 300), 150),
        (2, (511, 513), 200),
        (3, (511, 513), 256),
        (3, (40, 45), 16),  # smaller than the halo of 50
        (1, (33, 64), 17),  # a tile off the grid
    ],
)
def test_tiled_equals_whole(depth: int, shape: tuple[int, int], tile: int) -> None:
    assert_seamless(depth, shape, tile)


@given(
    depth=st.integers(1, 3),
    shape=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    tile=st.integers(16, 160),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_tiled_equals_whole_for_any_shape_and_tile(
    depth: int, shape: tuple[int, int], tile: int
) -> None:
    assert_seamless(depth, shape, tile)


def test_tiles_do_cut_the_section() -> None:
    plan = PREDICTORS[2].plan((511, 513), 200)
    assert len(plan.tiles) > 4
    assert max(plan.window) <= 200


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (37, 50), (64, 64)])
def test_prediction_is_the_network_on_the_mirrored_section(
    shape: tuple[int, int],
) -> None:
    predicted = model(channels=2, depth=2, width=4)
    random = np.random.default_rng(1)
    image = random.normal(100, 20, size=(2, *shape)).astype(np.float32)
    mean = image.mean(axis=(1, 2), keepdims=True)
    deviation = image.std(axis=(1, 2), keepdims=True)
    normal = (image - mean) / np.where(deviation > 0, deviation, 1)
    pads = [(0, 0)] + [(4, 4 + -(length + 8) % 4) for length in shape]
    for axis, length in enumerate(shape, start=1):
        pad = [(0, 0)] * 3
        pad[axis] = pads[axis]
        mode: Any = "reflect" if length > 1 else "edge"
        normal = np.pad(normal, pad, mode=mode)
    with torch.no_grad():
        logits = predicted.network(torch.from_numpy(normal)[None])[0]
    inner = logits[:, 4 : 4 + shape[0], 4 : 4 + shape[1]]
    expected = torch.softmax(inner, 0).numpy()

    got = []
    events = predict_events(
        predicted,
        Stack(image, "CYX"),
        PredictionConfig("cpu", "fp32"),
        lambda index, labels, shares: got.append(shares),
        probabilities=True,
    )
    assert isinstance(list(events)[-1], PredictionFinished)
    assert MARGIN == 4
    np.testing.assert_allclose(got[0], expected, rtol=0, atol=1e-5)


class CountingPixels:
    """Pixels that count how often and how many of each section are read."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim
        self.reads: list[int] = []

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        self.reads.append(key[0])
        return self.pixels[key]


def test_sections_stream() -> None:
    random = np.random.default_rng(0)
    pixels = CountingPixels(random.integers(0, 255, (6, 500, 520)).astype(np.uint8))
    seen: list[tuple[int, int]] = []
    for _ in predict_events(
        model(),
        Stack(pixels, "ZYX"),
        PredictionConfig("cpu", "fp32", tile=256),
        lambda index, labels, shares: seen.append((index, len(pixels.reads))),
    ):
        pass
    assert [index for index, _ in seen] == list(range(6))
    assert {pixels.reads.count(index) for index in range(6)} == {2}
    # 6 reads measure the normalisation; then no more than two batches are read ahead.
    assert all(reads - 6 <= index + 1 + 3 for index, reads in seen)


def test_blocks_and_windows_that_are_done_are_let_go() -> None:
    """At no time are there more of them than are read ahead and worked at."""
    predictor = PREDICTORS[1]
    stack = Stack(np.zeros((9, 512, 512), np.float32), "ZYX")
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def normalise(section: np.ndarray) -> np.ndarray:
        nonlocal most
        most = max(most, sum(each() is not None for each in alive))
        made = section.copy()
        alive.append(weakref.ref(made))
        return made

    plan = predictor.plan((512, 512), 300)
    for block in predict_blocks(predictor, stack, normalise, plan):
        if not isinstance(block, int):
            alive.append(weakref.ref(block.labels))
    assert 1 <= most <= 8


def test_sections_come_in_order_and_events_count_up() -> None:
    stack = Stack(np.zeros((2, 3, 50, 60), np.uint8), "TZYX")
    indices: list[int] = []
    config = PredictionConfig("cpu", "fp32", tile=32)
    events = list(
        predict_events(model(), stack, config, lambda i, *rest: indices.append(i))
    )
    assert indices == [0, 1, 2, 3, 4, 5]
    started, *middle, finished = events
    assert isinstance(started, PredictionStarted)
    assert (started.sections, started.precision) == (6, "fp32")
    assert max(started.tile) <= 32
    done = [each.done for each in middle if isinstance(each, TilesDone)]
    assert done == sorted(set(done))
    assert done[-1] == started.tiles == 6 * len(PREDICTORS[1].plan((50, 60), 32).tiles)
    assert finished == PredictionFinished()


def test_channels_must_be_those_of_the_model() -> None:
    stack = Stack(np.zeros((3, 20, 20), np.uint8), "CYX", name="rgb")
    with pytest.raises(ModelError, match=r"rgb has 3 channel.*expects 1"):
        list(predict_events(model(), stack, PredictionConfig(), lambda *section: None))


def test_stopping_ends_without_the_last_event() -> None:
    stack = Stack(np.zeros((9, 300, 300), np.uint8), "ZYX")
    sections: list[int] = []
    events = list(
        predict_events(
            model(),
            stack,
            PredictionConfig("cpu", "fp32"),
            lambda index, *rest: sections.append(index),
            should_stop=lambda: len(sections) >= 2,
        )
    )
    assert len(sections) == 2
    assert not any(isinstance(each, PredictionFinished) for each in events)


def test_normalisation_is_that_of_the_whole_image() -> None:
    pixels = np.zeros((2, 40, 40), np.float32)
    pixels[1] = 100
    stack = Stack(pixels, "ZYX")
    normal = measure_normalisation(stack)
    seen: list[np.ndarray] = []
    predictor = PREDICTORS[1]
    plan = predictor.plan((40, 40), None)

    def watch(section: np.ndarray) -> np.ndarray:
        seen.append(normal(section))
        return seen[-1]

    list(predict_sections(predictor, stack, watch, plan))
    assert [float(each.mean()) for each in seen] == [-1, 1]


def test_bf16_is_near_fp32() -> None:
    random = np.random.default_rng(0)
    image = random.normal(size=(1, 40, 40)).astype(np.float32)
    config = NetworkConfig(depth=2, width=8)
    built = random_network(config)
    exact = probabilities_of(Predictor(built, config, FP32), image, None)
    half = Predictor(built, config, ComputeConfig("cpu", "bf16"))
    assert half.dtype == torch.bfloat16
    rough = probabilities_of(half, image, None)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1


def test_training_may_go_on_with_the_original() -> None:
    config = NetworkConfig(depth=1, width=2)
    built = random_network(config).train()
    predictor = Predictor(built, config, FP32)
    image = np.random.default_rng(0).normal(size=(1, 1, 16, 16)).astype(np.float32)
    batch = predictor.batch(image)
    before = predictor(batch)
    with torch.no_grad():
        for weight in built.parameters():
            weight.zero_()
    assert torch.equal(predictor(batch), before)
    assert built.training


def test_context_is_the_sections_above_and_below_as_channels() -> None:
    """A network with context sees what one with as many channels would be given."""
    random = np.random.default_rng(1)
    volume = random.normal(size=(4, 2, 20, 24)).astype(np.float32)
    config = NetworkConfig(channels=2, depth=2, width=2, context=1)
    widened = NetworkConfig(channels=6, depth=2, width=2)
    seen = random_network(config)
    predictor = Predictor(seen, config, FP32)
    plan = predictor.plan((20, 24), None)
    results = predict_sections(
        predictor, Stack(volume, "ZCYX"), np.asarray, plan, probabilities=True
    )
    sections = [each for each in results if not isinstance(each, int)]
    for index, near in enumerate([(1, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 2)]):
        expected = probabilities_of(
            Predictor(seen, widened, FP32), volume[list(near)].reshape(6, 20, 24), None
        )
        assert sections[index].index == index
        np.testing.assert_allclose(sections[index].probabilities, expected, atol=1e-6)


def test_a_section_is_read_once_whatever_the_context() -> None:
    volume = np.zeros((5, 16, 16), np.float32)
    config = NetworkConfig(depth=1, width=2, context=2)
    predictor = Predictor(random_network(config), config, FP32)
    read = []

    def normalise(section: np.ndarray) -> np.ndarray:
        read.append(1)
        return section

    plan = predictor.plan((16, 16), None)
    list(predict_sections(predictor, Stack(volume, "ZYX"), normalise, plan))
    assert len(read) == 5


def test_predicting_loads_no_compiler() -> None:
    """Loading torch's compiler, by accident, would take a second."""
    code = """
import sys
import numpy as np
from napari_unet.config import NetworkConfig
from napari_unet.data import Classes
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction import predict

config = NetworkConfig(depth=1, width=2)
model = Model(build_network(config).eval(), config, Classes((0, 255)))
predict(model, np.zeros((1, 16, 16), np.uint8), axes="ZYX")
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
