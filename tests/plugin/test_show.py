from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data import synthetic_em, write_stack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("opengl")
def test_a_result_is_shown_and_pictured(tmp_path: Path) -> None:
    from PIL import Image

    image, labels = (np.asarray(each) for each in synthetic_em(2, 64))
    shares = np.stack([labels == 0, labels == 255]).astype(np.float32)
    arguments: list[str] = []
    for name, pixels, axes in (
        ("image", image, "ZYX"),
        ("labels", labels, "ZYX"),
        ("truth", labels, "ZYX"),
        ("probabilities", shares, "CZYX"),
    ):
        path = tmp_path / f"{name}.tif"
        planes = pixels.reshape(-1, 64, 64)
        write_stack(path, planes, shape=pixels.shape, axes=axes, dtype=pixels.dtype)
        arguments += [f"--{name}", str(path)]
    picture = tmp_path / "docs" / "window.png"
    subprocess.run(
        [
            *(sys.executable, "-m", "napari_unet.plugin.show"),
            *arguments,
            *("--screenshot", str(picture)),
        ],
        check=True,
        timeout=120,
    )
    window = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert window.shape[0] > 400
    red = (window[..., 0] - window[..., 1] > 60) & (
        window[..., 0] - window[..., 2] > 60
    )
    assert red.mean() > 0.05  # the labels, over the image
