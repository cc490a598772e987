"""The networks of the family, by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.errors import ConfigError
from napari_unet.networks.attention import AttentionUNet
from napari_unet.networks.blocks import initialise
from napari_unet.networks.encoders import (
    PREFIX,
    EncoderUNet,
    encoder_networks,
    is_encoder_network,
)
from napari_unet.networks.nested import NestedUNet
from napari_unet.networks.residual import ResidualUNet, Xception
from napari_unet.networks.unet import UNet
from napari_unet.networks.variants import KerasUNet, SmallUNet, UNet2015
from napari_unet.presets import NETWORK_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from napari_unet.config import NetworkConfig


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
        What is taken where nothing is said; without `patch_size`, it suits the voxels.
    dims : int
        2 if it sees sections, 3 if it sees volumes.
    """

    line: str
    build: Callable[[NetworkConfig], nn.Module]
    depth: int = 4
    width: int = 16
    dropout: float = 0.0
    patch_size: int | None = 256
    dims: int = 2


FAMILY = {
    "unet": Member("Same padding and batch norm: the default.", UNet),
    "unet-2015": Member(
        "The paper's own: not padded, no norm (Ronneberger et al. 2015).",
        UNet2015,
        **NETWORK_SIZES["unet-2015"],
    ),
    "unet-keras": Member(
        "The same-padded version for Keras: up-sampling, dropout, no norm.",
        KerasUNet,
        **NETWORK_SIZES["unet-keras"],
    ),
    "unet-small": Member(
        "8 to 128 features, batch norm everywhere, a 3×3 head.",
        SmallUNet,
        **NETWORK_SIZES["unet-small"],
    ),
    "unet-xception": Member(
        "Separable convolutions, residual projections, no skips (Keras example).",
        Xception,
        **NETWORK_SIZES["unet-xception"],
    ),
    "unet-attention": Member(
        "Attention gates on the skips (Oktay et al. 2018).", AttentionUNet
    ),
    "unet-residual": Member(
        "Residual units, strides in place of pooling (Zhang et al. 2018).",
        ResidualUNet,
    ),
    "unet++": Member(
        "Nested skips and deep supervision (Zhou et al. 2018).", NestedUNet
    ),
}

VOLUMES = {
    f"{name}-3d": replace(
        FAMILY[name],
        line=f"{name} for volumes; pooling and kernels suit the shape of the voxels.",
        depth=3,
        patch_size=None,
        dims=3,
    )
    for name in ("unet", "unet-small", "unet-attention", "unet-residual", "unet++")
}
"""What of the family also sees (Z, Y, X), by its name there."""


def find_member(name: str) -> Member:
    """Return the network of that name.

    Raises
    ------
    ConfigError
        If there is none; similar names are suggested.
    """
    members = FAMILY | VOLUMES
    if name in members:
        return members[name]
    known, more = list(members), ""
    try:
        if is_encoder_network(name):
            return encoder_member(name)
        if name.startswith(PREFIX):
            known += encoder_networks()
    except ConfigError as error:
        more = f" {error}"
    close = difflib.get_close_matches(name, known, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    raise ConfigError(
        f"There is no network {name!r}. Known are {', '.join(members)} and "
        f"{PREFIX}<encoder>{hint}{more}"
    )


def encoder_member(name: str) -> Member:
    """Describe the network ``unet-<encoder>``."""
    line = f"A U-Net on the pretrained encoder {name.removeprefix(PREFIX)}."
    return Member(line, EncoderUNet, depth=5)


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
