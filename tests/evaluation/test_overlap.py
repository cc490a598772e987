import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.errors import MaskError
from napari_unet.evaluation.overlap import (
    count_confusion,
    overlap_scores,
    score_overlap,
)


def test_two_classes_worked_by_hand():
    truth = np.array([[0, 0, 1, 1, 1]], np.uint8)
    prediction = np.array([[0, 1, 1, 1, 0]], np.uint8)
    # Class 0: TP 1, FP 1, FN 1.  Class 1: TP 2, FP 1, FN 1.
    scores = score_overlap(prediction, truth, 2, names=("membrane", "cell"))
    membrane, cell = scores.classes
    assert membrane.name == "membrane"
    assert membrane.iou == pytest.approx(1 / 3)
    assert membrane.dice == pytest.approx(1 / 2)
    assert membrane.precision == pytest.approx(1 / 2)
    assert membrane.recall == pytest.approx(1 / 2)
    assert membrane.support == 2
    assert cell.iou == pytest.approx(2 / 4)
    assert cell.dice == pytest.approx(4 / 6)
    assert cell.precision == pytest.approx(2 / 3)
    assert cell.recall == pytest.approx(2 / 3)
    assert cell.support == 3
    assert scores.accuracy == pytest.approx(3 / 5)
    assert scores.mean_iou == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert scores.mean_dice == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores.n_pixels == 5


def test_confusion_has_truth_in_rows():
    truth, prediction = np.array([0, 0, 0, 2]), np.array([0, 1, 1, 2])
    assert count_confusion(prediction, truth, 3).tolist() == [
        [1, 2, 0],
        [0, 0, 0],
        [0, 0, 1],
    ]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64])
def test_types_of_indices(dtype):
    indices = np.array([0, 1, 1], dtype)
    confusion = count_confusion(indices, np.array([0, 1, 0], np.uint8), 2)
    assert confusion.tolist() == [[1, 1], [0, 1]]


def test_class_in_neither_is_left_out():
    scores = score_overlap(np.array([0, 2]), np.array([0, 2]), 3)
    assert [each.name for each in scores.classes] == ["0", "2"]
    assert scores.mean_iou == scores.mean_dice == 1


def test_class_only_in_truth_has_no_precision():
    scores = score_overlap(np.array([0, 0]), np.array([0, 1]), 2)
    missed = scores.classes[1]
    assert (missed.iou, missed.dice, missed.recall) == (0, 0, 0)
    assert missed.precision is None
    assert scores.mean_iou == pytest.approx((1 / 2 + 0) / 2)


def test_class_only_in_prediction_has_no_recall_and_lowers_the_mean():
    scores = score_overlap(np.array([0, 1]), np.array([0, 0]), 2)
    added = scores.classes[1]
    assert (added.iou, added.dice, added.precision, added.support) == (0, 0, 0, 0)
    assert added.recall is None
    assert scores.mean_iou == pytest.approx((1 / 2 + 0) / 2)


def test_ignored_pixels_do_not_count():
    truth = np.array([0, 1, 255, 255], np.uint8)
    prediction = np.array([0, 1, 0, 77], np.uint8)
    scores = score_overlap(prediction, truth, 2)
    assert scores.n_pixels == 2
    assert scores.accuracy == 1


def test_to_dict_is_plain():
    scores = score_overlap(np.array([0, 0]), np.array([0, 1]), 2)
    assert scores.to_dict()["classes"][1] == {
        "name": "1",
        "iou": 0.0,
        "dice": 0.0,
        "precision": None,
        "recall": 0.0,
        "support": 1,
    }


@given(
    arrays(np.uint8, (7, 5), elements=st.integers(0, 3)),
    arrays(np.uint8, (7, 5), elements=st.sampled_from([0, 1, 2, 3, 255])),
)
def test_counts_of_parts_add_up_and_agree_with_sets(prediction, truth):
    whole = count_confusion(prediction, truth, 4)
    parts = sum(
        count_confusion(row, true, 4)
        for row, true in zip(prediction, truth, strict=True)
    )
    assert (whole == parts).all()
    expected = [
        [np.count_nonzero((truth == i) & (prediction == j)) for j in range(4)]
        for i in range(4)
    ]
    assert whole.tolist() == expected


def test_all_ignored_is_an_error():
    with pytest.raises(MaskError, match="every pixel of the truth is ignored"):
        score_overlap(np.zeros(3, int), np.full(3, 255), 2)


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"\(2, 3\).*\(3, 2\)"),
        (np.array([0, 255]), np.array([0, 1]), "prediction holds values from 0 to 255"),
        (np.array([0, 1]), np.array([0, 2]), "truth holds values from 0 to 2"),
        (np.array([0, -1]), np.array([0, 1]), "from -1 to 0"),
        (np.array([0.2, 0.8]), np.array([0, 1]), "float64"),
    ],
)
def test_what_is_no_class_index_is_refused(prediction, truth, message):
    with pytest.raises(MaskError, match=message):
        count_confusion(prediction, truth, 2)


def test_names_must_match_the_classes():
    with pytest.raises(ValueError, match="zip"):
        overlap_scores(np.eye(2, dtype=np.int64), ["one"])
