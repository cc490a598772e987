"""The networks by name, and what is left to them."""

from __future__ import annotations

import pytest
import torch

from napari_unet.config import TrainingConfig
from napari_unet.errors import ConfigError
from napari_unet.networks import build_network, complete, network_config
from napari_unet.networks.family import VOLUMES, find_member


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


@pytest.mark.parametrize("name", VOLUMES)
def test_a_name_says_that_volumes_are_seen(name: str) -> None:
    assert find_member(name).build is find_member(name.removesuffix("-3d")).build
    training = TrainingConfig(network=name, depth=2, width=2, anisotropy=3.0)
    config = network_config(training, channels=2, classes=3)
    assert (config.name, config.dims, config.anisotropy) == (name, 3, 3.0)
    logits = build_network(config).eval()(torch.zeros(1, 2, 4, 8, 12))
    assert logits.shape == (1, 3, 4, 8, 12)


def test_sections_have_no_depth() -> None:
    training = TrainingConfig(anisotropy=3.0)
    assert complete(training).patch_depth is None
    config = network_config(training, channels=1, classes=2)
    assert (config.dims, config.anisotropy) == (2, 1.0)


@pytest.mark.parametrize(
    ("anisotropy", "sections", "shape"),
    [
        (None, None, (48, 48)),
        (1.0, 51, (48, 48)),
        (1.0, 5, (8, 120)),
        (10.0, 24, (11, 104)),
        (10.0, 5, (5, 152)),
        (0.2, None, (144, 28)),
    ],
)
def test_a_patch_of_a_volume_is_about_as_deep_as_wide_in_space(
    anisotropy: float | None, sections: int | None, shape: tuple[int, int]
) -> None:
    training = TrainingConfig(network="unet-3d", anisotropy=anisotropy)
    config = complete(training, sections)
    assert (config.patch_depth, config.patch_size) == shape
    assert complete(config) == config
    wide = complete(TrainingConfig(network="unet-3d", patch_size=64), sections)
    assert wide.patch_depth == min(64, 8 * -(-(sections or 64) // 8))
