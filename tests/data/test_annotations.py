from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_unet.data import IGNORE, Stack, open_stack
from napari_unet.data.masks.annotations import (
    are_strokes,
    as_mask,
    distance_stack,
    read_annotations,
    remark_on_objects,
)
from napari_unet.data.masks.targets import distance_to_border, with_border
from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from pathlib import Path

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 128)


def mask(values: Any, kind: str = "uint8") -> Stack:
    return Stack(np.atleast_2d(np.array(values, kind)), "YX", name="mask")


def encoded(*masks: Stack, **options: Any) -> list[list[int]]:
    found = read_annotations(masks, **options)
    return [
        found.classes.encode(each.section(0)[0]).ravel().tolist()
        for each in found.masks
    ]


# -- grey values ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([0, 255, 0], "uint8", [0, 1, 0]),
        ([0, 63, 126, 252], "uint8", [0, 1, 2, 3]),
        ([0, 1, 2, 3], "uint8", [0, 1, 2, 3]),
        ([1, 2, 3], "uint8", [0, 1, 2]),
        ([False, True], "bool", [0, 1]),
        ([0, 1000, 65535], "uint16", [0, 1, 2]),
        ([0.0, 255.0], "float32", [0, 1]),
    ],
)
def test_values_become_classes_and_come_back(
    values: list[Any], kind: str, expected: list[int]
) -> None:
    found = read_annotations([mask(values, kind)])
    indices = found.classes.encode(found.masks[0].section(0)[0])
    assert indices.ravel().tolist() == expected
    back = found.classes.decode(indices)
    assert back.dtype == np.dtype(kind)
    assert back.ravel().tolist() == values


def test_several_ignored_values() -> None:
    assert encoded(mask([0, 1, 254, 255]), ignore=(254, 255)) == [[0, 1, 255, 255]]


def test_scribbles_with_a_value_that_is_ignored_too() -> None:
    options = {"ignore": (9,), "zero_is_unlabelled": True}
    assert encoded(mask([0, 1, 2, 9]), **options) == [[255, 0, 1, 255]]


# -- files ---------------------------------------------------------------------------


def test_palette_png_gives_its_indices(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([0, 0, 0, *RED, *GREEN])
    image.save(tmp_path / "m.png")
    stack = open_stack(tmp_path / "m.png")
    assert encoded(stack) == [[0, 1, 2]]
    assert "palette" in stack.remarks[0]


def test_jpeg_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "m.jpg")
    with pytest.raises(MaskError, match=r"m\.jpg is a JPEG, which changes values"):
        read_annotations([open_stack(tmp_path / "m.jpg")])


# -- colours -------------------------------------------------------------------------


def colours(*pixels: tuple[int, ...]) -> Stack:
    return Stack(np.array([pixels], np.uint8), "YXC", name="drawn")


def test_colours_are_classes_named_after_them() -> None:
    found = read_annotations([colours((0, 0, 0), RED, GREEN, BLUE, RED)])
    assert found.classes.names == ("0", "#000080", "#00ff00", "#ff0000")
    assert found.classes.values == (0, 0x1000080, 0x100FF00, 0x1FF0000)
    indices = found.classes.encode(found.masks[0].section(0)[0])
    assert indices.tolist() == [[0, 3, 2, 1, 3]]
    assert (found.classes.decode(indices) == found.masks[0].section(0)[0]).all()
    assert "33488896 → class 3, #ff0000 (40.0 %)" in found.classes.describe(
        found.counts
    )


def test_colours_mean_the_same_in_masks_that_lack_some() -> None:
    black, white = (0, 0, 0), (255, 255, 255)
    masks = colours(black, RED), colours(black, white), colours(BLUE, white)
    assert encoded(*masks) == [[0, 3], [0, 1], [2, 1]]


def test_grey_saved_as_colours_is_grey() -> None:
    stack = as_mask(colours((0, 0, 0), (255, 255, 255)))
    assert (stack.axes, stack.dtype) == ("YX", np.uint8)
    assert stack.section(0).tolist() == [[[0, 255]]]


def test_transparency_is_left_out() -> None:
    assert encoded(colours((*RED, 255), (*GREEN, 3))) == [[1, 0]]
    assert encoded(colours((0, 255), (9, 255))) == [[0, 1]]


