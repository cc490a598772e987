from __future__ import annotations

import numpy as np
import pytest

from napari_unet import train
from napari_unet.data import synthetic_em
from napari_unet.training.validation import best_threshold


def test_the_best_threshold_parts_the_classes() -> None:
    histogram = np.zeros((2, 10), np.int64)
    histogram[0, :3], histogram[1, 3:] = 5, 5
    assert best_threshold(histogram) == 0.3
    histogram[:, 2:8] = 0  # any from 0.2 to 0.8 is as good
    assert best_threshold(histogram) == 0.5


def test_it_weighs_both_classes() -> None:
    histogram = np.array([[90, 10, 0, 0], [1, 0, 4, 5]])
    # At 0.25, 0.5 and 0.75: mean of right / (right + wrong) of each class.
    means = [
        (90 / 101 + 9 / 20) / 2,
        (100 / 101 + 9 / 10) / 2,
        (100 / 105 + 5 / 10) / 2,
    ]
    assert max(means) == means[1]
    assert best_threshold(histogram) == 0.5


def test_one_class_has_no_threshold() -> None:
    assert best_threshold(np.array([[3, 4], [0, 0]])) is None


def test_a_model_knows_the_threshold_of_what_was_held_out() -> None:
    image, labels = synthetic_em(4, 64)
    small = {"steps": 3, "depth": 1, "width": 4, "patch_size": 32, "batch_size": 1}
    known = train(image, labels, **small).history["best_threshold"]
    assert known == pytest.approx(round(known, 2))
    assert 0 < known < 1
    alone = train(image, labels, validation=0, **small)
    assert alone.history["best_threshold"] is None
