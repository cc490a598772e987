from __future__ import annotations

import math

import pytest
import torch

from napari_unet.prediction.uncertainty import disagreement, entropy


def pixels(*probabilities: list[float]) -> torch.Tensor:
    """Return pixels in a row, each with its probabilities: (1, classes, 1, pixels)."""
    return torch.tensor(probabilities).T[None, :, None]


def test_entropy_by_hand() -> None:
    quarter = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    found = entropy(pixels([1, 0], [0.5, 0.5], [0.75, 0.25], [0, 1]))
    assert found.shape == (1, 1, 4)
    assert found[0, 0].tolist() == pytest.approx([0, 1, quarter, 0])


def test_entropy_is_1_where_all_classes_are_alike() -> None:
    found = entropy(pixels([1 / 3] * 3, [0.5, 0.5, 0], [0, 0, 1]))
    assert found[0, 0].tolist() == pytest.approx([1, math.log(2) / math.log(3), 0])


def test_disagreement_is_what_contradicts_not_what_is_unsure() -> None:
    sure_but_apart = pixels([1, 0]), pixels([0, 1])
    unsure_alike = pixels([0.5, 0.5]), pixels([0.5, 0.5])
    agreed = pixels([0.9, 0.1]), pixels([0.9, 0.1])
    mild = pixels([0.75, 0.25]), pixels([0.25, 0.75])
    quarter = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    for pair, expected in (
        (sure_but_apart, 1),
        (unsure_alike, 0),
        (agreed, 0),
        (mild, 1 - quarter),
    ):
        mean = (pair[0] + pair[1]) / 2
        entropies = (entropy(pair[0]) + entropy(pair[1])) / 2
        found = disagreement(mean, entropies)
        assert found.item() == pytest.approx(expected, abs=1e-6)
        assert found.item() >= 0
