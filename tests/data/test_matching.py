from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_unet.data import open_stack
from napari_unet.data.matching import (
    describe_pairs,
    is_several,
    list_files,
    pair_files,
    pair_folders,
    pair_predictions,
)
from napari_unet.errors import MaskError, StackFormatError


def pairs(images: str, masks: str) -> list[tuple[str, str]]:
    found = pair_files(
        [Path("a") / each for each in images.split()],
        [Path("b") / each for each in masks.split()],
    )
    return [(each.image.name, each.mask.name) for each in found]


@pytest.mark.parametrize(
    ("image", "mask", "reason"),
    [
        ("x.png", "x.tif", "the same name"),
        ("x.ome.tif", "x.png", "the same name"),
        ("x.png", "x_mask.png", "the name without _mask"),
        ("x.png", "x_masks.png", "the name without _masks"),
        ("x.png", "x-labels.png", "the name without -labels"),
        ("x.png", "x_label.png", "the name without _label"),
        ("x.png", "x_GT.png", "the name without _GT"),
        ("x.png", "x.seg.png", "the name without .seg"),
        ("x.jpg", "mask_x.png", "the name without mask_"),
        ("x.tif", "x.labels.tif", "the name without .labels"),
        ("x_image.tif", "x_label.tif", "the name without _image and _label"),
        ("n__image.tif", "n__label.tif", "the name without __image and __label"),
        ("raw_x.tif", "x.tif", "the name without raw_"),
    ],
)
def test_usual_names(image: str, mask: str, reason: str) -> None:
    (found,) = pair_files([Path(image)], [Path(mask)])
    assert found.reason == reason


def test_order_does_not_matter() -> None:
    assert pairs("a.png b.png c.png", "c_gt.png a_gt.png b_gt.png") == [
        ("a.png", "a_gt.png"),
        ("b.png", "b_gt.png"),
        ("c.png", "c_gt.png"),
    ]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("img_1.png", "img_10_mask.png"),
        ("img_10.png", "img_1_mask.png"),
        ("img_01.png", "img_1.png"),
        ("Cell.png", "cell.png"),
        ("bitmask.png", "bit.png"),
        ("a.png", "amask.png"),
        ("1.png", "2.png"),
    ],
)
def test_other_names_are_not_paired(image: str, mask: str) -> None:
    with pytest.raises(MaskError) as caught:
        pairs(image, mask)
    assert image in str(caught.value)
    assert mask in str(caught.value)


def test_one_is_not_ten() -> None:
    assert pairs("i_1.png i_10.png i_100.png", "i_100_m.png i_10_mask.png i_1_mask.png"
                 .replace("100_m.", "100_mask.")) == [
        ("i_1.png", "i_1_mask.png"),
        ("i_10.png", "i_10_mask.png"),
        ("i_100.png", "i_100_mask.png"),
    ]  # fmt: skip


def test_unmatched_and_ambiguous_files_are_listed() -> None:
    with pytest.raises(
        MaskError,
        match=r"1 images without a .*\(b.png\) and 1 masks .*\(d_gt.png\)",
    ):
        pairs("a.png b.png", "a.png d_gt.png")
    with pytest.raises(MaskError, match=r"not clear.*a.png with a_gt.png and a.png wi"):
        pairs("a.png", "a_gt.png a_mask.png")
    with pytest.raises(MaskError, match=r"not clear.*a.png with a.png and a.tif with"):
        pairs("a.png a.tif", "a.png")


def write(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(folder / name)


def test_folders_and_patterns(tmp_path: Path) -> None:
    write(tmp_path / "i", "z10.png", "z2.png", ".hidden.png")
    write(tmp_path / "m", "z2.png", "z10_mask.tif")
    (tmp_path / "m" / "notes.txt").write_text("not an image")
    found = pair_folders(tmp_path / "i", tmp_path / "m")
    assert [each.image.name for each in found] == ["z2.png", "z10.png"]
    assert describe_pairs(found) == (
        "2 images with masks: 1 by the same name, 1 by the name without _mask."
    )
    pattern = tmp_path / "i" / "z2*"
    assert is_several(pattern)
    assert [each.name for each in list_files(pattern)] == ["z2.png"]
    with pytest.raises(StackFormatError, match="no image file"):
        list_files(tmp_path / "i" / "q*")


def test_masks_beside_their_images(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "a_mask.png", "b_10.png", "b_1.png", "b_10_mask.png")
    write(tmp_path, "b_1_mask.png")
    found = pair_folders(tmp_path, tmp_path)
    assert [(each.image.name, each.mask.name) for each in found] == [
        ("a.png", "a_mask.png"),
        ("b_1.png", "b_1_mask.png"),
        ("b_10.png", "b_10_mask.png"),
    ]


def test_real_folders_pair(data_folder: Path) -> None:
    for images, masks, count in (
        ("nuclei_dsb2018/images", "nuclei_dsb2018/labels", 60),
        ("retina_drive/images", "retina_drive/vessels", 10),
        ("neubias_samples", "neubias_samples", 8),
    ):
        assert len(pair_folders(data_folder / images, data_folder / masks)) == count


def test_jpeg_is_an_image(tmp_path: Path) -> None:
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[:, 4:] = (200, 10, 10)
    Image.fromarray(colours).save(tmp_path / "x.jpg", quality=95)
    Image.fromarray(colours[..., 0]).save(tmp_path / "g.jpeg", quality=95)
    stack = open_stack(tmp_path / "x.jpg")
    assert (stack.axes, stack.shape, stack.name) == ("YXC", (6, 8, 3), "x")
    np.testing.assert_allclose(np.asarray(stack), colours, atol=40)
    assert open_stack(tmp_path / "g.jpeg").axes == "YX"
    Image.new("CMYK", (4, 4)).save(tmp_path / "print.jpg")
    with pytest.raises(StackFormatError, match="CMYK"):
        open_stack(tmp_path / "print.jpg")


def test_predictions_find_their_truth(tmp_path: Path) -> None:
    out, truth = tmp_path / "out", tmp_path / "truth"
    write(truth, "x_1_mask.png", "x_10_mask.png")
    write(out, "x_1.labels.tif", "x_10.labels.tif", "x_1.prob.tif", "x_10.prob.tif")
    for kinds, kind in ((("labels",), "labels"), (("prob", "labels"), "prob")):
        found = pair_predictions(out, truth, kinds)
        assert [(each.image.name, each.mask.name) for each in found] == [
            ("x_1_mask.png", f"x_1.{kind}.tif"),
            ("x_10_mask.png", f"x_10.{kind}.tif"),
        ]
    with pytest.raises(MaskError, match="not clear"):
        pair_predictions(out, truth)
    write(truth, "y.png")
    with pytest.raises(MaskError, match=r"1 truths without a partner \(y.png\)"):
        pair_predictions(out, truth, ("labels",))
