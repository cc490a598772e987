"""A lazy prediction is the prediction, chunk by chunk."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import torch
import zarr

from napari_unet.config import NetworkConfig
from napari_unet.data import Classes, Stack, write_stack
from napari_unet.data.masks.scale import Scale
from napari_unet.errors import ConfigError, UNetError
from napari_unet.model import Model
from napari_unet.networks import build_network, measure_geometry
from napari_unet.prediction import (
    dask_array,
    engine,
    predict,
    predict_lazy,
    predictor,
)

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(0)
CLASSES = Classes((0, 128, 255))


def model(**options: Any) -> Model:
    torch.manual_seed(0)
    config = NetworkConfig(**{"classes": 3, "depth": 1, "width": 4, **options})
    network = build_network(config).eval()
    if config.classes == 1:
        return Model(network, config, None, scale=Scale(5.0, 2.0))
    return Model(network, config, CLASSES)


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 255, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("network", "shape", "axes", "chunks"),
    [
        ({}, (70, 90), "YX", 6),
        ({"depth": 2}, (2, 90, 60), "ZYX", 8),
        ({"context": 1}, (4, 70, 50), "ZYX", 16),
        ({"channels": 2}, (2, 70, 50), "CYX", 4),
        ({}, (40, 60, 2, 3), "YXTZ", 12),
        ({"dims": 3}, (50, 40, 60), "ZYX", 4),
        ({"dims": 3}, (2, 20, 40, 90), "TZYX", 6),
    ],
)
def test_each_chunk_is_that_part_of_the_prediction(
    network: dict[str, Any], shape: tuple[int, ...], axes: str, chunks: int
) -> None:
    network = model(**network)
    image = noise(*shape)
    options = {"axes": axes, "tile": 48, "precision": "fp32", "device": "cpu"}
    labels = predict(network, image, **options)
    lazily = predict_lazy(network, image, **options)
    assert lazily.shape == labels.shape
    assert lazily.dtype == labels.dtype == np.uint8
    assert lazily.npartitions >= chunks
    np.testing.assert_array_equal(lazily.compute(), labels)
    options["output"] = "probabilities"
    shares = predict_lazy(network, image, **options)
    expected = predict(network, image, **options)
    assert shares.shape == expected.shape
    np.testing.assert_allclose(shares.compute(), expected, rtol=0, atol=1e-5)


def test_only_what_is_needed_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(5, 200, 200)
    network = model()
    lazily = predict_lazy(network, image, tile=64, precision="fp32")
    asked = []
    predicted = dask_array.LazyPrediction.__call__
    monkeypatch.setattr(
        dask_array.LazyPrediction,
        "__call__",
        lambda self, region: asked.append(region.bounds) or predicted(self, region),
    )
    corner = lazily[3, :10, :10].compute()
    assert [bounds[0] for bounds in asked] == [(3, 4)]
    whole = predict(network, image, precision="fp32")
    np.testing.assert_array_equal(corner, whole[3, :10, :10])


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_any_scheduler_computes_it(scheduler: str, tmp_path: Path) -> None:
    image = noise(3, 60, 80)
    network = model()
    path = tmp_path / "image.tif"
    write_stack(path, image, shape=image.shape, axes="ZYX", dtype="uint8")
    whole = predict(network, image, precision="fp32")
    for given in (image, path):
        lazily = predict_lazy(network, given, precision="fp32")
        computed = lazily.compute(scheduler=scheduler, num_workers=2)
        np.testing.assert_array_equal(computed, whole)


@pytest.mark.parametrize("kind", ["zarr", "path"])
def test_another_process_opens_the_file_and_the_network_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise(4, 60, 80)
    path = tmp_path / "image.tif"
    write_stack(path, pixels, shape=pixels.shape, axes="ZYX", dtype="uint8")
    image: Any = path
    if kind == "zarr":
        chunks = (1, 32, 32)
        image = zarr.create_array(tmp_path / "image.zarr", data=pixels, chunks=chunks)
    lazily = predict_lazy(model(), image, axes="ZYX", tile=48, precision="fp32")
    graph = pickle.dumps(lazily)
    whole = predict(model(), pixels, precision="fp32", tile=48)
    dask_array._READY.clear()  # as in a process that has just begun
    made = []
    prepare = dask_array.prepare
    monkeypatch.setattr(
        dask_array,
        "prepare",
        lambda *args, **rest: made.append(1) or prepare(*args, **rest),
    )
    monkeypatch.setattr(engine, "measure_normalisation", lambda stack: 1 / 0)
    np.testing.assert_array_equal(pickle.loads(graph).compute(), whole)
    assert made == [1]


def test_a_region_is_that_part_of_the_whole() -> None:
    image = noise(4, 90, 70)
    network = model(depth=2)
    whole = predict(network, image, precision="fp32")
    lazily = predict_lazy(
        network, image, region="1:3,20:80,5:66", tile=64, precision="fp32"
    )
    assert lazily.shape == (2, 60, 61)
    np.testing.assert_array_equal(lazily.compute(), whole[1:3, 20:80, 5:66])


def test_blended_chunks_are_the_blended_prediction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        predictor,
        "measure_geometry",
        lambda config: replace(measure_geometry(config), exact=False),
    )
    assert_blended(tile=48)


def test_a_network_that_sees_too_far_is_blended_as_ever() -> None:
    assert_blended(depth=3, memory="1MB")


def assert_blended(depth: int = 1, **options: Any) -> None:
    network = model(depth=depth)
    image = noise(2, 150, 120)
    options |= {"precision": "fp32", "output": "probabilities"}
    lazily = predict_lazy(network, image, **options)
    assert lazily.npartitions > 2
    np.testing.assert_allclose(
        lazily.compute(), predict(network, image, **options), rtol=0, atol=1e-5
    )


def test_values_of_regression_are_floats() -> None:
    network = model(classes=1)
    image = noise(2, 60, 50)
    lazily = predict_lazy(network, image, tile=48)
    assert lazily.dtype == np.float32
    expected = predict(network, image, tile=48)
    np.testing.assert_allclose(lazily.compute(), expected, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="no probabilities"):
        predict_lazy(network, image, output="probabilities")


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="labels or probabilities"):
        predict_lazy(model(), noise(40, 40), output="objects")  # type: ignore[arg-type]
    monkeypatch.setitem(__import__("sys").modules, "dask.array", None)
    with pytest.raises(UNetError, match=r"pip install dask"):
        predict_lazy(model(), noise(40, 40))


def test_dask_in_dask_out() -> None:
    import dask.array as da

    image = noise(3, 60, 80)
    given = da.from_array(image, chunks=(1, 30, 80))
    lazily = predict_lazy(model(), Stack(given, "ZYX"), precision="fp32", tile=48)
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(
            lazily.compute(), predict(model(), image, precision="fp32", tile=48)
        )
