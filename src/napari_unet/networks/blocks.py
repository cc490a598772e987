"""What the networks of the family are made of.

A size is a tuple with one number per axis; its length says whether a layer is flat or
deep. So the same lines serve sections ``(Y, X)`` and volumes ``(Z, Y, X)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig

Size = tuple[int, ...]

CONVOLUTION: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM: dict[int, Any] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL: dict[int, Any] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEAN_POOL: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
DROPOUT: dict[int, Any] = {2: nn.Dropout2d, 3: nn.Dropout3d}
ZERO_PAD: dict[int, Any] = {2: nn.ZeroPad2d, 3: nn.ZeroPad3d}
LINEAR = {2: "bilinear", 3: "trilinear"}

Convolution = nn.Conv2d | nn.Conv3d
Transposed = nn.ConvTranspose2d | nn.ConvTranspose3d
Norm = nn.BatchNorm2d | nn.BatchNorm3d
MaxPool = nn.MaxPool2d | nn.MaxPool3d


@dataclass(frozen=True)
class Level:
    """One resolution of a network.

    Attributes
    ----------
    features : int
    kernel : tuple of int
        Of its convolutions.
    pool : tuple of int
        How many times coarser it is than the level above; ones for the finest.
    """

    features: int
    kernel: Size
    pool: Size


def pooling_plan(config: NetworkConfig) -> list[Size]:
    """Return by how much each step down shrinks the image along each axis.

    Where voxels are at least twice as long along Z as in the section, only the others
    are halved, until they are not (or Z only, where they are that much shorter): an
    idea of nnU-Net (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z).
    """
    if config.dims == 2:
        return [(2, 2)] * config.depth
    return [_along(each, 2) for each in _elongations(config)[:-1]]


def kernel_plan(config: NetworkConfig) -> list[Size]:
    """Return the kernel of the convolutions of each level, finest first.

    They look along the axes that the pooling after them halves, the deepest along all.
    """
    if config.dims == 2:
        return [(3, 3)] * (config.depth + 1)
    return [*(_along(each, 3) for each in _elongations(config)[:-1]), (3, 3, 3)]


def _elongations(config: NetworkConfig) -> list[float]:
    """Return how many times deeper than wide a voxel is at each level."""
    elongations = [config.anisotropy]
    for _ in range(config.depth):
        deep, in_plane = _along(elongations[-1], 2)[:2]
        elongations.append(elongations[-1] * deep / in_plane)
    return elongations


def _along(elongation: float, size: int) -> Size:
    """Return `size` along the axes that matter for such voxels, and 1 elsewhere."""
    deep = size if elongation < 2 else 1
    in_plane = size if elongation > 1 / 2 else 1
    return deep, in_plane, in_plane


def plan_levels(config: NetworkConfig) -> list[Level]:
    """Return the levels of a network, finest first; each doubles the features."""
    pools = [(1,) * config.dims, *pooling_plan(config)]
    return [
        Level(config.width * 2**index, kernel, pool)
        for index, (kernel, pool) in enumerate(
            zip(kernel_plan(config), pools, strict=True)
        )
    ]


def convolution(
    inputs: int,
    outputs: int,
    kernel: Size,
    *,
    stride: Size | int = 1,
    padded: bool = True,
    bias: bool = True,
    groups: int = 1,
) -> nn.Module:
    """Make a convolution whose output is as large as its input, unless not padded."""
    padding = tuple(size // 2 for size in kernel) if padded else 0
    layer: nn.Module = CONVOLUTION[len(kernel)](
        inputs, outputs, kernel, stride, padding, groups=groups, bias=bias
    )
    return layer


def pointwise(inputs: int, outputs: int, dims: int, *, bias: bool = True) -> nn.Module:
    """Make a convolution that sees one pixel."""
    return convolution(inputs, outputs, (1,) * dims, bias=bias)


def projection(
    inputs: int, outputs: int, stride: Size, *, bias: bool = True
) -> nn.Sequential:
    """Make a convolution that sees one pixel out of every block of `stride`.

    Pixels are picked first: the backward pass of a strided 1×1 convolution of 4 or 8
    channels, channels last, crashed torch 2.13 on a CPU with AVX-512 (oneDNN issue 6035
    reads alike).
    """
    dims = len(stride)
    pick = MEAN_POOL[dims](1, stride)
    return nn.Sequential(pick, pointwise(inputs, outputs, dims, bias=bias))


def double_convolution(
    inputs: int,
    level: Level,
    *,
    padded: bool = True,
    norm: bool = True,
    bias: bool = False,
) -> nn.Sequential:
    """Two convolutions, each normalised over the batch (unless not) and rectified."""
    layers: list[nn.Module] = []
    for features in (inputs, level.features):
        layers.append(
            convolution(
                features, level.features, level.kernel, padded=padded, bias=bias
            )
        )
        if norm:
            layers.append(NORM[len(level.kernel)](level.features))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def max_pool(size: Size) -> nn.Module:
    """Keep the largest of each block of pixels of that size."""
    layer: nn.Module = MAX_POOL[len(size)](size)
    return layer


def up_convolution(deep: Level, shallow: Level) -> nn.Module:
    """Make each coarse pixel a block of fine ones, with the features of that level."""
    layer: nn.Module = TRANSPOSED[len(deep.pool)](
        deep.features, shallow.features, deep.pool, stride=deep.pool
    )
    return layer


def keras_padding(kernel: Size, stride: Size | int = 1) -> nn.Module:
    """Add the zeros that Keras adds; those that cannot be halved fall to the end."""
    strides = stride if isinstance(stride, tuple) else (stride,) * len(kernel)
    ends = []
    for size, step in zip(kernel[::-1], strides[::-1], strict=True):
        spare = max(size - step, 0)
        ends += [spare // 2, spare - spare // 2]
    layer: nn.Module = ZERO_PAD[len(kernel)](tuple(ends))
    return layer


def initialise(module: nn.Module) -> None:
    """Draw convolution weights after He et al. (2015), as the U-Net paper does."""
    if isinstance(module, Convolution | Transposed):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def crop_centre(pixels: torch.Tensor, size: torch.Size | Size) -> torch.Tensor:
    """Cut the centre of that size out of the last axes of `pixels`."""
    for axis, length in enumerate(size, start=pixels.ndim - len(size)):
        spare = pixels.shape[axis] - length
        if spare:
            pixels = pixels.narrow(axis, spare // 2, length)
    return pixels
