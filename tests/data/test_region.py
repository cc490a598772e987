from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.data import Stack
from napari_unet.data.region import Region, crop, find_region
from napari_unet.errors import ConfigError

STACK = Stack(np.zeros((3, 4, 50, 60, 2), np.uint8), "TZYXC", name="cells")


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        (None, ((0, 3), (0, 4), (0, 50), (0, 60))),
        ("10:20,:", ((0, 3), (0, 4), (10, 20), (0, 60))),
        ("1:2, 0:4, -10:, :-50", ((1, 2), (0, 4), (40, 50), (0, 10))),
        ([(0, 5), (7, 999)], ((0, 3), (0, 4), (0, 5), (7, 60))),
        ([slice(2, None), slice(None)], ((0, 3), (0, 4), (2, 50), (0, 60))),
    ],
)
def test_region_is_read(given: Any, bounds: tuple[tuple[int, int], ...]) -> None:
    assert find_region(STACK, given) == Region("TZYX", bounds)


def test_rows_and_columns_come_last_whatever_the_file_says() -> None:
    stack = Stack(np.zeros((50, 60, 4), np.uint8), "YXZ")
    region = find_region(stack, "1:3,0:5,0:6")
    assert (region.axes, region.shape, region.size) == ("ZYX", (2, 5, 6), 60)
    assert region.along("TYX") == ((0, 1), (0, 5), (0, 6))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("0:1,0:1,0:1,0:1,0:1", r"5 ranges, but cells has the axes TZYX: .* most 4"),
        ("5:5,0:9", r"holds nothing of cells: along Y it is 5:5.*image has 50"),
        ("0:9,60:99", "holds nothing of cells: along X"),
        ("0-9", "such as 0:10"),
        ([slice(0, 10, 2), slice(None)], "step of 2 along Y"),
        ([slice(10, 0, -1)], "step of -1 along X"),
    ],
)
def test_region_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find_region(STACK, given)


def test_a_crop_reads_only_its_part():
    pixels = np.arange(3 * 2 * 4 * 5).reshape(3, 2, 4, 5)
    stack = Stack(pixels, "ZCYX", {"X": 2.0}, name="whole")
    part = crop(stack, Region("ZYX", ((1, 3), (2, 4), (0, 3))))
    assert (part.shape, part.name, part.pixel_size) == ((2, 2, 2, 3), "whole", {"X": 2})
    np.testing.assert_array_equal(np.asarray(part), pixels[1:3, :, 2:4, :3])
    np.testing.assert_array_equal(part.section(1), pixels[2, :, 2:4, :3])
    window = part.section(0, slice(1, 2), slice(0, 2))
    np.testing.assert_array_equal(window, pixels[1, :, 3:4, :2])
