from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet import preview_patches, synthetic_em
from napari_unet.cli import main
from napari_unet.data import open_stack, write_stack

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


def test_preview_is_written_from_the_shell(tmp_path: Path) -> None:
    for name, stack in zip(("a", "b"), synthetic_em(2, 48), strict=True):
        write_stack(
            tmp_path / f"{name}.tif",
            np.asarray(stack),
            shape=stack.shape,
            axes="ZYX",
            dtype="uint8",
        )
    out = tmp_path / "out"
    files = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif"), f"--out={out}"]
    small = ["--patch-size=32", "--depth=2", "--patches=3", "--multiscale", "--quiet"]
    assert main(["preview", *files, *small]) == 0
    assert open_stack(out / "image.tif").n_sections == 3
    labels = open_stack(out / "labels.tif")
    assert np.asarray(labels).shape == (3, 32, 32)
    assert set(np.unique(np.asarray(labels))) <= {0, 255}
    assert main(["preview", *files, *small]) == 1  # nothing is replaced unasked
