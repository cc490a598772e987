from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.config import NetworkConfig
from napari_unet.prediction import plan as planning
from napari_unet.prediction import spans as axis_planning
from napari_unet.prediction.plan import MARGIN, Plan, best_window, mirrored
from napari_unet.prediction.spans import Axis, Span, mirror

if TYPE_CHECKING:
    from collections.abc import Sequence

SHAPES = [(1, 1), (1, 70), (100, 100), (132, 300), (511, 513), (7, 3)]


def plan_axis(
    length: int, stride: int, radius: int, tile: int, margin: int, remainder: int = 0
) -> list[Span]:
    axis = Axis(length, stride, radius, margin, remainder, (0, length))
    return axis_planning.plan_axis(axis, tile)


def plan_tiles(
    shape: Sequence[int],
    strides: Sequence[int],
    radii: Sequence[int],
    tile: int,
    margins: Sequence[int],
    remainders: Sequence[int] = (0, 0, 0),
    *,
    blended: bool = False,
) -> Plan:
    return planning.plan_tiles(
        axes_of(shape, strides, radii, margins, remainders), tile, blended=blended
    )


def axes_of(
    shape: Sequence[int],
    strides: Sequence[int],
    radii: Sequence[int],
    margins: Sequence[int],
    remainders: Sequence[int] = (0, 0, 0),
) -> list[Axis]:
    rules = zip(shape, strides, radii, margins, remainders, strict=False)
    return [Axis(*each, (0, each[0])) for each in rules]


def rounded_up(value: int, stride: int) -> int:
    return -(-value // stride) * stride


@settings(deadline=None)
@given(
    length=st.integers(1, 700),
    depth=st.integers(1, 6),
    radius=st.integers(1, 120),
    tile=st.integers(16, 800),
    margin=st.integers(0, 9),
)
def test_spans_keep_the_rules_of_exact_tiling(
    length: int, depth: int, radius: int, tile: int, margin: int
) -> None:
    stride = 2**depth
    spans = plan_axis(length, stride, radius, tile, margin)
    canvas = rounded_up(length + 2 * margin, stride)
    smallest = stride + 2 * rounded_up(radius, stride)
    painted = np.zeros(length, int)
    for span in spans:
        painted[span.core] += 1
        window = span.last - span.first
        assert (span.first + margin) % stride == 0
        assert window % stride == 0
        assert window <= max(tile, min(smallest, canvas))
        assert span.first >= -margin
        assert span.last <= canvas - margin
        # The core's own blocks of the grid, and what the network sees around them.
        start = (span.start + margin) // stride * stride - margin
        stop = rounded_up(span.stop + margin, stride) - margin
        assert span.first <= max(start - radius, -margin)
        assert span.last >= min(stop + radius, canvas - margin)
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
    plan = plan_tiles(shape, (8, 8), (50, 50), tile, (4, 4))
    painted = np.zeros(shape, int)
    for each in plan.tiles:
        painted[each.core] += 1
        assert tuple(span.last - span.first for span in each.spans) == plan.window
    assert (painted == 1).all()


@settings(deadline=None, max_examples=50)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 90), st.integers(1, 90)),
    levels=st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(1, 4)),
    radii=st.tuples(st.integers(0, 9), st.integers(1, 40), st.integers(1, 40)),
    tile=st.integers(16, 100),
)
def test_every_voxel_is_written_once_and_each_axis_keeps_its_own_rules(
    shape: tuple[int, ...],
    levels: tuple[int, ...],
    radii: tuple[int, ...],
    tile: int,
) -> None:
    strides, margins = [2**level for level in levels], (1, 4, 4)
    plan = plan_tiles(shape, strides, radii, tile, margins)
    painted = np.zeros(shape, int)
    for each in plan.tiles:
        painted[each.core] += 1
    assert (painted == 1).all()
    for axis, rules in enumerate(zip(shape, strides, radii, strict=True)):
        alone = plan_axis(*rules, tile, margins[axis])
        assert {each.spans[axis] for each in plan.tiles} == set(alone)
        assert plan.window[axis] == alone[0].last - alone[0].first


