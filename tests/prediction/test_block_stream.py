"""Predictions as a stream of blocks, of all of an image and of its regions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.config import ComputeConfig, NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack
from napari_unet.data.region import Region, find_region
from napari_unet.events import PredictionFinished, PredictionStarted, TilesDone
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction import blocks
from napari_unet.prediction.block import Block, Place, with_classes
from napari_unet.prediction.engine import predict_blocks, prepare
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.windows import WindowReader

FP32 = ComputeConfig("cpu", "fp32")

CONFIGS = {
    "plane": NetworkConfig(depth=2, width=2),
    "deep": NetworkConfig(depth=3, width=2, classes=3),
    "context": NetworkConfig(depth=1, width=2, context=1, channels=2),
    "cropping": NetworkConfig(depth=1, width=2, name="unet-2015"),
    "values": NetworkConfig(depth=1, width=2, classes=1),
    "volume": NetworkConfig(depth=1, width=2, dims=3, anisotropy=2),
    "blended": NetworkConfig(depth=1, width=2),
    "blended volume": NetworkConfig(depth=1, width=2, dims=3),
}


def predictor(name: str) -> Predictor:
    torch.manual_seed(0)
    made = Predictor(build_network(CONFIGS[name]).eval(), CONFIGS[name], FP32)
    if "blended" in name:
        made.geometry = replace(made.geometry, exact=False)
    return made


PREDICTORS = {name: predictor(name) for name in CONFIGS}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def collect(
    name: str,
    stack: Stack,
    tile: int,
    region: Region | None = None,
    **more: Any,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels and probabilities of a region, each pixel written once; tiles done."""
    made = PREDICTORS[name]
    region = region or find_region(stack)
    seen = stack.shape_seen(made.config.dims)
    plan = made.plan(seen, tile, region.along("ZYX"[-len(seen) :]))
    classes = made.config.classes
    times = np.zeros(region.shape, int)
    labels = np.full(region.shape, np.nan)
    shares = np.full((*region.shape[:-2], classes, *region.shape[-2:]), np.nan)
    done = 0
    for block in predict_blocks(
        made, stack, np.asarray, plan, region=region, probabilities=True, **more
    ):
        if isinstance(block, int):
            done += block
            continue
        times[block.place] += 1
        labels[block.place] = block.labels
        assert block.probabilities is not None
        shares[with_classes(block.place)] = (
            block.probabilities
            if block.probabilities.ndim == 3
            else np.moveaxis(block.probabilities, 0, -3)
        )
    frames = region.size // math.prod(stop - start for start, stop in plan.bounds)
    assert done == frames * len(plan.tiles)
    if not more:
        assert (times == 1).all()
    assert times.max(initial=0) <= 1
    return labels, shares, done


def image_for(name: str, axes: str) -> Stack:
    lengths = {"T": 2, "Z": 11, "Y": 67, "X": 75, "C": CONFIGS[name].channels}
    axes = axes + "C" * (CONFIGS[name].channels > 1)
    return Stack(noise(*(lengths[axis] for axis in axes)), axes)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("axes", ["ZYX", "TZYX", "ZTYX"])
def test_a_region_is_cut_out_of_the_whole(name: str, axes: str) -> None:
    stack = image_for(name, axes)
    labels, shares, _ = collect(name, stack, 40)
    ranges = {"ZYX": "", "TZYX": "1:2,", "ZTYX": "1:9,"}[axes]
    for given_region in ("1:7,10:50,0:75", "0:1,66:67,74:75", "1:,0:9,33:41"):
        region = find_region(stack, ranges + given_region)
        part = tuple(slice(*each) for each in region.bounds)
        found, found_shares, _ = collect(name, stack, 40, region)
        if CONFIGS[name].classes > 1:
            np.testing.assert_array_equal(found, labels[part])
        np.testing.assert_allclose(
            found_shares, shares[with_classes(part)], rtol=0, atol=1e-5
        )


