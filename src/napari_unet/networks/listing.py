"""The family at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_unet.config import NetworkConfig
from napari_unet.networks.family import FAMILY, VOLUMES, Member, build_network
from napari_unet.networks.geometry import measure_geometry

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkInfo:
    """A network of the family in its own depth and width.

    Attributes
    ----------
    name, line : str
        What it is called, and what it is.
    parameters, trained : int
        All its numbers, the running statistics of its norms among them; and those
        that training changes by gradients.
    depth, width : int
        What it takes where nothing is said.
    patch_size : int or None
        Likewise; None where it depends on the shape of the voxels.
    stride, halo : int
        Grid of its tiles and how far it sees, in pixels.
    exact : bool
        Whether tiles equal the whole (see `Geometry`).
    """

    name: str
    line: str
    parameters: int
    trained: int
    depth: int
    width: int
    patch_size: int | None
    stride: int
    halo: int
    exact: bool


def list_networks(channels: int = 1, classes: int = 2) -> list[NetworkInfo]:
    """List the family, for images of so many channels and masks of so many classes.

    Raises
    ------
    ConfigError
        If `channels` or `classes` is out of range.
    """
    return [
        _describe(name, member, channels, classes)
        for name, member in (FAMILY | VOLUMES).items()
    ]


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Return how many numbers a network holds in all, and how many are trained.

    Running means and variances count among all, as Keras counts them; the number of
    batches seen does not.
    """
    trained = sum(each.numel() for each in network.parameters())
    return trained + sum(
        each.numel() for each in network.buffers() if each.ndim
    ), trained


def _describe(name: str, member: Member, channels: int, classes: int) -> NetworkInfo:
    config = NetworkConfig(
        channels,
        classes,
        member.depth,
        member.width,
        member.dropout,
        name=name,
        dims=member.dims,
    )
    with torch.device("meta"):  # shapes without numbers
        parameters, trained = count_parameters(build_network(config))
    geometry = measure_geometry(config)
    return NetworkInfo(
        name,
        member.line,
        parameters,
        trained,
        member.depth,
        member.width,
        member.patch_size,
        geometry.stride,
        geometry.radius,
        geometry.exact,
    )
