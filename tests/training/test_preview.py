from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet import preview_patches, synthetic_em
from napari_unet.cli import main
from napari_unet.data import open_stack
from napari_unet.errors import ConfigError
from on_disk import save_stack

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"patch_size": 32, "depth": 2, "width": 2}


def test_unvaried_patches_are_crops_in_grey_and_mask_values() -> None:
    image, labels = synthetic_em(2, 48)
    grey, mask = preview_patches(image, labels, 3, augment="none", **SMALL)
    assert (grey.shape, grey.dtype) == ((3, 1, 32, 32), np.float32)
    assert (mask.shape, mask.dtype) == ((3, 32, 32), np.uint8)
    pixels = np.lib.stride_tricks.sliding_window_view(np.asarray(image), (1, 32, 32))
    truth = np.lib.stride_tricks.sliding_window_view(np.asarray(labels), (1, 32, 32))
    for one, its in zip(grey[:, 0], mask, strict=True):
        near = (np.abs(pixels[..., 0, :, :] - one) < 0.5).all((-2, -1))
        (place,) = np.argwhere(near)
        np.testing.assert_array_equal(truth[tuple(place)][0], its)


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_labels_keep_their_values(augment: str) -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[:20], labels[20:, 20:] = 300, 7
    colours = np.stack([labels, 500 - labels], -1).astype(np.uint16)
    options = {"zero_is_unlabelled": True, "augment": augment, **SMALL}
    grey, mask = preview_patches(colours, labels, 4, axes="YXC", **options)
    assert grey.shape == (4, 2, 32, 32)
    assert mask.dtype == np.uint16
    assert set(np.unique(mask)) == {0, 7, 300}


def test_context_is_seen_in_grey_values() -> None:
    pixels = np.full((3, 24, 24), [[[10]], [[60]], [[200]]], np.uint8)
    pixels[:, 0, 0] += 1  # mirrored at the ends of the stack
    labels = np.zeros(pixels.shape, np.uint8)
    labels[1, :12], labels[1, 12:] = 1, 2
    options = {"context": 1, "zero_is_unlabelled": True, "augment": "none", **SMALL}
    grey, _ = preview_patches(pixels, labels, 20, **options)
    seen = {tuple(np.rint(np.median(each, (1, 2)))) for each in grey}
    assert seen == {(10, 60, 200), (60, 60, 60)}  # a tenth sees the section alone


def test_volumes_with_channels(tmp_path: Path) -> None:
    image, labels = (np.asarray(each) for each in synthetic_em(6, 48))
    colours = np.stack([image, image // 2], -1)
    volume = {"network": "unet-3d", "patch_depth": 4, "augment": "none"}
    grey, mask = preview_patches(colours, labels, 2, axes="ZYXC", **volume, **SMALL)
    assert (grey.shape, mask.shape) == ((2, 2, 4, 32, 32), (2, 4, 32, 32))
    np.testing.assert_allclose(grey[:, 1], grey[:, 0] / 2, atol=0.6)
    for name, each in (("a", image), ("b", labels)):
        np.save(tmp_path / f"{name}.npy", each)
    files = [str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), f"--out={tmp_path}"]
    small = ["--patch-size=32", "--patch-depth=4", "--depth=2", "--patches=2"]
    assert main(["preview", *files, *small, "--network=unet-3d", "--quiet"]) == 0
    assert open_stack(tmp_path / "image.tif").n_sections == 8


def test_one_image_at_a_time() -> None:
    image, labels = synthetic_em(2, 48)
    with pytest.raises(ConfigError, match="one at a time"):
        preview_patches([image, image], [labels, labels], **SMALL)  # type: ignore[arg-type]


def test_preview_is_written_from_the_shell(tmp_path: Path) -> None:
    for name, stack in zip(("a", "b"), synthetic_em(2, 48), strict=True):
        save_stack(tmp_path / f"{name}.tif", stack)
    out = tmp_path / "out"
    files = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif"), f"--out={out}"]
    small = ["--patch-size=32", "--depth=2", "--patches=3", "--multiscale", "--quiet"]
    assert main(["preview", *files, *small]) == 0
    assert open_stack(out / "image.tif").n_sections == 3
    labels = open_stack(out / "labels.tif")
    assert np.asarray(labels).shape == (3, 32, 32)
    assert set(np.unique(np.asarray(labels))) <= {0, 255}
    assert main(["preview", *files, *small]) == 1  # nothing is replaced unasked