@pytest.mark.parametrize(
    ("dims", "anisotropy", "margins"),
    [
        (2, 1, [MARGIN] * 2),
        (3, 1, [MARGIN] * 3),
        (3, 0.5, [MARGIN] * 3),
        (3, 2, [2, MARGIN, MARGIN]),
        (3, 10, [1, MARGIN, MARGIN]),
    ],
)
def test_as_far_is_mirrored_along_all_axes(
    dims: int, anisotropy: float, margins: list[int]
) -> None:
    assert mirrored(NetworkConfig(dims=dims, anisotropy=anisotropy)) == margins


def test_one_tile_when_the_canvas_fits() -> None:
    plan = plan_tiles((100, 40), (16, 16), (106, 106), 128, (4, 4))
    assert len(plan.tiles) == 1
    assert plan.window == (112, 48)  # 100 + 8 and 40 + 8, on the grid of 16


def test_fewest_tiles_by_hand() -> None:
    # Canvas 104 + 8 = 112; halo 8; between the outer halos 96, in 3 cores of 32.
    spans = plan_axis(104, 4, 8, 56, 4)
    assert [(s.start, s.stop) for s in spans] == [(0, 36), (36, 68), (68, 104)]
    assert [(s.first, s.last) for s in spans] == [(-4, 44), (28, 76), (60, 108)]


@settings(deadline=None)
@given(length=st.integers(1, 30), before=st.integers(0, 80), after=st.integers(0, 80))
def test_mirror_is_reflection(length: int, before: int, after: int) -> None:
    got = mirror(-before, length + after, length)
    mode = "reflect" if length > 1 else "edge"
    expected = np.pad(np.arange(length), (before, after), mode=mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(got, expected)


@settings(deadline=None)
@given(length=st.integers(1, 700), depth=st.integers(1, 5), tile=st.integers(16, 900))
def test_what_is_not_padded_answers_for_the_centre_of_its_windows(
    length: int, depth: int, tile: int
) -> None:
    # Two convolutions a level cost 4 pixels of that level, on the way down and up.
    stride = 2**depth
    crop = (4 * stride + 8 * (stride - 1)) // 2
    remainder = -4 % stride
    spans = plan_axis(length, stride, crop + 4, tile, crop, remainder)
    painted = np.zeros(length, int)
    for span in spans:
        painted[span.core] += 1
        assert (span.last - span.first) % stride == remainder
        assert (span.first + crop) % stride == 0
        assert span.first + crop <= span.start < span.stop <= span.last - crop
    assert (painted == 1).all()
    assert len({span.last - span.first for span in spans}) == 1


@settings(deadline=None)
@given(
    length=st.integers(1, 700),
    depth=st.integers(0, 5),
    radius=st.integers(1, 120),
    tile=st.integers(16, 900),
    margin=st.integers(0, 9),
    remainder=st.integers(0, 3),
)
def test_blended_tiles_overlap_on_the_grid_and_weigh_1_together(
    length: int, depth: int, radius: int, tile: int, margin: int, remainder: int
) -> None:
    stride = 2**depth
    plan = plan_tiles(
        (length,), [stride], [radius], tile, [margin], [remainder], blended=True
    )
    sums = np.zeros(length)
    for each in plan.tiles:
        (span,) = each.spans
        assert span.last - span.first == plan.window[0]
        assert (span.first + margin) % stride == 0
        assert (plan.window[0] - remainder) % stride == 0
        assert span.first + margin <= span.start < span.stop <= span.last - margin
        assert (each.weights > 0).all()
        sums[each.core] += each.weights
    np.testing.assert_allclose(sums, 1, atol=1e-6)
    for one, other in itertools.pairwise(tile.spans[0] for tile in plan.tiles):
        assert one.first < other.first
        assert one.stop - other.start >= radius
    smallest = 2 * rounded_up(radius + 2 * margin, stride) + remainder
    assert plan.window[0] <= max(tile, smallest)


@settings(deadline=None, max_examples=50)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 90), st.integers(1, 90)),
    radii=st.tuples(st.integers(1, 9), st.integers(1, 30), st.integers(1, 30)),
    tile=st.integers(16, 100),
)
def test_blended_weights_of_volumes_sum_to_1(
    shape: tuple[int, ...], radii: tuple[int, ...], tile: int
) -> None:
    plan = plan_tiles(shape, (1, 4, 4), radii, tile, (1, 4, 4), blended=True)
    sums = np.zeros(shape)
    for each in plan.tiles:
        sums[each.core] += each.weights
    np.testing.assert_allclose(sums, 1, atol=1e-6)


