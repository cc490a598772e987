"""Tiles that are looked at, each in its file."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_unet.config import NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack
from napari_unet.data.excerpt import Excerpt
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.events import LookStarted, TilePredicted
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction import predict
from napari_unet.prediction.block import with_classes
from napari_unet.prediction.look import look_events, prepare_look

if TYPE_CHECKING:
    from pathlib import Path

FP32 = {"precision": "fp32", "device": "cpu"}


def model(**options: Any) -> Model:
    torch.manual_seed(0)
    config = NetworkConfig(**{"depth": 1, "width": 4, **options})
    return Model(build_network(config).eval(), config, Classes((0, 255)))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("network", "shape", "axes", "tile"),
    [
        ({"depth": 2}, (2, 150, 90), "ZYX", 64),
        ({"context": 1}, (4, 60, 50), "ZYX", 40),
        ({"channels": 2}, (2, 70, 50), "CYX", 40),
        ({"dims": 3}, (40, 30, 50), "ZYX", 24),
    ],
)
def test_tiles_need_no_pixels_but_those_in_reach_and_are_the_whole(
    network: dict[str, Any],
    shape: tuple[int, ...],
    axes: str,
    tile: int,
    tmp_path: Path,
) -> None:
    pixels = noise(*shape)
    net, config = model(**network), PredictionConfig(tile=tile, **FP32)
    nothing = Excerpt(np.empty([0] * len(shape), np.uint8), shape, [0] * len(shape))
    measured = measure_normalisation(Stack(pixels, axes))
    look = prepare_look(net, Stack(nothing, axes), config, measured, "probabilities")
    (started,) = look_events(look, [], tmp_path)
    assert isinstance(started, LookStarted)
    spans = [list(pairwise(cuts)) for cuts in started.cuts]
    assert math.prod(map(len, spans)) > 3
    tiles = []
    for number, bounds in enumerate(product(*spans)):
        box = []
        for axis, length in zip(axes, shape, strict=True):
            place = started.axes.find(axis)
            far = started.reach[place]
            first, last = bounds[place] if place >= 0 else (0, length)
            box.append((max(0, first - far), min(length, last + far)))
        path = tmp_path / f"image-{number}.npy"
        np.save(path, pixels[tuple(slice(*each) for each in box)])
        starts = [first for first, _ in box]
        tiles.append({"bounds": bounds, "image": str(path), "starts": starts})
    labels, whole = predict(net, pixels, axes=axes, output="both", tile=tile, **FP32)
    found, shares = np.zeros_like(labels), np.zeros_like(whole)
    for event in look_events(look, tiles, tmp_path):
        if isinstance(event, TilePredicted):
            box = tuple(slice(*each) for each in event.bounds)
            found[box] = np.load(event.path)
            assert event.probabilities
            shares[with_classes(box)] = np.load(event.probabilities)
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_allclose(shares, whole, atol=1e-5)


def test_a_tile_is_computed_once_and_a_stop_comes_between_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(noise(100, 300), "YX")
    look = prepare_look(model(), stack, PredictionConfig(tile=64, **FP32))
    first, second, *_ = look.cuts[1]
    tiles = [{"bounds": [[0, look.cuts[0][1]], [first, second]]}]
    list(look_events(look, tiles, tmp_path))
    monkeypatch.setattr(type(look), "both", lambda *_: 1 / 0)
    events = list(look_events(look, tiles, tmp_path))
    assert len(events) == 2
    assert isinstance(events[1], TilePredicted)
    assert events[1].probabilities is None
    assert not list(tmp_path.glob("*.part"))
    never = [{"bounds": [[0, 10], [second, 300]]}]
    events = list(look_events(look, never, tmp_path, should_stop=lambda: True))
    assert len(events) == 1


def test_tiles_are_small_where_none_are_asked_for() -> None:
    stack = Stack(np.broadcast_to(np.uint8(3), (2000, 3000)), "YX")
    look = prepare_look(model(depth=2), stack, PredictionConfig(**FP32))
    assert max(np.diff(look.cuts[1])) < 256
    assert prepare_look(
        model(), Stack(noise(100, 100), "YX"), PredictionConfig(**FP32)
    ).cuts == ((0, 100), (0, 100))
