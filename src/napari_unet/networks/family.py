"""The networks of the family, by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.config import NetworkConfig
from napari_unet.errors import ConfigError
from napari_unet.networks.unet import UNet, initialise

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from napari_unet.config import TrainingConfig


@dataclass(frozen=True)
class Member:
    """A network of the family.

    Attributes
    ----------
    line : str
        What it is, in one line.
    build : callable
        Builds it from a `NetworkConfig`; its weights are drawn afterwards.
    depth, width, dropout, patch_size
        What is taken where nothing is said.
    """

    line: str
    build: Callable[[NetworkConfig], nn.Module]
    depth: int = 4
    width: int = 16
    dropout: float = 0.0
    patch_size: int = 256


FAMILY = {
    "unet": Member("Same padding and batch norm: the default.", UNet),
}


def find_member(name: str) -> Member:
    """Return the network of that name.

    Raises
    ------
    ConfigError
        If there is none; similar names are suggested.
    """
    if name in FAMILY:
        return FAMILY[name]
    close = difflib.get_close_matches(name, FAMILY, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    raise ConfigError(
        f"There is no network {name!r}. Known are {', '.join(FAMILY)}{hint}"
    )


def build_network(config: NetworkConfig) -> nn.Module:
    """Build the network that `config` describes, freshly initialised.

    The random numbers come from torch's global generator.

    Raises
    ------
    ConfigError
        If there is no network of that name.
    """
    network = find_member(config.name).build(config)
    network.apply(initialise)
    return network


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
    assert config.depth is not None
    assert config.patch_size is not None
    stride = 2**config.depth
    if config.patch_size % stride:
        raise ConfigError(
            f"patch_size is {config.patch_size}, but with depth {config.depth} it must "
            f"be a multiple of {stride}."
        )
    return config


def network_config(
    config: TrainingConfig, channels: int, classes: int
) -> NetworkConfig:
    """Return the network that a training builds on such data."""
    config = complete(config)
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
