from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.data.write.layout import Gathering


def cuts(length: int, draw: st.DataObject) -> list[slice]:
    """Cut an axis anywhere."""
    inside = draw.draw(
        st.sets(st.integers(1, length - 1)) if length > 1 else st.just([])
    )
    ends = [0, *sorted(inside), length]
    return [slice(*each) for each in itertools.pairwise(ends)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_chunks_are_whole_and_come_once(data):
    shape = tuple(data.draw(st.integers(1, 7)) for _ in range(3))
    chunk = tuple(data.draw(st.integers(1, 8)) for _ in range(3))
    whole = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    gathering = Gathering(shape, chunk, "uint16")
    pieces = list(itertools.product(*(cuts(length, data) for length in shape)))
    found = np.full(shape, 9999)
    seen = []
    for place in data.draw(st.permutations(pieces)):
        for index, pixels in gathering.add(place, whole[place]):
            seen.append(index)
            assert found[gathering.box(index)].shape == pixels.shape
            found[gathering.box(index)] = pixels
    np.testing.assert_array_equal(found, whole)
    assert len(seen) == len(set(seen))


def test_numbers_stand_for_axes_that_are_looped_over():
    gathering = Gathering((2, 3, 4), (1, 2, 4), "uint8")
    place = (1, slice(0, 2), slice(0, 4))
    assert list(gathering.reached(place)) == [(1, 0, 0)]
    ((index, pixels),) = gathering.add(place, np.full((2, 4), 5, np.uint8))
    assert index == (1, 0, 0)
    assert pixels.tolist() == [[[5] * 4] * 2]
    assert gathering.box((1, 1, 0)) == (slice(1, 2), slice(2, 3), slice(0, 4))


def test_chunks_that_are_not_wanted_are_left_out():
    gathering = Gathering((4,), (2,), "uint8")
    got = list(gathering.add([slice(0, 4)], np.arange(4), lambda index: index == (1,)))
    assert [index for index, _ in got] == [(1,)]
    assert got[0][1].tolist() == [2, 3]
