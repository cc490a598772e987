from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.training.split import (
    FEW,
    describe_split,
    split_image,
    split_images,
)


@settings(deadline=None)
@given(
    annotated=st.lists(st.integers(0, 60), min_size=1, unique=True).map(sorted),
    height=st.integers(1, 700),
    share=st.floats(0, 0.5),
    margin=st.integers(1, 120),
)
def test_split_never_leaks(
    annotated: list[int], height: int, share: float, margin: int
) -> None:
    split = split_image(annotated, (height,), share, (margin,))
    assert split.training
    assert set(split.training) | set(split.validation) == set(annotated)
    if not split.validation:
        assert split.training_rows == (0, height)
    elif len(annotated) >= FEW:
        assert max(split.validation) < min(split.training)
        assert split.training_rows == split.validation_rows == (0, height)
        assert len(split.validation) <= max(1, round(share * len(annotated)))
    else:
        assert split.training == split.validation == tuple(annotated)
        assert split.validation_rows[0] - split.training_rows[1] >= margin
        assert split.validation_rows[1] == height
        first, last = split.training_rows
        assert last - first >= split.validation_rows[1] - split.validation_rows[0]
    if share == 0:
        assert split.validation == ()


def test_split_by_hand() -> None:
    split = split_image(list(range(18)), (512,), 0.1, (94,))
    assert (split.training, split.validation) == (tuple(range(2, 18)), (0, 1))
    assert split.describe() == (
        "sections 2 to 17, rows 0 to 511",
        "sections 0 to 1, rows 0 to 511",
    )
    split = split_image([4], (512,), 0.1, (94,))
    assert (split.training_rows, split.validation_rows) == ((0, 367), (461, 512))
    assert split.describe() == (
        "section 4, rows 0 to 366",
        "section 4, rows 461 to 511",
    )
    assert split_image([4], (100,), 0.1, (94,)).describe()[1] == "nothing"


def test_whole_images_from_four_on() -> None:
    splits = split_images([[0]] * 10, [(64,)] * 10, 0.2, (9,))
    assert [bool(each.validation) for each in splits] == [True] * 2 + [False] * 8
    assert [bool(each.training) for each in splits] == [False] * 2 + [True] * 8
    assert not any(
        each.validation for each in split_images([[0]] * 10, [(64,)] * 10, 0, (9,))
    )


def test_of_few_images_a_block_of_each() -> None:
    splits = split_images([[0], [0, 1, 2, 3, 4]], [(200,), (64,)], 0.2, (9,))
    assert splits[0] == split_image([0], (200,), 0.2, (9,))
    assert splits[1].validation == (0,)
    assert describe_split(["a", "b"], splits) == (
        "part of 2 images (a, b)",
        "part of 2 images (a, b)",
    )


def test_images_without_annotation_do_not_count() -> None:
    splits = split_images([[], [0], [], [0], [0], [0]], [(64,)] * 6, 0.25, (9,))
    assert [bool(each.validation) for each in splits] == [False, True] + [False] * 4
    assert splits[0].training == ()


@settings(deadline=None)
@given(
    volumes=st.lists(st.integers(0, 9), min_size=1, unique=True).map(sorted),
    shape=st.tuples(st.integers(1, 60), st.integers(1, 300)),
    share=st.floats(0, 0.5),
    margins=st.tuples(st.integers(0, 60), st.integers(1, 60)),
)
def test_split_of_volumes_never_leaks(
    volumes: list[int],
    shape: tuple[int, int],
    share: float,
    margins: tuple[int, int],
) -> None:
    split = split_image(volumes, shape, share, margins)
    assert split.training
    assert set(split.training) | set(split.validation) == set(volumes)
    assert bool(share) or not split.validation
    trained, held_out = np.zeros((2, *shape), bool)
    trained[split.training_box] = True
    held_out[split.validation_box] = True
    if not set(split.training) & set(split.validation):
        assert trained.all()
        assert held_out.all()
        return
    # Wherever a voxel is held out, none trains that the network sees along with it.
    z, y = (np.flatnonzero(held_out.any(axis)) for axis in (1, 0))
    near = trained[max(z[0] - margins[0], 0) : z[-1] + 1 + margins[0]]
    assert not near[:, max(y[0] - margins[1], 0) : y[-1] + 1 + margins[1]].any()
    assert trained.sum() >= held_out.sum() > 0


def test_split_of_volumes_by_hand() -> None:
    assert split_image([0], (24, 512), 0.1, (2, 50)).describe() == (
        "volume 0, sections 4 to 23, rows 0 to 511",
        "volume 0, sections 0 to 1, rows 0 to 511",
    )
    no_room_along_z = split_image([3], (51, 125), 0.1, (50, 50))
    assert no_room_along_z.describe() == (
        "volume 3, sections 0 to 50, rows 0 to 62",
        "volume 3, sections 0 to 50, rows 113 to 124",
    )
    assert split_image([0, 3], (51, 125), 0.1, (50, 50)).describe() == (
        "volume 3, sections 0 to 50, rows 0 to 124",
        "volume 0, sections 0 to 50, rows 0 to 124",
    )
    assert split_image([0], (5, 40), 0.1, (50, 50)).describe()[1] == "nothing"


def test_whole_volumes_from_two_images_on() -> None:
    splits = split_images([[0], [0]], [(51, 125)] * 2, 0.1, (50, 50))
    assert [(each.training, each.validation) for each in splits] == [
        ((), (0,)),
        ((0,), ()),
    ]
