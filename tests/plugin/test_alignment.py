from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.errors import MaskError
from napari_unet.plugin.evaluate.alignment import Overlap, find_overlap
from napari_unet.plugin.layers import stack_from_layer


def layer(name: str, shape: tuple[int, ...], **place: Any) -> Labels:
    return Labels(np.zeros(shape, np.uint8), name=name, **place)


def overlap(first: Labels, second: Labels) -> Overlap:
    stacks = stack_from_layer(first), stack_from_layer(second)
    return find_overlap(first, second, stacks, stacks[0].section_axes)


def test_layers_that_lie_on_each_other_are_whole() -> None:
    place = {"scale": (50, 4, 4), "translate": (100, 8, -4)}
    both = [layer(name, (3, 8, 9), **place) for name in "ab"]
    assert overlap(*both) == Overlap()


def test_what_they_share_is_counted_in_the_pixels_of_both() -> None:
    first = layer("a", (2, 8, 9), scale=(5, 2, 2), translate=(10, -4, 6))
    second = layer("b", (3, 8, 9), scale=(5, 2, 2))
    shared = overlap(first, second)
    assert shared.first == [(0, 1), (2, 8), (0, 6)]
    assert shared.second == [(2, 3), (0, 6), (3, 9)]
    assert "Z 2 to 2, Y 0 to 5, X 3 to 8 of the truth" in shared.remark


def test_units_count() -> None:
    first = layer("a", (4, 4), scale=(0.5, 0.5), units=("µm", "µm"))
    second = layer("b", (4, 4), scale=(500, 500), units=("nm", "nm"))
    assert overlap(first, second) == Overlap()


def test_equal_shapes_of_other_pixel_size_are_compared_and_said() -> None:
    shared = overlap(layer("a", (4, 4), scale=(2, 2)), layer("b", (4, 4)))
    assert (shared.first, shared.second) == (None, None)
    assert "compared pixel by pixel" in shared.remark


@pytest.mark.parametrize(
    ("shape", "place", "message"),
    [
        ((4, 5), {"scale": (2, 2)}, r"\(4, 5\) and \(4, 4\), and pixels of different"),
        ((4, 4), {"translate": (0.5, 0)}, "0.50, 0.00 pixels apart along Y, X"),
        ((4, 4), {"translate": (0, 9)}, "do not lie on each other"),
        ((3, 5), {}, "do not lie on each other"),
    ],
)
def test_what_does_not_lie_on_the_truth_is_refused(
    shape: tuple[int, ...], place: dict[str, Any], message: str
) -> None:
    with pytest.raises(MaskError, match=message):
        overlap(layer("a", shape, **place), layer("b", (4, 4)))


def test_a_part_in_the_corner_is_a_part() -> None:
    shared = overlap(layer("a", (2, 3)), layer("b", (4, 4)))
    assert shared.second == [(0, 2), (0, 3)]