def test_stacks_of_colours_in_any_order_of_axes() -> None:
    pixels = np.zeros((3, 2, 4, 5), np.uint8)
    pixels[0, 1] = 255
    stack = as_mask(Stack(pixels, "CZYX", pixel_size={"Z": 2.0, "X": 1.0}))
    assert (stack.axes, stack.shape) == ("ZYX", (2, 4, 5))
    assert np.unique(stack.section(1)).tolist() == [0x1FF0000]
    assert stack.pixel_size == {"Z": 2.0, "X": 1.0}


def test_two_channels_of_a_microscope_are_no_transparency() -> None:
    with pytest.raises(MaskError, match="2 values per pixel"):
        read_annotations([Stack(np.eye(2, dtype=np.uint8)[:, None], "CYX")])


def test_a_colour_photograph_is_no_mask() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (30, 30, 3)).astype(np.uint8)
    with pytest.raises(MaskError, match="a mask has at most 64"):
        read_annotations([Stack(photo, "YXC")])


# -- numbered objects ----------------------------------------------------------------


def test_numbered_objects_are_told_and_the_remedy() -> None:
    with pytest.raises(MaskError, match="--objects border"):
        read_annotations([mask(range(70))])


def test_few_numbered_objects_are_remarked_on() -> None:
    ids = np.zeros((2, 9, 9), np.uint16)
    ids[:, ::3, ::3] = np.arange(1, 10).reshape(3, 3)
    ids[1] = ids[1].T
    classes = read_annotations([Stack(ids, "ZYX")]).classes
    assert "--objects border" in remark_on_objects([Stack(ids, "ZYX")], classes)
    named = replace(classes, names=tuple("abcdefghij"))
    assert remark_on_objects([Stack(ids, "ZYX")], named) == ""
    few = replace(classes, values=classes.values[:7], names=())
    assert remark_on_objects([Stack(np.minimum(ids, 6), "ZYX")], few) == ""
    ids[1, 8, 8] = 1  # in two pieces
    assert remark_on_objects([Stack(ids, "ZYX")], classes) == ""


def test_names_that_are_given_count_more_than_those_of_the_list(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("0: background\n255: nucleus\n")
    given = replace(mask([0, 255]), source=tmp_path / "a.tif")
    found = read_annotations([given], names={255: "cell", 7: "none"})
    assert found.classes.names == ("background", "cell")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({0: 95, 1: 2, 2: 3}, True),
        ({0: 94, 1: 3, 2: 3}, False),  # more than few per cent
        ({0: 99, 1: 1}, False),  # a rare class, and the rest
        ({0: 1000, **dict.fromkeys(range(1, 9), 1)}, False),  # numbers of objects
        ({1: 50, 2: 50}, False),
        ({}, False),
    ],
)
def test_strokes_are_told_from_masks(counts: dict[int, int], expected: bool) -> None:
    assert are_strokes(counts) is expected


def test_objects_become_foreground() -> None:
    found = read_annotations([mask([0, 7, 900, 65535], "uint16")], objects="foreground")
    assert found.classes.names == ("background", "foreground")
    assert found.masks[0].section(0).ravel().tolist() == [0, 1, 1, 1]
    assert found.counts == {0: 1, 1: 3}


def two_touching() -> np.ndarray:
    ids = np.zeros((9, 14), np.uint16)
    ids[1:8, 1:7], ids[1:8, 7:13] = 300, 7
    return ids


def test_border_keeps_touching_objects_apart() -> None:
    from scipy import ndimage

    found = with_border(two_touching(), 1)
    assert found[4].tolist() == [0, 2, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 2, 0]
    assert ndimage.label(found == 1)[1] == 2
    assert ndimage.label(two_touching() > 0)[1] == 1
    assert with_border(two_touching(), 2)[4].tolist() == [
        *(0, 2, 2, 1, 1, 2, 2),
        *(2, 2, 1, 1, 2, 2, 0),
    ]


def test_border_class_and_ignored_numbers() -> None:
    found = read_annotations(
        [mask(two_touching(), "uint16")], objects="border", border_width=1, ignore=(7,)
    )
    assert found.classes.names == ("background", "foreground", "border")
    section = found.masks[0].section(0)[0]
    assert (section[two_touching() == 7] == IGNORE).all()
    assert found.classes.encode(section).max() == IGNORE
    with pytest.raises(MaskError, match="smaller border_width"):
        read_annotations([mask(two_touching())], objects="border", border_width=9)


def test_distance_to_border() -> None:
    distance = distance_to_border(two_touching())
    assert distance.dtype == np.float32
    assert distance[4].tolist() == [0, 1, 2, 3, 3, 2, 1, 1, 2, 3, 3, 2, 1, 0]
    assert (distance[two_touching() == 0] == 0).all()


