"""Images as they should not be: a clear error, or a result that can be told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.config import NetworkConfig
from napari_unet.data import Classes
from napari_unet.errors import ModelError, StackFormatError
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction import predict


def model(**shape: int) -> Model:
    config = NetworkConfig(**{"depth": 1, "width": 2, **shape})
    torch.manual_seed(0)
    return Model(build_network(config).eval(), config, Classes((0, 255)))


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_count_as_the_mean(hole: float) -> None:
    image = np.random.default_rng(0).normal(100, 20, (2, 60, 70)).astype(np.float32)
    image[0, 20:30, 20:30] = np.nan
    image[1, 5, 7] = hole
    filled = np.where(np.isfinite(image), image, np.nan)
    filled = np.where(np.isfinite(image), image, np.nanmean(filled, dtype=np.float64))
    found, expected = (
        predict(model(), each, output="probabilities", precision="fp32", tile=40)
        for each in (image, filled.astype(np.float32))
    )
    assert np.isfinite(found).all()
    # The mean counts in the deviation of the one and not of the other: a little.
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_an_image_of_one_value_is_predicted(value: float) -> None:
    shares = predict(
        model(),
        np.full((2, 40, 44), value, np.float32),
        output="probabilities",
        precision="fp32",
    )
    assert shares.shape == (2, 2, 40, 44)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    # Far from the border every pixel sees the same.
    assert np.ptp(shares[:, :, 16:24, 16:24], axis=(2, 3)).max() < 1e-5


@pytest.mark.parametrize("shape", [(0, 20, 20), (3, 0, 20), (3, 20, 0)])
def test_an_image_without_pixels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StackFormatError, match="holds no pixels"):
        predict(model(), np.zeros(shape, np.uint8))


def test_other_channels_are_refused() -> None:
    with pytest.raises(ModelError, match=r"3 channel\(s\).*model expects 2"):
        predict(model(channels=2), np.zeros((3, 20, 20), np.uint8), axes="CYX")
