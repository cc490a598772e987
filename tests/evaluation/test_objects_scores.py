import json

import numpy as np
import pytest

from napari_unet.errors import MaskError
from napari_unet.evaluation.objects import (
    IOU_THRESHOLDS,
    object_ious,
    score_objects,
)

# Object 1: four pixels, three of them found. Object 2: found with one pixel too many
# of 4. Object 3 is missed; object 9 of the prediction is nowhere in the truth.
TRUTH = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 0, 0, 3, 0, 0]])
FOUND = np.array([[7, 7, 7, 0, 0, 5, 5, 5, 5, 0, 0, 0, 9]])


def at(scores, threshold):
    return next(each for each in scores.matches if each.threshold == threshold)


def test_iou_of_each_pair():
    ious = object_ious(FOUND, TRUTH).toarray()  # rows 5, 7, 9; columns 1, 2, 3
    np.testing.assert_allclose(ious, [[0, 3 / 4, 0], [3 / 4, 0, 0], [0, 0, 0]])


def test_scores_by_hand():
    scores = score_objects([(FOUND, TRUTH)])
    half = at(scores, 0.5)
    assert (half.matched, half.added, half.missed) == (2, 1, 1)
    assert half.ap == half.ap_by_image == 2 / 4
    assert half.precision == half.recall == half.f1 == 2 / 3
    assert half.mean_iou == 3 / 4
    assert at(scores, 0.75).matched == 2  # at least, not more than
    assert (at(scores, 0.8).matched, at(scores, 0.8).mean_iou) == (0, None)
    assert scores.mean_ap == pytest.approx(6 * (2 / 4) / 10)
    assert (scores.predicted, scores.true, scores.images) == (3, 3, 1)


def test_thresholds_are_the_ten_of_the_field():
    assert IOU_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    truth = np.arange(20)[None] < 11  # 11 of 20 pixels: exactly 0.55
    scores = score_objects([(np.ones((1, 20), int), truth.astype(int))])
    assert [each.matched for each in scores.matches] == [1, 1] + [0] * 8


def test_images_are_summed_and_averaged():
    wrong = np.zeros_like(TRUTH)
    scores = score_objects([(FOUND, TRUTH), (TRUTH, TRUTH), (wrong, wrong)])
    half = at(scores, 0.5)
    assert half.ap == 5 / (5 + 1 + 1)
    assert half.ap_by_image == (2 / 4 + 1) / 2  # the empty image has no AP
    assert half.mean_iou == pytest.approx((2 * 3 / 4 + 3) / 5)
    assert scores.images == 3


def test_one_object_matches_only_one():
    # Both halves have an IoU of exactly 0.5 with the whole.
    halves, whole = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])
    half = at(score_objects([(halves, whole)]), 0.5)
    assert (half.matched, half.added, half.missed) == (1, 1, 0)


def test_low_thresholds_match_as_many_as_can_be():
    # IoU 1/4 and 3/6 of the first, 0 and 2/5 of the second: with the best pair taken
    # first, the second would be left over.
    found = np.array([[1, 1, 1, 1, 2, 2]])
    truth = np.array([[2, 1, 1, 1, 1, 1]])
    assert score_objects([(found, truth)], (0.2,)).matches[0].matched == 2


def test_two_objects_that_touch_as_one():
    merged = np.array([[1, 1, 1, 1, 1]])
    half = at(score_objects([(merged, np.array([[1, 1, 1, 2, 2]]))]), 0.5)
    assert (half.matched, half.added, half.missed) == (1, 0, 1)
    assert half.mean_iou == 3 / 5


def test_volumes_and_any_numbers():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, (3, 8, 8))
    renumbered = np.array([0, 70000, 3, 12, 2**40])[truth]
    assert score_objects([(renumbered, truth)]).mean_ap == 1
    # One number in two sections is one object of the volume, but two of the sections.
    one = np.ones((2, 1, 3), int)
    assert score_objects([(one, one)]).true == 1
    assert score_objects(zip(one, one, strict=True)).true == 2


def test_nothing_predicted_and_nothing_there():
    none = np.zeros_like(TRUTH)
    missed = at(score_objects([(none, TRUTH)]), 0.5)
    assert (missed.ap, missed.precision, missed.recall) == (0, None, 0)
    added = at(score_objects([(FOUND, none)]), 0.5)
    assert (added.ap, added.precision, added.recall) == (0, 0, None)
    with pytest.raises(MaskError, match="nothing to score"):
        score_objects([(none, none)])


def test_full_images_need_no_background():
    assert score_objects([(np.array([[1, 2]]), np.array([[4, 9]]))]).mean_ap == 1


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (np.zeros((1, 4), int), "one shape"),
        (np.zeros((1, 13)), "float64"),
        (TRUTH - 2, "number -2"),
    ],
)
def test_what_are_no_objects(prediction, message):
    with pytest.raises(MaskError, match=message):
        score_objects([(prediction, TRUTH)])


def test_scores_are_plain_for_json():
    scores = score_objects([(FOUND, TRUTH)])
    assert json.loads(json.dumps(scores.to_dict()))["matches"][0]["ap"] == 0.5
