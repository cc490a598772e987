from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.prediction.plan import MARGIN, mirror, plan_axis, plan_tiles

SHAPES = [(1, 1), (1, 70), (100, 100), (132, 300), (511, 513), (7, 3)]


def rounded_up(value: int, stride: int) -> int:
    return -(-value // stride) * stride


@settings(deadline=None)
@given(
    length=st.integers(1, 700),
    depth=st.integers(1, 6),
    radius=st.integers(1, 120),
    tile=st.integers(16, 800),
)
def test_spans_keep_the_rules_of_exact_tiling(
    length: int, depth: int, radius: int, tile: int
) -> None:
    stride = 2**depth
    spans = plan_axis(length, stride, radius, tile)
    canvas = rounded_up(length + 2 * MARGIN, stride)
    smallest = stride + 2 * rounded_up(radius, stride)
    painted = np.zeros(length, int)
    for span in spans:
        painted[span.core] += 1
        window = span.last - span.first
        assert (span.first + MARGIN) % stride == 0
        assert window % stride == 0
        assert window <= max(tile, min(smallest, canvas))
        assert span.first >= -MARGIN
        assert span.last <= canvas - MARGIN
        # The core's own blocks of the grid, and what the network sees around them.
        start = (span.start + MARGIN) // stride * stride - MARGIN
        stop = rounded_up(span.stop + MARGIN, stride) - MARGIN
        assert span.first <= max(start - radius, -MARGIN)
        assert span.last >= min(stop + radius, canvas - MARGIN)
        local = span.core_in_window
        assert (local.start, local.stop) == (
            span.start - span.first,
            span.stop - span.first,
        )
    assert (painted == 1).all()
    assert len({span.last - span.first for span in spans}) == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tile", [16, 100, 257, 5000])
def test_every_pixel_is_written_once(shape: tuple[int, int], tile: int) -> None:
    plan = plan_tiles(shape, 8, 50, tile)
    painted = np.zeros(shape, int)
    for each in plan.tiles:
        painted[each.rows.core, each.columns.core] += 1
        assert each.rows.last - each.rows.first == plan.window[0]
        assert each.columns.last - each.columns.first == plan.window[1]
    assert (painted == 1).all()


def test_one_tile_when_the_canvas_fits() -> None:
    plan = plan_tiles((100, 40), 16, 106, 128)
    assert len(plan.tiles) == 1
    assert plan.window == (112, 48)  # 100 + 8 and 40 + 8, on the grid of 16


def test_fewest_tiles_by_hand() -> None:
    # Canvas 104 + 8 = 112; halo 8; windows of 56: cores of 40, 3 of them.
    spans = plan_axis(104, 4, 8, 56)
    assert [(s.start, s.stop) for s in spans] == [(0, 36), (36, 76), (76, 104)]
    assert [(s.first, s.last) for s in spans] == [(-4, 52), (28, 84), (52, 108)]


@settings(deadline=None)
@given(length=st.integers(1, 30), before=st.integers(0, 80), after=st.integers(0, 80))
def test_mirror_is_reflection(length: int, before: int, after: int) -> None:
    got = mirror(-before, length + after, length)
    mode = "reflect" if length > 1 else "edge"
    expected = np.pad(np.arange(length), (before, after), mode=mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(got, expected)
