from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data import Classes, write_stack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny network that has learnt nothing, in a file."""
    import torch

    from napari_unet import Model
    from napari_unet.config import NetworkConfig
    from napari_unet.networks import build_network

    torch.manual_seed(0)
    config = NetworkConfig(depth=1, width=4)
    path = tmp_path / "model.safetensors"
    Model(build_network(config), config, Classes((0, 255)), name="tiny").save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with images of several sizes, in folders, and one that is broken."""
    folder = tmp_path / "images"
    random = np.random.default_rng(0)
    for name, shape in {
        "one.tif": (40, 50),
        "day 1/one.tif": (3, 33, 47),
        "day 1/two.tif": (64, 64),
        "day 2/deep/three.tif": (2, 20, 30),
    }.items():
        pixels = random.integers(0, 255, shape, np.uint8)
        sections = pixels.reshape(-1, *shape[-2:])
        axes = "ZYX"[-len(shape) :]
        path = folder / name
        write_stack(path, sections, shape=shape, axes=axes, dtype=pixels.dtype)
    (folder / "day 2" / "broken.tif").write_bytes(b"II*\0 this is no image")
    return folder
