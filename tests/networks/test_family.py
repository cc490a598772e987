"""The networks by name, and what is left to them."""

from __future__ import annotations

import pytest

from napari_unet.config import TrainingConfig
from napari_unet.errors import ConfigError
from napari_unet.networks import build_network, complete, network_config
from napari_unet.networks.family import find_member


@pytest.mark.parametrize(
    ("depth", "size", "fits"), [(4, 32, True), (4, 24, False), (3, 24, True)]
)
def test_patch_size_must_fit_the_depth(depth: int, size: int, fits: bool) -> None:
    config = TrainingConfig(depth=depth, patch_size=size)
    if fits:
        assert complete(config).patch_size == size
        return
    with pytest.raises(ConfigError, match=rf"patch_size is {size}.*{2**depth}"):
        complete(config)


def test_what_is_not_said_is_the_network_s_own() -> None:
    config = complete(TrainingConfig(width=8))
    assert (config.depth, config.width, config.patch_size) == (4, 8, 256)
    assert complete(config) == config


def test_an_unknown_network_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ConfigError, match=r"no network 'unett'.*did you mean unet"):
        find_member("unett")


def test_context_widens_the_first_convolution() -> None:
    config = network_config(TrainingConfig(context=2, width=4), channels=3, classes=2)
    assert config.inputs == 15
    assert next(build_network(config).parameters()).shape == (4, 15, 3, 3)