@given(
    name=st.sampled_from(sorted(CONFIGS)),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 70), st.integers(1, 70)),
    tile=st.integers(16, 80),
    data=st.data(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_region_of_any_image_equals_its_part_of_the_whole(
    name: str, shape: tuple[int, ...], tile: int, data: st.DataObject
) -> None:
    channels = CONFIGS[name].channels
    stack = Stack(noise(shape[0], channels, *shape[1:]), "ZCYX")
    starts = [data.draw(st.integers(0, length - 1)) for length in shape]
    bounds = [
        (start, data.draw(st.integers(start + 1, length)))
        for start, length in zip(starts, shape, strict=True)
    ]
    whole = 4096 if "blended" not in name else tile
    _, shares, _ = collect(name, stack, whole)
    region = find_region(stack, bounds)
    part = tuple(slice(*each) for each in bounds)
    _, found, _ = collect(name, stack, tile, region)
    expected = shares[with_classes(part)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


class CountingPixels:
    """Pixels that note what is read of them."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim
        self.reads: list[tuple[int, ...]] = []

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        read = self.pixels[key]
        self.reads.append((key[0], *read.shape))
        return read


@pytest.mark.parametrize("name", ["plane", "context", "volume"])
def test_a_region_reads_no_more_than_its_windows(name: str) -> None:
    channels = CONFIGS[name].channels
    stack = Stack(
        pixels := CountingPixels(noise(20, channels, 300, 310)),  # type: ignore[arg-type]
        "ZCYX",
    )
    region = find_region(stack, "9:11,100:120,100:130")
    collect(name, stack, 64, region)
    geometry = PREDICTORS[name].geometry
    furthest = (
        geometry.radii[0] + geometry.strides[0] if len(geometry.radii) == 3 else 1
    )
    assert all(9 - furthest <= z < 11 + furthest for z, *_ in pixels.reads)
    wide = 30 + 2 * (geometry.radius + 2 * geometry.stride)
    assert all(max(shape[-2:]) <= wide for _, *shape in pixels.reads)
    assert len(pixels.reads) == len(set(pixels.reads))  # each section once


def test_where_memory_is_short_each_window_is_read_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(pixels := CountingPixels(noise(2, 200, 210)), "ZYX")  # type: ignore[arg-type]
    expected = collect("plane", stack, 100)[1]
    assert {tuple(shape) for _, *shape in pixels.reads} == {(200, 210)}
    pixels.reads.clear()
    monkeypatch.setattr(
        blocks, "WindowReader", lambda *given: WindowReader(*given[:-1], kept=0)
    )
    found = collect("plane", stack, 100)[1]
    np.testing.assert_array_equal(found, expected)
    assert all(max(shape) <= 100 for _, *shape in pixels.reads)


@pytest.mark.parametrize("name", ["plane", "volume", "blended", "blended volume"])
def test_what_is_there_already_is_skipped(name: str) -> None:
    stack = image_for(name, "ZYX")
    places: list[Place] = []

    def note(place: Place) -> bool:
        if place not in places:
            places.append(place)
        return False

    whole, *_, total = collect(name, stack, 40, skip=note)
    there = places[::2]
    labels, *_, done = collect(name, stack, 40, skip=lambda place: place in there)
    assert done == total
    for number, place in enumerate(places):
        if number % 2:
            np.testing.assert_array_equal(labels[place], whole[place])
        else:
            assert np.isnan(labels[place]).all()


def test_nothing_is_computed_where_all_is_there() -> None:
    made = predictor("plane")
    made.network = None  # type: ignore[assignment]
    stack = image_for("plane", "ZYX")
    plan = made.plan((67, 75), 40)
    results = list(
        predict_blocks(made, stack, np.asarray, plan, skip=lambda place: True)
    )
    assert sum(each for each in results if isinstance(each, int)) == 11 * len(
        plan.tiles
    )


def model(name: str) -> Model:
    config = CONFIGS[name]
    network = PREDICTORS[name].network
    return Model(network, config, Classes(tuple(range(config.classes))))


def test_events_hand_over_blocks_and_may_be_stopped() -> None:
    stack = image_for("plane", "TZYX")
    options = PredictionConfig("cpu", "fp32", tile=40)
    work = prepare(model("plane"), stack, options, "3:5,:,:")
    assert work.region.shape == (2, 2, 67, 75)
    found: list[Block] = []
    started, *middle, finished = work.events(found.append)
    assert isinstance(started, PredictionStarted)
    assert started.sections == 4
    assert started.tiles == 4 * len(work.plan.tiles)
    assert isinstance(finished, PredictionFinished)
    last = middle[-1]
    assert isinstance(last, TilesDone)
    assert (last.done, last.total) == (started.tiles, started.tiles)
    assert sum(each.labels.size for each in found) == work.region.size
    assert all(each.probabilities is None for each in found)
    again = prepare(model("plane"), stack, options, "3:5,:,:", window=work.plan.window)
    assert again.plan == work.plan
    found.clear()
    stopped = list(work.events(found.append, should_stop=lambda: bool(found)))
    assert 0 < len(found) < started.tiles
    assert not isinstance(stopped[-1], PredictionFinished)
