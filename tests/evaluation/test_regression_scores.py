import json

import numpy as np
import pytest

from napari_unet.data import Stack
from napari_unet.errors import MaskError
from napari_unet.evaluation import evaluate_regression, score_regression

TRUTH = np.array([[1.0, 2.0, 3.0, 6.0]])
FOUND = np.array([[1.0, 4.0, 3.0, 5.0]])


def test_scores_by_hand():
    # Differences 0, 2, 0, 1; the truth is 3 ± (4 + 1 + 0 + 9).
    scores = score_regression([(FOUND, TRUTH)])
    assert scores.r2 == pytest.approx(1 - 5 / 14)
    assert scores.mae == 3 / 4
    assert scores.rmse == pytest.approx(np.sqrt(5 / 4))
    assert (scores.n_pixels, scores.score) == (4, scores.r2)


def test_sections_are_scored_together():
    rng = np.random.default_rng(0)
    truth = rng.normal(1e6, 1, (5, 8, 8))
    found = truth + rng.normal(0, 0.5, truth.shape)
    parts = score_regression(zip(found, truth, strict=True))
    whole = score_regression([(found, truth)])
    assert parts.r2 == pytest.approx(whole.r2, rel=1e-9)
    assert parts.rmse == pytest.approx(whole.rmse)


def test_what_is_not_annotated_is_not_scored():
    truth = np.array([[1.0, 2.0, 3.0, 6.0, np.nan, np.inf, -1.0]])
    found = np.array([[1.0, 4.0, 3.0, 5.0, 99.0, np.nan, 99.0]])
    assert score_regression([(found, truth)], (-1,)) == score_regression(
        [(FOUND, TRUTH)]
    )
    with pytest.raises(MaskError, match="NaN or infinite where"):
        score_regression([(np.array([np.nan]), np.array([1.0]))])
    with pytest.raises(MaskError, match="nowhere annotated"):
        score_regression([(FOUND, np.full((1, 4), np.nan))])
    with pytest.raises(MaskError, match="one shape"):
        score_regression([(FOUND, TRUTH[0])])


def test_one_true_value_has_no_r2():
    scores = score_regression([(np.array([1.0, 3.0]), np.array([2.0, 2.0]))])
    assert (scores.r2, scores.score) == (None, -1.0)


def test_the_report_shows_the_scores():
    result = evaluate_regression(
        Stack(FOUND.astype(np.float32), "YX", name="found"), Stack(TRUTH, "YX")
    )
    assert result.shape == (1, 1, 4)
    assert "found" in result.text()
    assert "0.6429" in result.text()
    assert json.loads(json.dumps(result.to_dict()))["regression"]["mae"] == 0.75
