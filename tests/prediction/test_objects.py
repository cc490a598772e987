from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from napari_unet.errors import ConfigError, StackFormatError
from napari_unet.evaluation.objects import score_objects
from napari_unet.prediction import objects
from napari_unet.prediction.objects import roles

find_objects = partial(objects.find_objects, minimum_size=0)


def shares(*rows):
    """Probabilities of foreground (and border) of a line, with the background's."""
    known = np.array(rows, float)[:, None]
    return np.concatenate([1 - known.sum(0, keepdims=True), known])


def discs(*centres, radius=8, shape=(40, 60)):
    """The distance of each pixel to the border of its disc, and the discs."""
    points = np.indices(shape)
    gaps = np.array([np.hypot(*(points.T - np.array(c)).T) for c in centres])
    objects = np.where(gaps.min(0) < radius, gaps.argmin(0) + 1, 0)
    return np.maximum(radius - gaps.min(0), 0), objects


def test_pieces_of_foreground():
    found = find_objects(shares([0.9, 0.6, 0.5, 0.7, 0.1, 0.8]))
    assert found.dtype == np.int32
    assert found.tolist() == [[1, 1, 0, 2, 0, 3]]  # more than the threshold, not equal
    higher = find_objects(shares([0.9, 0.6, 0.5, 0.7, 0.1, 0.8]), object_threshold=0.75)
    assert higher.tolist() == [[1, 0, 0, 0, 0, 2]]


def test_corners_do_not_connect():
    pieces = np.array([[[0.1, 0.9], [0.9, 0.1]], [[0.9, 0.1], [0.1, 0.9]]])
    assert find_objects(pieces).max() == 2


def test_a_border_separates_what_touches():
    inside = [0.0, 0.9, 0.9, 0.1, 0.2, 0.9, 0.1]
    border = [0.1, 0.1, 0.1, 0.9, 0.7, 0.1, 0.6]
    assert find_objects(shares(inside, border)).tolist() == [[0, 1, 1, 1, 2, 2, 2]]
    assert find_objects(shares(inside)).tolist() == [[0, 1, 1, 0, 0, 2, 0]]


def test_an_object_without_a_seed_is_not_lost():
    inside = [0.9, 0.0, 0.4, 0.0, 0.4, 0.0]
    border = [0.0, 0.0, 0.6, 0.0, 0.6, 0.6]
    assert find_objects(shares(inside, border)).tolist() == [[1, 0, 2, 0, 3, 3]]


def test_names_tell_the_classes():
    known = shares([0.0, 0.9, 0.1, 0.9], [0.1, 0.1, 0.9, 0.1])
    swapped = known[[2, 0, 1]]
    found = find_objects(swapped, names=("Border", "background", "Foreground"))
    np.testing.assert_array_equal(found, find_objects(known))
    assert found.max() == 2
    many = ("background", "foreground", "a", "b", "border")
    assert roles(5, many) == (1, 4)
    with pytest.raises(ConfigError, match=r"4 classes \(without names\)"):
        find_objects(np.zeros((4, 2, 2)))


@pytest.mark.parametrize("minimum", [0, 2, 3])
def test_small_objects_are_left_out(minimum):
    found = find_objects(shares([0.9, 0, 0.9, 0.9, 0, 1, 1, 1]), minimum_size=minimum)
    assert np.bincount(found.ravel())[1:].tolist() == [
        size for size in (1, 2, 3) if size >= minimum
    ]


def test_necks_part_what_no_border_does():
    distance, truth = discs((20, 20), (20, 34))  # 3.9 px deep between them, else 8
    inside = np.clip(distance, 0, 1)
    seen = np.stack([1 - inside, inside, 0 * inside])
    found = find_objects(seen)
    assert score_objects([(found, truth)]).matches[0].ap == 1
    assert find_objects(seen, neck=0.45).max() == 2
    assert find_objects(seen, neck=0.65).max() == 1
    assert find_objects(seen, neck=1).max() == 1
    assert find_objects(seen[:2]).max() == 1  # pieces of foreground, as they say


def test_rough_outlines_and_long_objects_are_no_necks():
    random = np.random.default_rng(0)
    inside = np.zeros((60, 90))
    inside[20:40, 10:80] = 1
    inside[18:42][random.random((24, 90)) < 0.02] = 0  # single pixels, and teeth
    inside[19, 12:78:4] = 1
    inside[18:42] = np.maximum(
        inside[18:42], np.pad(inside[20:38, 12:78], ((3, 3), (12, 12)))
    )
    found = find_objects(np.stack([1 - inside, inside, 0 * inside]), minimum_size=9)
    assert found.max() == 1


@pytest.mark.parametrize("neck", [0, 0.25, 1])
def test_a_line_of_border_is_enough(neck):
    inside = np.zeros((9, 21))
    inside[1:8, 1:20] = 1
    border = np.zeros_like(inside)
    border[1:8, 10] = 1
    found = find_objects(np.stack([1 - inside, inside - border, border]), neck=neck)
    assert found.max() == 2
    assert found[4, 9] != found[4, 11]


def test_depth_is_measured_in_space():
    # A bar 12 px wide, 3 to 7 sections thick.
    inside = np.zeros((11, 14, 60))
    inside[4:7, 1:13, 3:57] = 1
    inside[2:9, 1:13, 8:22] = inside[2:9, 1:13, 38:52] = 1
    seen = np.stack([1 - inside, inside, 0 * inside])
    assert find_objects(seen, anisotropy=5).max() == 1
    assert find_objects(seen).max() == 2


def test_a_distance_map_separates_discs():
    distance, truth = discs((20, 20), (20, 33), (20, 50))
    found = find_objects(distance[None])
    assert found.max() == 3
    assert score_objects([(found, truth)]).matches[0].ap == 1
    # The first two, 13 px apart, rise from 2 between them to 8, smoothed a little less.
    assert find_objects(distance[None], seed_threshold=3.5).max() == 3
    assert find_objects(distance[None], seed_threshold=6.1).max() == 2


def test_a_plateau_is_one_maximum():
    assert find_objects([[[0, 1, 2, 2, 2, 1, 0]]]).max() == 1
    assert find_objects(np.zeros((1, 4, 4))).max() == 0


def test_objects_of_volumes_go_through_sections():
    inside = np.zeros((3, 4, 5))
    inside[0, 0, 0] = inside[1, 0, 0] = inside[2, 3, 4] = 0.9
    found = find_objects(np.stack([1 - inside, inside]))
    assert found.shape == (3, 4, 5)
    assert found[0, 0, 0] == found[1, 0, 0] == 1
    assert found[2, 3, 4] == 2
    with pytest.raises(StackFormatError, match="one image"):
        find_objects(inside[0])
