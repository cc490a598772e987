from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_unet.data import Stack
from napari_unet.data import normalisation as module
from napari_unet.data.normalisation import measure_normalisation


def normalised(pixels: np.ndarray, axes: str) -> np.ndarray:
    """Return all normalised sections ``(N, C, Y, X)``."""
    stack = Stack(pixels, axes)
    normalise = measure_normalisation(stack)
    sections = [normalise(stack.section(index)) for index in range(stack.n_sections)]
    return np.stack(sections)


def test_whole_image_has_mean_0_and_deviation_1() -> None:
    pixels = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], np.uint8)
    stack = Stack(pixels, "ZYX")
    normalise = measure_normalisation(stack)
    assert normalise.mean.ravel().tolist() == [4.5]
    assert normalise.deviation.ravel().tolist() == pytest.approx([np.sqrt(5.25)])
    got = normalised(pixels, "ZYX")
    assert (got.shape, got.dtype) == ((2, 1, 2, 2), np.float32)
    np.testing.assert_allclose(got[:, 0], (pixels - 4.5) / np.sqrt(5.25), rtol=1e-6)


@pytest.mark.parametrize(
    "kind",
    ["bool", "uint8", "int8", "uint16", ">u2", "int32", "float16", "float32", ">f8"],
)
def test_all_number_types(kind: str) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 100, (3, 20, 24)).astype(kind)
    got = normalised(pixels, "ZYX")
    expected = pixels.astype(float)
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(got[:, 0], expected, atol=1e-5)


def test_channels_are_measured_apart() -> None:
    random = np.random.default_rng(0)
    pixels = random.normal([5, 500, -20], [1, 50, 3], (2, 30, 30, 3))
    got = normalised(pixels.astype(np.float32), "ZYXC")
    np.testing.assert_allclose(got.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(got.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_pixels_that_are_not_finite_do_not_count() -> None:
    pixels = np.array([[np.nan, 1, 2, 3], [4, np.inf, 5, -np.inf]], np.float32)
    got = normalised(pixels, "YX")[0, 0]
    finite = np.isfinite(pixels)
    values = pixels[finite]
    np.testing.assert_allclose(
        got[finite], (values - values.mean()) / values.std(), rtol=1e-5
    )
    assert (got[~finite] == 0).all()


@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_constant_image_becomes_0(value: int, kind: str) -> None:
    assert not normalised(np.full((2, 5, 6), value, kind), "ZYX").any()


def test_image_without_any_number_becomes_0() -> None:
    assert not normalised(np.full((5, 6), np.nan, np.float32), "YX").any()


@pytest.mark.parametrize(
    ("kind", "offset"),
    [("uint16", 60000), ("float32", 1e5), ("float64", 1e6), ("int32", 10**6)],
)
def test_small_contrast_far_from_0(kind: str, offset: float) -> None:
    random = np.random.default_rng(0)
    pixels = (offset + random.integers(0, 4, (3, 40, 40))).astype(kind)
    got = normalised(pixels, "ZYX")[:, 0]
    expected = pixels.astype(float) - offset
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(got, expected, atol=1e-2)


@pytest.mark.parametrize("kind", ["int32", "uint32", "float64"])
def test_contrast_that_float32_alone_would_lose(kind: str) -> None:
    random = np.random.default_rng(0)
    steps = random.integers(0, 4, (2, 40, 40))
    got = normalised((2 * 10**9 + steps).astype(kind), "ZYX")[:, 0]
    np.testing.assert_allclose(got, (steps - steps.mean()) / steps.std(), atol=1e-2)


def test_grey_scale_does_not_matter() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 20, 20)).astype(np.uint8)
    one = normalised(pixels, "ZYX")
    other = normalised(257 * pixels.astype(np.uint16), "ZYX")
    np.testing.assert_allclose(one, other, atol=1e-5)


@settings(deadline=None)
@given(
    arrays.arrays(
        np.float32,
        (2, 3, 4),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    )
)
def test_result_is_always_finite(pixels: np.ndarray) -> None:
    got = normalised(pixels, "ZYX")
    assert np.isfinite(got).all()
    assert np.abs(got).max() <= np.sqrt(pixels.size) + 1e-2


def test_sections_of_4_d_stacks_all_count() -> None:
    pixels = np.zeros((2, 2, 4, 4), np.uint8)
    pixels[1] = 2
    assert measure_normalisation(Stack(pixels, "TZYX")).mean.item() == 1


def test_values_too_large_to_be_squared_become_0() -> None:
    pixels = np.array([[1e308, -1e308, 1e308], [1e308, 3.0, 1e200]])
    assert not normalised(pixels, "YX").any()


def test_windows_of_a_section_count_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 9999, (3, 50, 40)).astype(np.uint16)
    monkeypatch.setattr(module, "_WINDOW", 7 * 40)
    monkeypatch.setattr(module, "_PART", 100)
    measured = measure_normalisation(Stack(pixels, "ZYX"))
    assert measured.mean.item() == pytest.approx(pixels.mean(), rel=1e-6)
    assert measured.deviation.item() == pytest.approx(pixels.std(), rel=1e-6)


class Endless:
    """A volume in memory of nothing: each pixel is its own section's number."""

    dtype, ndim = np.dtype("uint16"), 3

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.keys: list[tuple[int, slice, slice]] = []

    def __getitem__(self, key: tuple[int, slice, slice]) -> np.ndarray:
        self.keys.append(key)
        lengths = [part.stop - part.start for part in key[1:]]
        return np.full(lengths, key[0], np.uint16)


@pytest.mark.parametrize(
    "shape",
    [(2000, 4096, 4096), (1, 40000, 40000), (10000, 512, 512), (30, 4000, 9000)],
)
def test_a_large_image_is_measured_by_blocks_from_all_over(
    shape: tuple[int, int, int],
) -> None:
    endless = Endless(*shape)
    measured = measure_normalisation(Stack(endless, "ZYX"))
    sections, rows, columns = shape
    assert measured.mean.item() == pytest.approx((sections - 1) / 2, rel=1e-3)
    assert 0.9 < measured.deviation.item() * np.sqrt(12) / sections < 1.1 or (
        sections == 1
    )
    areas = [(y.stop - y.start) * (x.stop - x.start) for _, y, x in endless.keys]
    assert 0.9 * 2**26 <= sum(areas) <= 1.1 * 2**26
    assert max(areas) <= 2**19
    for axis, length in enumerate((rows, columns), start=1):
        assert min(key[axis].start for key in endless.keys) == 0
        assert max(key[axis].stop for key in endless.keys) == length
    assert len(set(map(str, endless.keys))) == len(endless.keys)


def test_a_sample_leaves_out_what_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALL", 100)
    pixels = np.full((4, 32, 32), np.nan, np.float32)
    pixels[:, ::2] = 3
    pixels[:, ::4] = 1
    measured = measure_normalisation(Stack(pixels, "ZYX"))
    assert (measured.mean.item(), measured.deviation.item()) == (2, 1)
