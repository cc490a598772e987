"""What is known of a prediction, at several resolutions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import UNetError
from napari_unet.plugin.look import levels as lazy_levels
from napari_unet.plugin.look.levels import Levels

UINT8 = np.dtype(np.uint8)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_levels, "BLOCK", 16)


def test_each_level_has_every_other_row_and_column_of_the_one_before() -> None:
    levels = Levels((3, 70, 41), UINT8, 9)
    assert [each.shape for each in levels.levels] == [
        (3, 70, 41),
        (3, 35, 21),
        (3, 18, 11),
        (3, 9, 6),
    ]
    whole = np.random.default_rng(0).integers(0, 9, (3, 70, 41)).astype(np.uint8)
    levels.put(((0, 3), (0, 70), (0, 41)), whole)
    for power, level in enumerate(levels.levels):
        expected = whole[:, :: 2**power, :: 2**power]
        np.testing.assert_array_equal(level[:], expected)
        np.testing.assert_array_equal(level[1:, 2:5][0, ..., 3], expected[1, 2:5, 3])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pieces_come_together_and_the_rest_is_unknown(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, n)) for n in (3, 60, 60))
    levels = Levels(shape, UINT8, 255, order=(1, 0, 2))
    whole = np.arange(math.prod(shape)).reshape(shape).astype(np.uint8) % 250
    expected = np.full(shape, 255, np.uint8)
    for _ in range(data.draw(st.integers(1, 3))):
        starts = [data.draw(st.integers(0, length - 1)) for length in shape]
        bounds = [
            (start, data.draw(st.integers(start + 1, length)))
            for start, length in zip(starts, shape, strict=True)
        ]
        box = tuple(slice(*each) for each in bounds)
        levels.put(bounds, whole[box])
        expected[box] = whole[box]
    for level in levels.levels:
        sample = expected[:, :: level.stride, :: level.stride].transpose(1, 0, 2)
        assert level.shape == sample.shape
        np.testing.assert_array_equal(level[...], sample)
        np.testing.assert_array_equal(level[:, :1, :][:, 0], sample[:, 0])


def test_tiles_in_view_of_which_something_is_unknown_come_nearest_first() -> None:
    levels = Levels((2, 100, 100), UINT8, 9)
    cuts = [[0, 1, 2], [0, 30, 60, 100], [0, 50, 100]]
    view = ((1, 2), (20, 70), (0, 60))
    tiles = levels.missing(0, view, cuts)
    assert tiles == [
        ((1, 2), (30, 60), (0, 50)),
        ((1, 2), (0, 30), (0, 50)),
        ((1, 2), (60, 100), (0, 50)),
        ((1, 2), (30, 60), (50, 100)),
        ((1, 2), (0, 30), (50, 100)),
        ((1, 2), (60, 100), (50, 100)),
    ]
    levels.put(tiles[0], np.zeros((1, 30, 50), np.uint8))
    assert levels.missing(0, view, cuts) == tiles[1:]
    levels.put(((1, 2), (0, 25), (0, 50)), np.zeros((1, 25, 50), np.uint8))
    assert tiles[1] in levels.missing(0, view, cuts)  # in part
    assert levels.missing(0, ((0, 1), (35, 40), (10, 20)), cuts) == [
        ((0, 1), (30, 60), (0, 50))
    ]


def test_a_tile_that_falls_between_the_pixels_of_a_level_is_not_asked_for() -> None:
    levels = Levels((128, 128), np.dtype(np.float32), math.nan)
    assert levels.levels[-1].stride == 8
    cuts = [[0, 3, 6, 128], [0, 128]]
    tiles = levels.missing(3, ((0, 16), (0, 16)), cuts)
    assert tiles == [((6, 128), (0, 128)), ((0, 3), (0, 128))]
    levels.put(tiles[0], np.ones((122, 128), np.float32), 3)
    levels.put(tiles[1], np.ones((3, 128), np.float32), 3)
    assert not levels.missing(3, ((0, 16), (0, 16)), cuts)
    assert np.isnan(levels.levels[0][:]).all()  # finer levels were left out


def test_memory_is_bounded_by_what_was_seen_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lazy_levels, "KEPT", 20 * 16 * 16)
    levels = Levels((100, 32, 32), UINT8, 9)
    for section in range(100):
        box = ((section, section + 1), (0, 32), (0, 32))
        levels.put(box, np.zeros((1, 32, 32), np.uint8))  # 4 blocks, and 1 above
        np.asarray(levels.levels[0][0])  # the first is looked at again and again
    known = [not (np.asarray(levels.levels[0][i]) == 9).any() for i in range(100)]
    assert known == [True] + [False] * 96 + [True] * 3


def test_the_smallest_level_of_one_section_is_one_array_that_fills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lazy_levels, "KEPT", 0)
    levels = Levels((30, 20), UINT8, 9)
    kept = np.asarray(levels.levels[-1])  # as napari keeps it
    assert kept.shape == (15, 10)
    levels.put(((0, 30), (0, 20)), np.zeros((30, 20), np.uint8))
    assert not kept.any()
    np.testing.assert_array_equal(levels.levels[-1][:], kept)
    with pytest.raises(UNetError, match="only where it is looked at"):
        np.asarray(levels.levels[0])
    with pytest.raises(UNetError, match="only where it is looked at"):
        np.asarray(Levels((2, 30, 20), UINT8, 9).levels[-1])
