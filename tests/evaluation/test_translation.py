"""Labels in other values than those of their truth."""

from __future__ import annotations

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.config import EvaluationConfig, read_values, write_values
from napari_unet.errors import ConfigError, MaskError

TRUTH = np.array([[0, 0, 255, 255]], np.uint8)
FOUND = np.array([[1, 2, 2, 2]], np.uint8)


def test_values_stand_for_those_of_the_truth_where_it_is_said() -> None:
    plain = nu.evaluate(FOUND, TRUTH)
    assert plain.overlap.mean_iou == 0
    assert plain.suggested_values == "1=0,2=255"
    assert "prediction_values, such as 1=0,2=255" in plain.remarks[0]
    same = nu.evaluate(FOUND, TRUTH, prediction_values=plain.suggested_values)
    assert [each.iou for each in same.overlap.classes] == [1 / 2, 2 / 3]
    assert same.suggested_values is None
    assert same.remarks == ("Of the prediction these values were taken: 1 for 0, 2 "
                            "for 255.",)  # fmt: skip
    errors = nu.error_map(FOUND, TRUTH, prediction_values="1=0,2=255")
    assert errors.tolist() == [[0, 2, 0, 0]]


@pytest.mark.parametrize("found", [[0, 1, 1, 1], [1, 2, 3, 3], [7, 7, 7, 7]])
def test_nothing_is_suggested_where_it_is_not_clear(found: list[int]) -> None:
    assert nu.evaluate(np.array([found]), TRUTH).suggested_values is None


def test_values_may_be_exchanged() -> None:
    same = nu.evaluate(255 - TRUTH, TRUTH, prediction_values="0=255,255=0")
    assert same.overlap.mean_iou == 1


def test_probabilities_have_no_values_to_translate() -> None:
    with pytest.raises(MaskError, match="only labels have values"):
        nu.evaluate(TRUTH / 300, TRUTH, prediction_values="1=0")


@pytest.mark.parametrize("values", ["1", "1=a", "1=0,1=2", "1=0,2=0", "1=2=3"])
def test_what_cannot_be_read_is_said(values: str) -> None:
    with pytest.raises(ConfigError, match="such as 1=0,2=255"):
        EvaluationConfig(prediction_values=values)


def test_values_are_read_as_they_are_written() -> None:
    assert read_values(write_values({1: 0, -2: 255})) == {1: 0, -2: 255}
    assert read_values(None) == {}
