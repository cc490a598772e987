"""Images as the channels of one."""

from __future__ import annotations

import numpy as np

from napari_unet.data import Stack
from napari_unet.data.channels import as_channels


def test_images_become_channels_without_loss() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    share = (grey / 16).astype(np.float32)
    place = {"pixel_size": {"Z": 3.0, "Y": 2.0, "X": 2.0}, "unit": "nm"}
    both = as_channels(
        [Stack(each, "ZYX", **place) for each in (grey, share)], ["grey", "share"]
    )
    assert (both.axes, both.shape, both.dtype) == ("CZYX", (2, 2, 2, 3), np.float32)
    assert (both.channel_names, both.unit) == (("grey", "share"), "nm")
    np.testing.assert_array_equal(both.section(1), [grey[1], share[1]])
    np.testing.assert_array_equal(np.asarray(both), [grey, share])
