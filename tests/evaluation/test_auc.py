import numpy as np
import pytest

from napari_unet.data import Stack
from napari_unet.evaluation import evaluate
from napari_unet.evaluation.auc import area_under_curve, count_shares


def test_area_by_hand():
    # Of the 2 × 3 pairs, 0.8 beats all three; 0.4 beats 0.1, ties with 0.4 and loses.
    shares = np.array([0.8, 0.4, 0.1, 0.4, 0.6])
    own = np.array([True, True, False, False, False])
    assert area_under_curve(count_shares(shares, own)) == pytest.approx(4.5 / 6)
    assert area_under_curve(count_shares(1 - shares, own)) == pytest.approx(1.5 / 6)


def test_area_is_that_of_ranks():
    from scipy.stats import rankdata

    rng = np.random.default_rng(0)
    own = rng.random(5000) < 0.3
    shares = np.clip(rng.normal(0.4 + 0.2 * own, 0.2), 0, 1)
    n, m = own.sum(), (~own).sum()
    by_ranks = (rankdata(shares)[own].sum() - n * (n + 1) / 2) / (n * m)
    counts = sum(
        count_shares(*part)
        for part in zip(shares.reshape(5, -1), own.reshape(5, -1), strict=True)
    )
    assert area_under_curve(counts) == pytest.approx(by_ranks, abs=1e-4)


def test_area_of_one_class_is_undefined():
    assert area_under_curve(count_shares(np.ones(3), np.ones(3, bool))) is None


def test_the_report_has_it_where_probabilities_are_given():
    truth = Stack(np.array([[[0, 0, 7, 7, 9]]], np.uint8), "ZYX")
    cell = np.array([[[0.1, 0.6, 0.4, 0.9, 0.99]]])
    prediction = Stack(np.stack([1 - cell, cell]), "CZYX", channel_names=("0", "7"))
    result = evaluate(prediction, truth, ignore=9)
    assert result.auc == {"0": 0.75, "7": 0.75}
    assert result.to_dict()["auc"]["7"] == 0.75
    assert "AUC" in result.text()
    assert "0.7500" in result.text()
    labels = evaluate(Stack(np.array(truth.pixels), "ZYX"), truth, ignore=9)
    assert labels.auc is None
    assert "AUC" not in labels.text()
