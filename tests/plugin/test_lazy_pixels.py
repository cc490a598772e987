from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.config import NetworkConfig
from napari_unet.data import Stack
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.plugin.look.pixels import LookPixels
from napari_unet.plugin.predict.fit import TrainedModel

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_normalised_is_what_the_network_sees(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 40)).astype(np.uint8)
    stack = Stack(pixels, "ZYX", {"Y": 2.0, "X": 2.0}, "nm")
    model = TrainedModel(NetworkConfig(), {"Y": 8.0, "X": 8.0}, "nm", "m")
    seen = model.as_seen(stack)
    assert seen.shape == (2, 10, 10)
    told = LookPixels(stack, (), tmp_path, seen).open()["normalisation"]
    assert told == measure_normalisation(seen).to_dict()
    # The mean of 4 × 4 pixels of noise varies a quarter as much.
    assert told["deviation"][0] < 0.3 * pixels.std()
