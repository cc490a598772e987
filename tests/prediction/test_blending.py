"""Tiles of networks that see all of a tile: they overlap and are averaged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_unet.config import ComputeConfig, NetworkConfig
from napari_unet.data import Stack
from napari_unet.networks import build_network
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.sections import predict_sections

if TYPE_CHECKING:
    from napari_unet.prediction.sections import SectionPrediction

FP32 = ComputeConfig("cpu", "fp32")


def predictor(classes: int = 2, exact: bool = False, **options: Any) -> Predictor:
    config = NetworkConfig(1, classes, **{"depth": 2, "width": 2, **options})
    torch.manual_seed(0)
    made = Predictor(build_network(config).eval(), config, FP32)
    made.geometry = replace(made.geometry, exact=exact)
    return made


def sections(
    predictor: Predictor, image: np.ndarray, tile: int
) -> list[SectionPrediction]:
    axes = "ZYX" if image.ndim == 3 else "YX"
    plan = predictor.plan(image.shape, tile)
    assert plan.blended is not predictor.geometry.exact
    results = predict_sections(
        predictor, Stack(image, axes), np.asarray, plan, probabilities=True
    )
    return [each for each in results if not isinstance(each, int)]


def probabilities(predictor: Predictor, image: np.ndarray, tile: int) -> np.ndarray:
    """Shape (classes, …)."""
    found = sections(predictor, image, tile)
    shares = [each.probabilities for each in found if each.probabilities is not None]
    for each, share in zip(found, shares, strict=True):
        np.testing.assert_array_equal(each.labels, share.argmax(0))
    return shares[0] if image.ndim == 2 else np.stack(shares, axis=1)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "dims", "classes"),
    [((150, 211), 2, 2), ((1, 170), 2, 4), ((9, 60, 75), 3, 3)],
)
def test_what_is_constant_stays_so(
    shape: tuple[int, ...], dims: int, classes: int
) -> None:
    constant = predictor(classes, dims=dims)
    logits = torch.linspace(-1, 1, classes)
    constant.network = (
        lambda batch: (  # type: ignore[assignment]
            logits.view(1, -1, *[1] * dims).expand(len(batch), -1, *batch.shape[2:])
        )
    )
    assert len(constant.plan(shape, 64).tiles) > 1
    found = probabilities(constant, noise(*shape), 64)
    expected = torch.softmax(logits, 0).numpy()
    for share, one in zip(found, expected, strict=True):
        np.testing.assert_allclose(share, one, atol=1e-6)


@pytest.mark.parametrize("shape", [(200, 213), (12, 88, 90)])
def test_blended_tiles_are_near_the_whole(
    shape: tuple[int, ...],
) -> None:
    dims = len(shape)
    image = noise(*shape)
    whole = probabilities(predictor(exact=True, dims=dims), image, 4096)
    blended = predictor(dims=dims)
    assert len(blended.plan(shape, 80).tiles) >= 4
    found = probabilities(blended, image, 80)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    error = np.abs(found - whole)
    # Where no window ends, and so no padding is seen, it is the whole.
    assert np.median(error) < 1e-4 * whole.std()
    assert error.max() < 0.5 * whole.std()


def test_tiles_that_differ_as_a_whole_show_no_seam() -> None:
    """Each tile says its own mean, as norms that see all of it make tiles differ."""
    means: list[float] = []

    def mean(batch: torch.Tensor) -> torch.Tensor:
        each = batch.mean(dim=(2, 3), keepdim=True)
        means.extend(each.flatten().tolist())
        return each.expand_as(batch)

    averaging = predictor(1)
    averaging.network = mean  # type: ignore[assignment]
    image = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (40, 1))
    (found,) = sections(averaging, image, 80)
    apart = np.diff(sorted(set(np.round(means, 4)))).max()
    assert apart > 0.1
    steps = np.abs(np.diff(found.labels, axis=1))
    # Windows overlap by the radius, over which one goes linearly over to the next.
    assert steps.max() < 1.1 * apart / averaging.geometry.radius
    assert np.ptp(found.labels) > 0.5


def test_values_of_regression_are_averaged() -> None:
    image = noise(150, 160)
    (whole,) = sections(predictor(1, exact=True), image, 4096)
    (found,) = sections(predictor(1), image, 80)
    assert found.labels.dtype == np.float32
    assert np.median(np.abs(found.labels - whole.labels)) < 0.02 * whole.labels.std()
    assert not np.array_equal(found.labels, whole.labels)


def test_what_crops_is_blended_where_it_answers() -> None:
    image = noise(150, 260)
    whole = probabilities(predictor(exact=True, name="unet-2015"), image, 4096)
    cropping = predictor(name="unet-2015")
    assert len(cropping.plan(image.shape, 140).tiles) > 1
    # No padding is seen anywhere, so that all tiles agree.
    np.testing.assert_allclose(
        probabilities(cropping, image, 140), whole, rtol=0, atol=1e-5
    )