def test_the_edge_of_the_image_is_no_border() -> None:
    ids = np.zeros((3, 5), np.int32)
    ids[:, :3] = 1
    assert distance_to_border(ids)[1].tolist() == [3, 2, 1, 0, 0]
    assert distance_to_border(np.ones((3, 5), int)).tolist() == [[5] * 5] * 3
    assert distance_to_border(np.zeros((3, 5), int)).max() == 0


def test_distance_in_volumes_and_stacks() -> None:
    volume = np.zeros((5, 5, 5), np.uint8)
    volume[1:4, 1:4, 1:4] = 9
    assert distance_to_border(volume)[:, 2, 2].tolist() == [0, 1, 2, 1, 0]
    stack = distance_stack(Stack(volume, "ZYX"))
    assert (stack.dtype, stack.section(1)[0, 2].tolist()) == (
        np.float32,
        [0, 1, 2, 1, 0],
    )
    with pytest.raises(MaskError, match="numbered from -1"):
        distance_to_border(np.array([[-1, 1]]))


# -- names ---------------------------------------------------------------------------


def write_mask(folder: Path, name: str, values: Any) -> Stack:
    Image.fromarray(np.atleast_2d(np.array(values, np.uint8))).save(folder / name)
    return open_stack(folder / name)


def test_class_list_names_and_ignores(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(
        "0: background\n255: cell nucleus\n7: debris\nignore: [128, 9]\n"
    )
    stack = write_mask(tmp_path, "m.png", [0, 255, 128, 77])
    found = read_annotations([stack])
    assert found.classes.names == ("background", "77", "cell nucleus")
    assert found.classes.ignore == (9, 128)
    assert "255 → class 2, cell nucleus (25.0 %)" in found.classes.describe(
        found.counts
    )


def test_class_list_names_colours(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text('"#FF0000": vessel\n"#000000": other\n')
    Image.fromarray(np.array([[RED, (0, 0, 0)]], np.uint8)).save(tmp_path / "m.png")
    found = read_annotations([open_stack(tmp_path / "m.png")])
    assert found.classes.names == ("other", "vessel")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- a\n- b\n", "no list of values and names"),
        ("one: background\n", "'one' is no whole number"),
        ("0: a\n1: a\n", "same name"),
        ("0: 1\n", "Let the names differ"),
        ("0:\n", "None is no name"),
        ("0: [\n", "cannot be used"),
        ("!!python/object/apply:os.system ['true']\n", "cannot be used"),
        ("0: " + 70_000 * "a", "too long"),
    ],
)
def test_damaged_class_list_is_told(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(MaskError, match=why) as caught:
        read_annotations([write_mask(tmp_path, "m.png", [0, 1])])
    assert str(tmp_path) in str(caught.value)


def test_class_lists_that_disagree_are_told(tmp_path: Path) -> None:
    masks = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "classes.yaml").write_text(f"0: {name}\n")
        masks.append(write_mask(tmp_path / name, "m.png", [0, 1]))
    with pytest.raises(MaskError, match="Let them agree"):
        read_annotations(masks)


def test_distance_where_numbers_are_ignored() -> None:
    stack = Stack(two_touching(), "YX")
    found = distance_stack(stack, ignore=(7,), zero_is_unlabelled=True).section(0)[0]
    assert np.isnan(found[two_touching() != 300]).all()
    assert found[4, :8].tolist()[1:7] == [1, 2, 3, 3, 2, 1]


@pytest.mark.parametrize(
    ("pixels", "axes", "why"),
    [
        ([[0, 0.5]], "YX", "holds 0.5"),
        ([[0, np.nan]], "YX", "holds nan"),
        ([[[0, 300]], [[0, 1]]], "CYX", "2 values per pixel"),
        ([[0, -1]], "YX", "numbered from -1"),
    ],
)
def test_what_numbers_no_objects_is_refused(pixels: Any, axes: str, why: str) -> None:
    stack = Stack(np.array(pixels), axes)
    with pytest.raises(MaskError, match=why):
        distance_stack(stack)
    for objects in ("foreground", "border"):
        with pytest.raises(MaskError, match=why):
            read_annotations([stack], objects=objects)


def test_class_list_ignores_numbers_of_objects(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("ignore: 9\n")
    stack = write_mask(tmp_path, "m.png", [0, 9, 1, 1])
    found = distance_stack(stack).section(0)[0]
    np.testing.assert_array_equal(found, [[0, np.nan, 1, 2]])
