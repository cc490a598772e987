from __future__ import annotations

import numpy as np
import pytest

from napari_unet.data import Stack
from napari_unet.data.excerpt import Excerpt

WHOLE = np.arange(4 * 6 * 8).reshape(4, 6, 8)


def test_an_excerpt_answers_to_the_indices_of_the_whole() -> None:
    part = Stack(Excerpt(WHOLE[1:3, 2:5], WHOLE.shape, (1, 2, 0)), "ZYX")
    assert part.shape == (4, 6, 8)
    assert part.dtype == WHOLE.dtype
    window = part.section(2, slice(2, 4), slice(None))
    np.testing.assert_array_equal(window[0], WHOLE[2, 2:4])
    np.testing.assert_array_equal(part.pixels[1:3, 4, -3:], WHOLE[1:3, 4, -3:])


@pytest.mark.parametrize("key", [(0, slice(2, 4)), (3, slice(2, 4)), (1, slice(1, 4))])
def test_what_is_not_there_is_no_zero(key: tuple[int | slice, ...]) -> None:
    part = Excerpt(WHOLE[1:3, 2:5], WHOLE.shape, (1, 2, 0))
    with pytest.raises(IndexError, match=r"only the box of shape \(2, 3, 8\)"):
        part[(*key, slice(None))]
