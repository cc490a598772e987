"""What comes of images that are not as they should be: numbers, or a clear error."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import torch
import zarr

from napari_unet import predict
from napari_unet.cli import main
from napari_unet.config import NetworkConfig
from napari_unet.data import Classes
from napari_unet.errors import ModelError, StackFormatError
from napari_unet.model import Model
from napari_unet.networks import build_network

if TYPE_CHECKING:
    from pathlib import Path


def model(dims: int = 2) -> Model:
    torch.manual_seed(0)
    config = NetworkConfig(depth=1, width=2, dims=dims)
    return Model(build_network(config).eval(), config, Classes((0, 255), ("0", "255")))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def check(pixels: np.ndarray, dims: int = 2) -> np.ndarray:
    """Predict in tiles; return probabilities, which are shares of each pixel."""
    labels, shares = predict(
        model(dims), pixels, output="both", tile=16, precision="fp32"
    )
    assert set(np.unique(labels)) <= {0, 255}
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(axis=-3), 1, atol=1e-5)
    return shares


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_do_not_reach_far(value: float, dims: int) -> None:
    pixels = noise(4, 20, 40)
    broken = pixels.copy()
    broken[:, 5:7, 3:5] = value
    # Pixels one deviation above and below the mean leave both of them as they are.
    known = pixels[np.isfinite(broken)]
    mended = pixels.copy()
    mended[:, 5, 3:5] = known.mean(dtype=float) + known.std(dtype=float)
    mended[:, 6, 3:5] = known.mean(dtype=float) - known.std(dtype=float)
    got, same = check(broken, dims), check(mended, dims)
    np.testing.assert_allclose(got[..., 20:], same[..., 20:], atol=1e-5)
    assert np.abs(got[..., 5:7, 3:5] - same[..., 5:7, 3:5]).max() > 1e-3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_section_without_any_number_is_predicted_all_the_same(value: float) -> None:
    pixels = noise(3, 20, 24)
    pixels[1] = value
    shares = check(pixels)
    inner = shares[1, :, 8:12, 8:12]  # away from the zeros around the image
    assert np.ptp(inner, axis=(1, 2)).max() < 1e-6


def test_an_image_without_any_number_is_predicted_all_the_same() -> None:
    check(np.full((2, 20, 24), np.nan, np.float32))


@pytest.mark.parametrize("kind", ["uint8", "float32", "int64", "bool"])
def test_a_constant_image_is_predicted_as_one_of_zeros(kind: str) -> None:
    ones = check(np.ones((2, 20, 24), kind))
    np.testing.assert_array_equal(ones, check(np.zeros((2, 20, 24), np.uint8)))


def test_a_constant_section_among_others_is_predicted() -> None:
    pixels = noise(3, 20, 24)
    pixels[1] = 5
    check(pixels)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1, 1), (2, 1, 40), (2, 40, 1), (1, 3, 5)]
)
def test_the_smallest_images_are_predicted(shape: tuple[int, ...]) -> None:
    check(noise(*shape))


@pytest.mark.parametrize("shape", [(0, 8), (3, 0, 8), (0, 8, 8)])
def test_an_image_without_pixels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StackFormatError, match="holds no pixels"):
        predict(model(), np.zeros(shape))


def test_other_channels_are_refused() -> None:
    with pytest.raises(ModelError, match=r"2 channel\(s\).*expects 1"):
        predict(model(), noise(2, 20, 24), axes="CYX")


@pytest.mark.parametrize("kind", ["zarr", "tif"])
def test_a_file_that_is_damaged_in_the_middle_ends_the_prediction(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"brain.{kind}"
    pixels = np.random.default_rng(0).integers(0, 255, (4, 32, 32), np.uint8)
    if kind == "zarr":
        array = zarr.create_array(
            path, shape=pixels.shape, chunks=(1, 16, 16), dtype="u1"
        )
        array[:] = pixels
        chunk = path / "c" / "2" / "1" / "1"
        os.truncate(chunk, chunk.stat().st_size // 2)
    else:
        tifffile.imwrite(path, pixels, compression="zlib", photometric="minisblack")
        with tifffile.TiffFile(path) as file:
            start = file.pages[2].dataoffsets[0]
        raw = bytearray(path.read_bytes())
        raw[start : start + 20] = b"\xff" * 20
        path.write_bytes(raw)
    saved = model().save(tmp_path / "m.safetensors")
    out = tmp_path / "out"
    assert main(["predict", str(saved), str(path), "--out", str(out), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert f"brain.{kind} cannot be read" in said and "copy it again" in said
    assert not out.exists() or not list(out.iterdir())
