import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_unet.data import IGNORE, Classes, as_stack, check_pair, find_classes
from napari_unet.errors import MaskError


def mask_stack(*rows, dtype="uint8"):
    return as_stack(np.array([rows], dtype), axes="ZYX")


def test_values_become_classes_in_ascending_order():
    classes, counts = find_classes(mask_stack([255, 0, 255], [255, 128, 255]))
    assert classes == Classes((0, 128, 255))
    assert classes.names == ("0", "128", "255")
    assert counts == {0: 1, 128: 1, 255: 4}
    assert list(counts) == [0, 128, 255]


def test_counts_run_over_all_sections():
    classes, counts = find_classes(as_stack(np.array([[[0, 0]], [[7, 9]], [[7, 0]]])))
    assert classes.values == (0, 7, 9)
    assert counts == {0: 3, 7: 2, 9: 1}


def test_encode_and_decode_worked_out():
    classes = Classes((0, 128, 255), ignore=(7,))
    mask = np.array([[0, 7], [255, 128]], np.uint8)
    indices = classes.encode(mask)
    assert indices.dtype == np.uint8
    assert indices.tolist() == [[0, IGNORE], [2, 1]]
    assert classes.decode(indices).tolist() == mask.tolist()
    assert classes.decode(indices).dtype == np.uint8


@given(
    st.data(),
    st.sampled_from(
        ["|u1", "|i1", "<u2", ">u2", "<i2", ">i2", "<i4", "<u4", "<i8", "<f4"]
    ),
)
def test_what_is_encoded_comes_back(data, dtype):
    low, high = (-100, 100) if np.dtype(dtype).kind in "if" else (0, 250)
    numbers = st.lists(st.integers(low, high), min_size=2, max_size=9, unique=True)
    pool = data.draw(numbers)
    elements = st.sampled_from([np.dtype(dtype).type(each) for each in pool])
    mask = data.draw(arrays.arrays(np.dtype(dtype), (3, 4, 5), elements=elements))
    classes = Classes(tuple(sorted(pool)), dtype=np.dtype(dtype).newbyteorder("=").name)
    back = classes.decode(classes.encode(mask))
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(back, mask)


def test_bool_comes_back_as_bool():
    mask = np.array([[True, False, True]])
    classes, counts = find_classes(as_stack(mask))
    assert (classes.values, counts) == ((0, 1), {0: 1, 1: 2})
    back = classes.decode(classes.encode(mask))
    assert back.dtype == bool
    np.testing.assert_array_equal(back, mask)


def test_large_labels_of_a_viewer():
    classes, _ = find_classes(as_stack(np.array([[0, 70_000, 3]])))
    assert classes.values == (0, 3, 70_000)
    assert classes.encode(np.array([70_000, 3])).tolist() == [2, 1]
    assert classes.decode(np.array([2])).tolist() == [70_000]


def test_a_mask_of_another_type_has_the_same_classes():
    classes = Classes((0, 255))
    for dtype in (np.uint16, np.int64, np.float64, np.int32):
        assert classes.encode(np.array([255, 0], dtype)).tolist() == [1, 0]


def test_ignored_values_are_no_class():
    classes, counts = find_classes(mask_stack([0, 1, 2, 9]), ignore=(9,))
    assert (classes.values, classes.ignore, counts[9]) == ((0, 1, 2), (9,), 1)
    assert classes.encode(np.array([9, 2], np.uint8)).tolist() == [IGNORE, 2]


def test_zero_may_mean_not_annotated():
    classes, counts = find_classes(mask_stack([0, 1, 2, 0]), zero_is_unlabelled=True)
    assert (classes.values, classes.ignore) == ((1, 2), (0,))
    assert counts == {0: 2, 1: 1, 2: 1}
    assert classes.decode(np.array([IGNORE, 0])).tolist() == [0, 1]


def test_an_ignored_value_that_does_not_occur_is_kept():
    classes, _ = find_classes(mask_stack([0, 1]), ignore=(255,))
    assert classes.ignore == (255,)


def test_an_ignored_value_the_type_cannot_hold_is_refused():
    with pytest.raises(MaskError, match="-1"):
        find_classes(mask_stack([0, 1]), ignore=(-1,))


def test_an_unknown_value_is_named_with_its_count():
    with pytest.raises(MaskError, match=r"value 3 at 2 pixels.*\(0, 255\)"):
        Classes((0, 255)).encode(np.array([[0, 3, 3, 255]], np.uint8))


def test_fractions_and_nan_are_unknown_values():
    for value in (0.5, np.nan):
        with pytest.raises(MaskError):
            Classes((0, 1)).encode(np.array([0, value], np.float32))


def test_an_index_without_a_class_is_refused():
    for wrong in ([2], [-1], [IGNORE]):
        with pytest.raises(MaskError, match="2 classes"):
            Classes((0, 255)).decode(np.array(wrong))


def test_one_value_is_not_enough():
    with pytest.raises(MaskError, match="one value 7"):
        find_classes(mask_stack([7, 7]))
    with pytest.raises(MaskError, match="one value 1 besides"):
        find_classes(mask_stack([0, 1]), zero_is_unlabelled=True)
    with pytest.raises(MaskError, match="not annotated anywhere"):
        find_classes(mask_stack([0, 0]), zero_is_unlabelled=True)


