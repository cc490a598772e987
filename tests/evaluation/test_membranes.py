from math import log, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter, label

from napari_unet.errors import ConfigError, MaskError
from napari_unet.evaluation.membranes import (
    THRESHOLDS,
    rand_and_info,
    score_membranes,
    thin_borders,
)


def row(text):
    """Turn "11.1" into a section of one row, with "." as membrane."""
    return np.array([[each != "." for each in text]])


def scores_of(prediction, truth):
    scores = score_membranes([row(prediction)], [row(truth)])
    return scores.rand, scores.info


def test_same_cells_score_one():
    assert scores_of("11.111", "11.111") == pytest.approx((1, 1))


def test_thicker_membranes_cost_nothing():
    assert scores_of("111...11", "1111.111") == pytest.approx((1, 1))


def test_missed_membrane():
    # n = 4, cells of 2 and 2, one segment of 4: Σp² = 2(2/4)² = 1/2, Σa² = 1/2,
    # Σb² = 1, so V_rand = 2 · ½ / (½ + 1). The one segment tells nothing: I = 0.
    assert scores_of("11111", "11.11") == pytest.approx((2 / 3, 0), abs=1e-12)


def test_added_membrane_is_an_object_of_its_own():
    # n = 5, one cell; segments of 2, 1 (the line) and 2: Σp² = Σb² = 9/25, Σa² = 1.
    assert scores_of("11.11", "11111") == pytest.approx((18 / 34, 0), abs=1e-12)


def test_split_and_merge_worked_by_hand():
    # Cells A and B of 4 pixels each, n = 8. Segments: S1 = 2 of A; a line pixel of A;
    # S2 = 1 of A and all 4 of B.
    # Σp² = (4 + 1 + 1 + 16)/64, Σa² = (16 + 16)/64, Σb² = (4 + 1 + 25)/64.
    # H_T = 1 bit; H_TS = 2/8·2 + 1/8·3 + 1/8·3 + 4/8·1 = 1.75 bit;
    # H_S = 2/8·2 + 1/8·3 + 5/8·log2(8/5).
    h_segments = 0.875 + 0.625 * log2(1.6)
    information = 1 + h_segments - 1.75
    rand, info = scores_of("11.111111", "1111.1111")
    assert rand == pytest.approx(2 * 22 / (32 + 30))
    assert info == pytest.approx(2 * information / (1 + h_segments))


def test_line_pixels_from_the_formula():
    # One object of 4 pixels, two of them on lines: each adds 1/n² and log(n)/n.
    segments, objects = np.array([[1, 1, 0, 0]]), np.array([[2, 2, 1, 1]])
    joint = (4 + 1 + 1) / 16
    rand, info = rand_and_info(segments, objects)
    h_truth, h_segments = log(2), log(2) / 2 + 2 * log(4) / 4
    h_joint = h_segments
    assert rand == pytest.approx(2 * joint / (8 / 16 + joint))
    assert info == pytest.approx(
        2 * (h_truth + h_segments - h_joint) / (h_truth + h_segments)
    )


def test_prediction_without_cells_is_all_line():
    # n = 4 objects of one pixel: Σp² = Σb² = 4/16, Σa² = 2(2/4)² = 8/16;
    # H_S = H_TS = log 4, I = H_T = log 2.
    expected = (2 * 4 / (4 + 8), 2 * log(2) / (log(2) + log(4)))
    assert scores_of(".....", "11.11") == pytest.approx(expected)


def test_one_object_in_both():
    assert scores_of("1111", "1111") == (1, 1)


def test_sections_without_cells_are_left_out():
    good, empty = row("11.11"), row(".....")
    scores = score_membranes([good, good], [good, empty])
    assert (scores.rand, scores.info, scores.n_sections) == pytest.approx((1, 1, 1))
    with pytest.raises(MaskError, match="No section of the truth holds a cell"):
        score_membranes([good], [empty])


def test_diagonal_neighbours_are_two_cells():
    diagonal = np.eye(2, dtype=bool)
    assert score_membranes([diagonal], [diagonal]).rand == 1
    assert label(diagonal)[1] == 2
    assert score_membranes([np.ones((2, 2))], [diagonal]).rand < 1


