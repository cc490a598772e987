from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.data import Stack
from napari_unet.data.rescale import Resampled, nearest, resample, weigh


def to(length: int, *pixels: float) -> list[float]:
    got: list[float] = Resampled(np.array(pixels, np.float32), (length,))[:].tolist()
    return got


def test_fewer_pixels_are_means_over_their_extent() -> None:
    assert to(2, 1, 3, 5, 9) == [2, 7]
    # Of three pixels each takes one and a half.
    assert to(2, 3, 6, 9) == pytest.approx([(3 + 6 / 2) / 1.5, (6 / 2 + 9) / 1.5])
    assert to(1, 1, 2, 6) == pytest.approx([3])


def test_more_pixels_are_interpolated_between_centres() -> None:
    assert to(4, 0, 8) == [0, 2, 6, 8]
    assert to(6, 0, 6, 12) == pytest.approx([0, 1.5, 4.5, 7.5, 10.5, 12])
    assert to(3, 5) == [5, 5, 5]


def test_as_many_pixels_are_the_same() -> None:
    assert to(3, 1, 7, 2) == [1, 7, 2]


def test_a_grid_of_stripes_does_not_flicker_when_it_is_shrunk() -> None:
    stripes = np.tile(np.float32([0, 1]), 32)
    assert Resampled(stripes, (16,))[:].tolist() == [0.5] * 16


def test_what_is_no_number_spoils_only_what_it_is_part_of() -> None:
    got = np.array(to(4, np.nan, 2, 4, 6, 8, 8, 8, 8))
    assert np.isnan(got[0]) and got[1:].tolist() == [5, 8, 8]
    doubled = np.array(to(6, 1, np.nan, 1))
    assert np.isfinite(doubled).tolist() == [True, False, False, False, False, True]


def test_the_nearest_pixel_is_the_one_that_holds_the_centre() -> None:
    assert nearest(2, 4, np.arange(4)).tolist() == [0, 0, 1, 1]
    assert nearest(3, 2, np.arange(2)).tolist() == [0, 2]
    assert nearest(5, 5, np.arange(5)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("uint8", "f4"), (">u2", "f4"), (">f4", "f4"), ("int32", "f8"), ("bool", "f4")],
)
def test_types_hold_the_values(kind: str, expected: str) -> None:
    pixels = np.array([[0, 1], [1, 1]]).astype(kind)
    got = Resampled(pixels, (1, 2))
    assert got.dtype == got[:].dtype == np.dtype(expected)
    assert got[:].tolist() == [[0.5, 1]]


def test_a_stack_keeps_its_extent_and_reads_nothing_yet() -> None:
    class Forbidden:
        shape, dtype, ndim = (6, 8, 3), np.dtype("u1"), 3

        def __getitem__(self, key: Any) -> Any:
            raise AssertionError("read")

    stack = Stack(Forbidden(), "ZYX", {"Z": 50.0, "X": 4.0}, "nm")
    coarse = resample(stack, {"Y": 4, "X": 6})
    assert (coarse.shape, coarse.unit) == ((6, 4, 6), "nm")
    assert coarse.pixel_size == {"Z": 50, "X": 2}


def indices(length: int) -> st.SearchStrategy[int | slice]:
    return st.integers(-length, length - 1) | st.slices(length)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_window_is_a_crop_of_the_whole(data: st.DataObject) -> None:
    old = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    new = data.draw(st.tuples(*[st.integers(1, 20)] * 3))
    key = tuple(data.draw(indices(length)) for length in new)
    pixels = np.random.default_rng(0).random(old, np.float32)
    lazy = Resampled(pixels, new)
    got = lazy[key]
    assert np.array_equal(got, lazy[:][key])  # bit by bit
    assert np.shape(got) == np.empty(new)[key].shape


@given(st.integers(1, 50), st.integers(1, 50))
def test_shares_are_a_whole_and_keep_a_constant(old: int, new: int) -> None:
    weights = weigh(old, new, np.arange(new))
    np.testing.assert_allclose(weights.share.sum(axis=1), 1)
    assert (weights.share >= 0).all()
    assert weights.index.min() >= 0 and weights.index.max() < old
    if new < old:  # each old pixel counts as much as any other
        counted = np.bincount(weights.index.ravel(), weights.share.ravel(), old)
        np.testing.assert_allclose(counted, new / old)
    else:  # a ramp stays a ramp between the centres
        centres = (np.arange(new) + 0.5) * old / new - 0.5
        ramp = (weights.index * weights.share).sum(axis=1)
        np.testing.assert_allclose(ramp, np.clip(centres, 0, old - 1), atol=1e-9)


@given(st.integers(1, 30), st.integers(1, 30))
def test_the_nearest_pixel_is_among_those_weighed(old: int, new: int) -> None:
    pixels = np.arange(new)
    weights = weigh(old, new, pixels)
    found = nearest(old, new, pixels)
    assert (weights.index.min(axis=1) <= found).all()
    assert (found <= weights.index.max(axis=1)).all()
