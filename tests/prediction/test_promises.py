"""What a prediction promises, whatever the image, the tiles and the way to ask for it.

Only what a user can call is used here. The whole is predicted in one tile.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import napari_unet as nu
from napari_unet.config import TrainingConfig
from napari_unet.data import Classes
from napari_unet.networks import build_network, network_config
from napari_unet.networks.blocks import Norm
from napari_unet.networks.family import FAMILY, VOLUMES

if TYPE_CHECKING:
    from pathlib import Path

WHOLE, ATOL = 4096, 1e-5
PLANES, VOLUME = "unet", "unet-3d"
several = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
lengths = st.integers(1, 90)
images = st.one_of(
    st.tuples(st.just(PLANES), st.tuples(st.integers(1, 3), lengths, lengths)),
    st.tuples(
        st.just(VOLUME), st.tuples(st.integers(1, 20), *[st.integers(1, 40)] * 2)
    ),
)
tiles = st.integers(16, 64)


@cache
def model(name: str, depth: int = 2) -> nu.Model:
    """A small network of random weights, its norms measured on random pixels."""
    torch.manual_seed(0)
    given = TrainingConfig(network=name, depth=depth, width=2)
    config = network_config(given, channels=1, classes=3)
    network = build_network(config).train()
    norms = [layer for layer in network.modules() if isinstance(layer, Norm)]
    for layer in norms:
        layer.momentum = 1.0
    if norms:
        network(torch.randn(2, 1, *[32] * config.dims))
    return nu.Model(network.eval(), config, Classes((0, 7, 255)))


def image(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(shape).integers(0, 60000, shape, dtype=np.uint16)


def predict(name: str, pixels: Any, **options: Any) -> Any:
    options = {"output": "probabilities", "precision": "fp32"} | options
    return nu.predict(model(name), pixels, axes="ZYX", **options)


@given(which=images, tile=tiles)
@several
def test_tiles_equal_the_whole(which: tuple[str, tuple[int, ...]], tile: int) -> None:
    name, pixels = which[0], image(which[1])
    tiled, whole = (predict(name, pixels, tile=size) for size in (tile, WHOLE))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=ATOL)


@pytest.mark.parametrize("name", [*FAMILY, *VOLUMES])
def test_tiles_equal_the_whole_with_every_exact_network(name: str) -> None:
    shape = (19, 37, 83) if name in VOLUMES else (1, 150, 133)
    started: list[Any] = []
    tiled = predict(name, image(shape), tile=32, on_event=started.append)
    whole = predict(name, image(shape), tile=WHOLE)
    assert started[0].tiles > 1
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    ("name", "shape", "memory"),
    [(PLANES, (1, 300, 280), "3MB"), (VOLUME, (9, 130, 140), "16MB")],
)
def test_in_little_memory_it_is_the_same(
    name: str, shape: tuple[int, ...], memory: str
) -> None:
    started: list[Any] = []
    tiled = predict(name, image(shape), memory=memory, on_event=started.append)
    assert started[0].tiles > 1
    whole = predict(name, image(shape), tile=WHOLE)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=ATOL)


@given(which=images, tile=tiles, data=st.data())
@several
def test_a_region_is_that_part_of_the_whole(
    which: tuple[str, tuple[int, ...]], tile: int, data: st.DataObject
) -> None:
    name, shape = which
    region = []
    for length in shape:
        start = data.draw(st.integers(0, length - 1))
        region.append((start, data.draw(st.integers(start + 1, length))))
    part = predict(name, image(shape), region=region, tile=tile)
    whole = predict(name, image(shape), tile=WHOLE)
    z, y, x = (slice(*each) for each in region)
    np.testing.assert_allclose(part, whole[z, :, y, x], rtol=0, atol=ATOL)


@given(which=images, tile=tiles, tta=st.sampled_from((4, 8)))
@several
def test_tiles_equal_the_whole_in_many_orientations(
    which: tuple[str, tuple[int, ...]], tile: int, tta: int
) -> None:
    name, pixels = which[0], image(which[1])
    tiled, whole = (predict(name, pixels, tile=t, tta=tta) for t in (tile, WHOLE))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    ("name", "shape"), [(PLANES, (2, 40, 56)), (VOLUME, (8, 24, 16))]
)
@pytest.mark.parametrize("tta", [4, 8])
def test_a_flipped_image_gives_the_flipped_prediction(
    name: str, shape: tuple[int, ...], tta: int
) -> None:
    # With its margins each length is on the grid of the network.
    pixels = image(shape)
    expected = predict(name, pixels, tta=tta)
    for axis in (-2, -1):
        found = predict(name, np.flip(pixels, axis), tta=tta)
        np.testing.assert_allclose(np.flip(found, axis), expected, rtol=0, atol=ATOL)
    if tta == 8:
        found = predict(name, pixels.swapaxes(-2, -1), tta=tta).swapaxes(-2, -1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)


@given(which=images, tile=tiles)
@several
def test_computed_lazily_it_is_the_same(
    which: tuple[str, tuple[int, ...]], tile: int
) -> None:
    pytest.importorskip("dask.array")
    name, pixels = which[0], image(which[1])
    options = {"axes": "ZYX", "precision": "fp32", "tile": tile}
    lazy = nu.predict_lazy(model(name), pixels, **options)
    labels = predict(name, pixels, output="labels", tile=tile)
    np.testing.assert_array_equal(lazy, labels)


@pytest.mark.parametrize("out", ["labels.tif", "all.zarr"])
@pytest.mark.parametrize(
    ("name", "shape"), [(PLANES, (3, 70, 90)), (VOLUME, (9, 30, 50))]
)
def test_written_while_it_is_computed_it_is_the_same(
    name: str, shape: tuple[int, ...], out: str, tmp_path: Path
) -> None:
    if out.endswith("zarr"):
        pytest.importorskip("zarr")
    options: dict[str, Any] = {"output": "labels", "tile": 48}
    written = predict(name, image(shape), out=tmp_path / out, **options)
    labels = predict(name, image(shape), **options)
    np.testing.assert_array_equal(np.asarray(written), labels)


@given(which=images, tile=tiles)
@several
def test_labels_are_values_of_the_mask_and_the_most_probable(
    which: tuple[str, tuple[int, ...]], tile: int
) -> None:
    name, pixels = which[0], image(which[1])
    labels, shares = predict(name, pixels, output="both", tile=tile)
    assert labels.shape == pixels.shape
    assert labels.dtype == np.uint8
    values = np.array([0, 7, 255], np.uint8)
    np.testing.assert_array_equal(labels, values[shares.argmax(axis=-3)])
    np.testing.assert_allclose(shares.sum(axis=-3), 1, atol=1e-5)


@given(which=images, tile=tiles)
@several
def test_grey_values_may_be_scaled(
    which: tuple[str, tuple[int, ...]], tile: int
) -> None:
    name, pixels = which[0], image(which[1])
    assume(pixels.std() > 0)
    expected = predict(name, pixels, tile=tile)
    found = predict(name, pixels.astype(np.float32) / 7 - 1000, tile=tile)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