def test_best_threshold_of_the_mean_over_sections():
    truth = row("11.11")
    faint = np.array([[0.9, 0.9, 0.45, 0.9, 0.9]])  # parted from 0.5 on
    strong = np.array([[0.65, 0.65, 0.2, 0.65, 0.65]])  # parted from 0.2 to 0.6
    scores = score_membranes([faint, strong], [truth, truth])
    assert scores.thresholds == THRESHOLDS
    assert (scores.rand, scores.rand_threshold) == (1, 0.5)
    assert (scores.info, scores.info_threshold) == pytest.approx((1, 0.5))
    # At 0.1 both are one segment, at 0.3 the first one is.
    assert scores.rand_by_threshold[0] == pytest.approx(2 / 3)
    assert scores.rand_by_threshold[2] == pytest.approx((2 / 3 + 1) / 2)


def test_thresholds_can_be_chosen():
    scores = score_membranes([row("11.11")], [row("11.11")], thresholds=(0.25,))
    assert scores.rand_threshold == 0.25
    assert scores.rand_by_threshold == (1,)
    with pytest.raises(ConfigError, match="no threshold"):
        score_membranes([row("11.11")], [row("11.11")], thresholds=())


def test_sections_are_read_one_by_one():
    alive = []

    def sections():
        for index in range(3):
            alive.append(index)
            yield row("11.11")

    def truths():
        for index in range(3):
            assert alive == list(range(index + 1))
            yield row("11.11")

    assert score_membranes(sections(), truths()).n_sections == 3


def test_to_dict_is_plain():
    stored = score_membranes([row("11.11")], [row("11.11")]).to_dict()
    assert stored["rand"] == 1
    assert stored["thresholds"] == list(THRESHOLDS)


@pytest.mark.parametrize(
    ("probabilities", "truths", "message"),
    [
        ([row("11.1")] * 2, [row("11.1")], "truth has 1 sections"),
        ([], [row("11.1")], "prediction has 0 sections"),
        ([row("11.1")], [row("11.11")], r"\(1, 4\), the truth \(1, 5\)"),
        ([row("11.1") * 255], [row("11.1")], "from 0 to 255"),
        ([np.full((1, 4), np.nan)], [row("11.1")], "from nan to nan"),
    ],
)
def test_what_cannot_be_scored_is_refused(probabilities, truths, message):
    with pytest.raises(MaskError, match=message):
        score_membranes(probabilities, truths)


@given(arrays(bool, (9, 8)))
def test_thinned_borders_part_all_cells(cells):
    grown = thin_borders(cells)
    markers, n_objects = label(cells)
    assert set(np.unique(grown)) - {0} == set(range(1, n_objects + 1))
    assert (grown[cells] == markers[cells]).all()
    for one, other in ((grown[1:], grown[:-1]), (grown[:, 1:], grown[:, :-1])):
        assert ((one == other) | (one == 0) | (other == 0)).all()


@given(arrays(bool, (9, 8)), arrays(bool, (9, 8)))
def test_scores_lie_between_0_and_1(prediction, truth):
    truth[4, 4] = True
    scores = score_membranes([prediction], [truth], thresholds=(0.5,))
    assert 0 < scores.rand <= 1 + 1e-12
    assert -1e-12 < scores.info <= 1 + 1e-12


@given(st.integers(1, 6), st.integers(1, 6))
def test_order_of_labels_does_not_matter(first, second):
    objects = np.array([[first, first, 0, second + 6, second + 6]])
    segments = np.array([[second, second, second, 0, first + 6]])
    expected = rand_and_info(np.array([[1, 1, 1, 0, 2]]), np.array([[1, 1, 0, 2, 2]]))
    assert rand_and_info(segments, objects) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("sigma", "rand", "info"), [(0, 0.803, 0.890), (2, 0.873, 0.937)]
)
def test_known_answers_on_isbi(data_folder, sigma, rand, info):
    from tifffile import imread

    grey = imread(data_folder / "isbi2012" / "train-volume.tif")[:4] / 255
    truth = imread(data_folder / "isbi2012" / "train-labels.tif")[:4] == 255
    cells = (gaussian_filter(section, sigma) if sigma else section for section in grey)
    scores = score_membranes(cells, truth)
    assert scores.rand == pytest.approx(rand, abs=0.001)
    assert scores.info == pytest.approx(info, abs=0.001)
    assert scores.rand_threshold == scores.info_threshold == 0.5
    assert scores.n_sections == 4
