"""What a training leaves to its network, and whether its patches suit it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_unet.config import NetworkConfig
from napari_unet.errors import ConfigError
from napari_unet.networks.family import find_member
from napari_unet.networks.geometry import measure_geometry

if TYPE_CHECKING:
    from napari_unet.config import TrainingConfig


def complete(config: TrainingConfig) -> TrainingConfig:
    """Fill in what was left to the network.

    Raises
    ------
    ConfigError
        If there is no such network, or it cannot take patches of that size.
    """
    member = find_member(config.network)
    own = {
        name: getattr(member, name)
        for name in ("depth", "width", "dropout", "patch_size")
        if getattr(config, name) is None
    }
    config = replace(config, **own)
    _check_patch(config)
    return config


def _check_patch(config: TrainingConfig) -> None:
    geometry = measure_geometry(_shape(config, 1, 2))
    size, stride = config.patch_size, geometry.stride
    assert size is not None
    if geometry.takes(size):
        return
    smallest = geometry.smallest
    allowed = f"a multiple of {stride}"
    if geometry.crop:
        allowed = f"{smallest}, {smallest + stride}, {smallest + 2 * stride} and so on"
    raise ConfigError(
        f"patch_size is {size}, but for {config.network} with depth {config.depth} it "
        f"must be {allowed}; nearest is {geometry.nearest(size)}."
    )


def network_config(
    config: TrainingConfig, channels: int, classes: int
) -> NetworkConfig:
    """Return the network that a training builds on such data."""
    return _shape(complete(config), channels, classes)


def _shape(config: TrainingConfig, channels: int, classes: int) -> NetworkConfig:
    assert config.depth is not None
    assert config.width is not None
    assert config.dropout is not None
    return NetworkConfig(
        channels,
        classes,
        config.depth,
        config.width,
        config.dropout,
        name=config.network,
        context=config.context,
    )
