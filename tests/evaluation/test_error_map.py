import numpy as np
import pytest

from napari_unet.errors import MaskError
from napari_unet.evaluation.error_map import (
    FALSE,
    MERGED,
    MISSED,
    SPLIT,
    ErrorCounts,
    Overlaps,
    count_errors,
    map_class_errors,
    map_errors,
)


def wrong(prediction, truth):
    overlaps = Overlaps()
    overlaps.add(np.array(prediction), np.array(truth))
    return overlaps.wrong_objects()


def test_a_wall_too_many_splits_an_object():
    truth = [[7, 7, 7, 7, 7, 0, 9]]
    found = [[1, 1, 0, 2, 2, 0, 3]]
    assert wrong(found, truth) == ({7, 9}, {7}, set())
    errors = map_errors(np.array(found), np.array(truth), split={7})
    assert errors.tolist() == [[SPLIT, SPLIT, MISSED, SPLIT, SPLIT, 0, 0]]


def test_a_wall_that_is_missing_merges_two_objects():
    truth = [[7, 7, 0, 8, 8, 0, 9]]
    found = [[1, 1, 1, 1, 1, 0, 3]]
    assert wrong(found, truth) == ({7, 8, 9}, set(), {7, 8})
    errors = map_errors(np.array(found), np.array(truth), merged={7, 8})
    assert errors.tolist() == [[MERGED, MERGED, FALSE, MERGED, MERGED, 0, 0]]


def test_half_is_not_more_than_half():
    # Of object 1, two of four pixels lie in 7: it is no part of it.
    assert wrong([[1, 1, 1, 1, 2]], [[0, 0, 7, 7, 7]]) == ({7}, set(), set())
    # Of 8, two of four lie in 1.
    assert wrong([[1, 1, 1, 1, 0, 0]], [[7, 7, 8, 8, 8, 8]])[2] == set()
    assert wrong([[1, 1, 1, 1, 1, 0]], [[7, 7, 8, 8, 8, 8]])[2] == {7, 8}


def test_thirty_cells_in_one_are_all_merged():
    truth = np.arange(1, 31)[None]
    assert wrong(np.ones_like(truth), truth)[2] == set(range(1, 31))


def test_specks_count_neither_as_parts_nor_as_merged():
    truth, found = np.full((1, 21), 7), np.ones((1, 21), int)
    found[0, 20] = 2  # 1 of 21
    assert wrong(found, truth)[1] == set()
    found[0, 18:] = 2  # 3 of 21
    assert wrong(found, truth)[1] == {7}
    assert wrong(truth, np.where(found == 2, 8, 7))[2] == {7, 8}
    found[0, 18:20] = 1
    assert wrong(truth, np.where(found == 2, 8, 7))[2] == set()


def test_an_object_can_be_both_and_shows_as_merged():
    truth = np.array([[7, 7, 7, 7, 7, 8, 8, 8, 8, 8]])
    found = np.array([[1, 1, 2, 2, 2, 2, 2, 2, 2, 2]])
    # 2 has 3 of 5 of 7 and all of 8; its own larger half lies in 8; 1 lies in 7.
    assert wrong(found, truth) == ({7, 8}, set(), {7, 8})
    found = np.array([[1, 1, 3, 3, 3, 3, 3, 3, 0, 0]])
    truth = np.array([[7, 7, 7, 7, 7, 7, 7, 7, 8, 8]])
    assert wrong(found, truth) == ({7, 8}, {7}, set())
    both = map_errors(found, truth, split={7}, merged={7})
    assert set(both[0, :8].tolist()) == {MERGED}


def test_objects_through_sections_add_up():
    overlaps = Overlaps()
    # One object per section would be right; through both, it is found in two parts.
    overlaps.add(np.array([[1, 1]]), np.array([[7, 7]]))
    overlaps.add(np.array([[2, 2]]), np.array([[7, 7]]))
    assert overlaps.wrong_objects() == ({7}, {7}, set())


def test_what_is_not_scored_has_no_errors():
    scored = np.array([[True, False, True]])
    errors = map_errors(np.array([[0, 0, 1]]), np.array([[1, 1, 0]]), scored)
    assert errors.tolist() == [[MISSED, 0, FALSE]]
    assert count_errors(errors, 2) == ErrorCounts(1, 1, 2)


def test_classes_are_missed_or_false():
    truth = np.array([[0, 0, 1, 1, 2, 2, 2]])
    found = np.array([[0, 1, 1, 0, 2, 1, 0]])
    everywhere = np.ones(truth.shape, bool)
    of_all = map_class_errors(found, truth, everywhere, (1, 2))
    assert of_all.tolist() == [[0, FALSE, 0, MISSED, 0, MISSED, MISSED]]
    of_one = map_class_errors(found, truth, everywhere, (1,))
    assert of_one.tolist() == [[0, FALSE, 0, MISSED, 0, FALSE, 0]]
    part = map_class_errors(found, truth, truth != 2, (1, 2))
    assert part.tolist() == [[0, FALSE, 0, MISSED, 0, 0, 0]]


def test_counts_add_up():
    both = ErrorCounts(1, 2, 10) + ErrorCounts(1, 1, 5, objects=3, split=1, merged=2)
    assert both == ErrorCounts(2, 3, 15, objects=3, split=1, merged=2)
    assert (ErrorCounts() + ErrorCounts()).objects is None


def test_different_shapes_are_refused():
    with pytest.raises(MaskError, match=r"\(1, 2\).*\(1, 3\)"):
        map_errors(np.zeros((1, 2)), np.zeros((1, 3)))