def test_too_many_values_give_the_histogram():
    pixels = np.arange(200, dtype=np.uint8).reshape(1, 20, 10)
    pixels[0, 10:] = 3
    message = r"holds 100 values.* 3 \(50\.5 %\), 0 \(0\.5 %"
    with pytest.raises(MaskError, match=message):
        find_classes(as_stack(pixels))


def test_sixty_four_values_are_a_mask_and_sixty_five_are_not():
    assert find_classes(mask_stack(range(64)))[0].n == 64
    with pytest.raises(MaskError, match=r"65 values.*0 \(1\.5 %\).*JPEG"):
        find_classes(mask_stack(range(65)))
    assert find_classes(mask_stack(range(65)), ignore=(64,))[0].n == 64


def test_counting_ends_where_it_cannot_be_a_mask():
    with pytest.raises(MaskError, match="more than 4096 values"):
        find_classes(as_stack(np.arange(90_000, dtype=np.uint32).reshape(9, 100, 100)))


def test_float_masks_must_be_whole():
    classes, _ = find_classes(mask_stack([0, 1, 255], dtype="float32"))
    assert (classes.values, classes.dtype) == ((0, 1, 255), "float32")
    for value in (0.25, np.nan, np.inf):
        with pytest.raises(MaskError, match="whole numbers"):
            find_classes(mask_stack([0, 1, value], dtype="float32"))


def test_colours_are_no_mask():
    with pytest.raises(MaskError, match="3 values per pixel"):
        find_classes(as_stack(np.zeros((4, 5, 3), np.uint8), axes="YXC"))


@pytest.mark.parametrize(
    "facts",
    [
        {"values": (1, 0)},
        {"values": (0, 0)},
        {"values": ()},
        {"values": tuple(range(65))},
        {"values": (0, 1), "names": ("a",)},
        {"values": (0, 1), "ignore": (1,)},
        {"values": (0, 300)},
        {"values": (0, 1), "dtype": "nonsense"},
    ],
    ids=str,
)
def test_impossible_classes_are_refused(facts):
    with pytest.raises(MaskError):
        Classes(**facts)


def test_classes_survive_json():
    classes = Classes((0, 255), ("membrane", "cell"), (128,), "uint16")
    assert Classes.from_dict(json.loads(json.dumps(classes.to_dict()))) == classes
    for damaged in ({}, {**classes.to_dict(), "values": ["x"]}):
        with pytest.raises(MaskError, match="damaged"):
            Classes.from_dict(damaged)


def test_classes_are_described_with_their_shares():
    classes = Classes((0, 255), ("membrane", "255"), (7,))
    assert classes.describe({0: 221, 255: 779}) == [
        "0 → class 0, membrane (22.1 %)",
        "7 → not annotated (0.0 %)",
        "255 → class 1 (77.9 %)",
    ]
    assert Classes((0, 1)).describe() == ["0 → class 0", "1 → class 1"]
    assert Classes((0, 1)).describe({0: 99_999, 1: 1})[1] == "1 → class 1 (< 0.1 %)"


def test_pairs_that_fit_are_let_through():
    image = as_stack(np.zeros((4, 3, 5, 6)), axes="ZCYX")
    check_pair(image, as_stack(np.zeros((4, 5, 6))))
    check_pair(image, as_stack(np.zeros((4, 5, 6)), axes="TYX"))
    check_pair(image, as_stack(np.zeros((4, 1, 5, 6)), axes="ZCYX"))
    check_pair(image.select(slice(0, 1)), as_stack(np.zeros((5, 6))))
    check_pair(as_stack(np.zeros((5, 6, 3)), axes="YXC"), as_stack(np.zeros((5, 6))))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((3, 5, 6), "ZYX"), ((4, 6, 5), "ZYX"), ((5, 6), "YX"), ((4, 3, 5, 6), "ZCYX")],
)
def test_a_pair_that_does_not_fit_gives_both_shapes(shape, axes):
    image = as_stack(np.zeros((4, 5, 6)), name="raw")
    labels = as_stack(np.zeros(shape), axes=axes, name="mask")
    with pytest.raises(MaskError, match="mask") as caught:
        check_pair(image, labels)
    if "C" not in axes:
        assert str(image.shape) in str(caught.value)
        assert str(shape) in str(caught.value)


def test_time_and_depth_may_not_be_swapped():
    image = as_stack(np.zeros((4, 4, 5, 6)), axes="TZYX")
    with pytest.raises(MaskError):
        check_pair(image, as_stack(np.zeros((4, 4, 5, 6)), axes="ZTYX"))


def test_real_masks(data_folder):
    labels = as_stack(data_folder / "isbi2012" / "train-labels.tif")
    classes, counts = find_classes(labels)
    assert classes.values == (0, 255)
    assert sum(counts.values()) == 24 * 512 * 512
    section = labels.section(5)
    np.testing.assert_array_equal(classes.decode(classes.encode(section)), section)
    image = as_stack(data_folder / "isbi2012" / "train-volume.tif")
    check_pair(image, labels)
    with pytest.raises(MaskError, match="looks like the image"):
        find_classes(image)


def test_nine_grey_levels(data_folder):
    path = next((data_folder / "em_vnc").rglob("labels_9class_grey*"))
    classes, _ = find_classes(as_stack(path))
    assert classes.values == (0, 32, 64, 96, 128, 159, 191, 223, 255)
