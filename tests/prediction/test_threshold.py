from __future__ import annotations

import numpy as np
import pytest

from napari_unet.prediction.threshold import decide, relabel


def test_of_two_classes_the_second_is_where_it_is_above_the_threshold() -> None:
    second = np.array([0.0, 0.19, 0.21, 0.5, 0.51, 0.89, 0.91, 1], np.float32)
    shares = [1 - second, second]
    for threshold, first in {0.2: 2, 0.5: 4, 0.9: 6}.items():
        found = decide(shares, (0.5, threshold))
        assert found.dtype == np.uint8
        assert found.tolist() == [0] * first + [1] * (8 - first)


def test_of_several_classes_the_most_probable_is_taken() -> None:
    shares = np.array([[0.5, 0.2, 0.1], [0.3, 0.5, 0.1], [0.2, 0.3, 0.8]], np.float32)
    assert decide(shares, (0.5, 0.5, 0.5)).tolist() == [0, 1, 2]
    assert decide(shares, (0.5, 0.5, 0.05)).tolist() == [2, 2, 2]  # odds times 19
    # What a class gives up goes to the next most probable.
    assert decide(shares, (0.9, 0.5, 0.95)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_labels_come_in_mask_values_and_what_was_painted_stays(dtype: type) -> None:
    second = np.array([0.1, 0.4, 0.6, 0.9, 0.0], np.float32)
    shares = [1 - second, second]
    shares[0][4] = 0  # not predicted yet
    labels = np.array([10, 255, 255, 255, 0], dtype)  # the second is painted
    relabel(labels, shares, (10, 255), (0.5, 0.5), (0.5, 0.7))
    assert labels.tolist() == [10, 255, 10, 255, 0]
    relabel(labels, shares, (10, 255), (0.5, 0.7), (0.5, 0.05))
    assert labels.tolist() == [255, 255, 255, 255, 0]
    assert labels.dtype == dtype