def test_blended_weights_by_hand() -> None:
    # Canvas 24; windows of 16 that overlap by 4 + 2 * 2 = 8, of which 4 are used.
    plan = plan_tiles((20,), (4,), (4,), 16, (2,), blended=True)
    spans = [each.spans[0] for each in plan.tiles]
    assert [(s.first, s.start, s.stop, s.last) for s in spans] == [
        (-2, 0, 12, 14),
        (6, 8, 20, 22),
    ]
    falling = [0.8, 0.6, 0.4, 0.2]
    np.testing.assert_allclose(plan.tiles[0].weights, [1] * 8 + falling, atol=1e-6)
    np.testing.assert_allclose(
        plan.tiles[1].weights, [*falling[::-1], *[1] * 8], atol=1e-6
    )


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 300)),
    dims=st.integers(2, 3),
    radius=st.integers(1, 30),
    pixels=st.integers(2000, 200_000),
    blended=st.booleans(),
)
def test_no_other_window_of_as_much_memory_computes_fewer_pixels(
    shape: tuple[int, ...], dims: int, radius: int, pixels: int, blended: bool
) -> None:
    axes = axes_of(shape[-dims:], (4,) * 3, (radius,) * 3, (4,) * 3)
    window = best_window(axes, pixels, longest=None, blended=blended)
    if window is None:
        smallest = planning.plan_tiles(axes, 1, blended=blended).window
        assert math.prod(smallest) > pixels
        return
    assert math.prod(window) <= pixels

    def cost(plan: Plan) -> int:
        return len(plan.tiles) * (math.prod(plan.window) + planning.START)

    best = planning.plan_tiles(axes, window, blended=blended)
    assert best.window == window
    assert best.least <= len(best.tiles) * math.prod(best.window)
    assert best.twice >= 0
    for edge in (24, 40, 64, 100, 160, 400):
        other = planning.plan_tiles(axes, edge, blended=blended)
        if math.prod(other.window) <= pixels:
            assert cost(best) <= cost(other)


def test_a_section_that_fits_is_one_tile_and_a_longest_edge_is_kept() -> None:
    axes = axes_of((512, 512), (16, 16), (106, 106), (4, 4))
    assert best_window(axes, 528**2, longest=None) == (528, 528)
    assert best_window(axes, 528**2 - 1, longest=None) != (528, 528)
    window = best_window(axes, 10**9, longest=400)
    assert window is not None
    assert max(window) <= 400


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 700),
    depth=st.integers(1, 5),
    radius=st.integers(1, 120),
    margin=st.integers(0, 9),
    blended=st.booleans(),
)
def test_the_windows_looked_at_are_those_that_differ(
    length: int, depth: int, radius: int, margin: int, blended: bool
) -> None:
    axis = Axis(length, 2**depth, radius, margin, 0, (0, length))
    limits = axis.limits(blended=blended)
    assert limits == sorted(set(limits), reverse=True)
    cut = axis_planning.plan_blended_axis if blended else axis_planning.plan_axis
    counts = {len(cut(axis, tile)) for tile in range(2**depth, length + 300)}
    assert {len(cut(axis, tile)) for tile in limits} >= {1, max(counts)}
