from __future__ import annotations

import numpy as np
import pytest

from napari_unet.data import Stack, synthetic_em
from napari_unet.data.strokes import draw_strokes


@pytest.fixture(scope="module")
def labels() -> Stack:
    return synthetic_em(4, 192)[1]


def test_few_pixels_of_the_named_sections_are_painted(labels: Stack) -> None:
    strokes = np.asarray(draw_strokes(labels, [0, 2, 3]))
    assert strokes.shape == labels.shape
    assert not strokes[1].any()
    for index in (0, 2, 3):
        assert 0.005 < np.mean(strokes[index] > 0) < 0.02


def test_they_say_what_the_mask_says(labels: Stack) -> None:
    strokes, mask = np.asarray(draw_strokes(labels, [0])), np.asarray(labels)
    assert set(mask[strokes == 1]) == {0}
    assert set(mask[strokes == 2]) == {255}


def test_the_same_seed_paints_the_same(labels: Stack) -> None:
    first, again = (np.asarray(draw_strokes(labels, [1], seed=3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, np.asarray(draw_strokes(labels, [1], seed=4)))


def test_a_value_that_a_section_does_not_have_is_not_painted() -> None:
    pixels = np.zeros((2, 32, 32), np.uint8)
    pixels[0, :, 16:] = 7
    strokes = np.asarray(draw_strokes(Stack(pixels, "ZYX"), [0, 1], share=0.2))
    assert set(np.unique(strokes[0])) == {0, 1, 2}
    assert set(np.unique(strokes[1])) == {0, 1}
