"""What a training leaves to its network, and whether its patches suit it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_unet.config import NetworkConfig
from napari_unet.errors import ConfigError
from napari_unet.networks.family import find_member
from napari_unet.networks.geometry import measure_geometry

if TYPE_CHECKING:
    from napari_unet.config import TrainingConfig

VOXELS = 48**3
"""Voxels of a patch: a step with two of them takes a CPU about 1.5 times as long as one
with two of 256² pixels."""


def complete(config: TrainingConfig, sections: int | None = None) -> TrainingConfig:
    """Fill in what was left to the network.

    Parameters
    ----------
    config : TrainingConfig
    sections : int, optional
        How many a volume has: a patch gets no deeper than that.

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
    if member.dims == 3:
        config = _fit_patch(config, sections)
    _check_patch(config)
    return config


def _fit_patch(config: TrainingConfig, sections: int | None) -> TrainingConfig:
    """Choose a patch of a volume that is about as deep as wide, in space."""
    ratio = config.anisotropy or 1.0
    config = replace(config, anisotropy=ratio)
    stride, _, across = measure_geometry(_shape(config, 1, 2)).strides
    depth, size = config.patch_depth, config.patch_size
    if depth is None:
        wanted = size / ratio if size else (VOXELS / ratio**2) ** (1 / 3)
        depth = stride * max(1, math.ceil(min(wanted, sections or wanted) / stride))
    if size is None:
        least = across * math.ceil(16 / across)
        size = max(least, across * round(math.sqrt(VOXELS / depth) / across))
    return replace(config, patch_size=size, patch_depth=depth)


def _check_patch(config: TrainingConfig) -> None:
    geometry = measure_geometry(_shape(config, 1, 2))
    if config.patch_depth is not None and config.patch_depth % geometry.strides[0]:
        raise ConfigError(
            f"patch_depth is {config.patch_depth}, but for {config.network} with depth "
            f"{config.depth} and these voxels it must be a multiple of "
            f"{geometry.strides[0]}."
        )
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
    dims = find_member(config.network).dims
    return NetworkConfig(
        channels,
        classes,
        config.depth,
        config.width,
        config.dropout,
        name=config.network,
        dims=dims,
        context=config.context,
        anisotropy=(config.anisotropy or 1.0) if dims == 3 else 1.0,
    )
