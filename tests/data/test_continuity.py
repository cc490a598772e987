"""Stacks of serial sections, and unrelated images saved as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data import Stack, open_stack, synthetic_em
from napari_unet.data.continuity import are_continuous

if TYPE_CHECKING:
    from pathlib import Path


def test_serial_sections_are_continuous() -> None:
    assert are_continuous(synthetic_em(sections=6)[0])


def test_unrelated_images_are_not() -> None:
    noise = np.random.default_rng(0).normal(size=(6, 64, 64)).astype(np.float32)
    assert not are_continuous(Stack(noise, "ZYX"))


def test_only_sections_along_z_count() -> None:
    same = np.tile(np.arange(64.0).reshape(8, 8), (4, 1, 1))
    assert are_continuous(Stack(same, "ZYX"))
    assert not are_continuous(Stack(same, "TYX"))
    assert not are_continuous(Stack(same[:1], "ZYX"))


def test_uniform_and_missing_pixels_are_no_resemblance() -> None:
    assert not are_continuous(Stack(np.full((3, 8, 8), 7), "ZYX"))
    holes = np.tile(np.arange(64.0).reshape(8, 8), (4, 1, 1))
    holes[:, 0, 0] = np.nan
    assert are_continuous(Stack(holes, "ZYX"))


@pytest.mark.parametrize("name", ["isbi2012/train-volume.tif", "em_vnc/raw.tif"])
def test_real_stacks_are_continuous(name: str, data_folder: Path) -> None:
    assert are_continuous(open_stack(data_folder / name))
