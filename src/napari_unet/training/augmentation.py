"""Patches as they might have been: turned, stretched and bent.

Image, labels and weights are drawn through one grid of sampling points, so they move
together. Points outside the section are mirrored back in, for all three alike; no
pixel is ever invented.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_unet.presets import AUGMENTATIONS
from napari_unet.training.smooth import (
    between_knots,
    blur_radius,
    count_knots,
    gaussian,
)

if TYPE_CHECKING:
    from napari_unet.config import TrainingConfig

ROUND = 1.5
"""Voxels with sides that differ by less than this count as cubes."""

SCALES = (0.5, 1.5)
"""How many times as large patches are drawn with the option ``multiscale``."""


class Amounts(NamedTuple):
    """How much of each kind of variation, for each option that `augment` stands for."""

    flip: bool
    rotate: bool
    deformed: float
    scale: float
    elastic: float
    intensity: float
    gamma: float
    blur: float


def amounts(config: TrainingConfig) -> Amounts:
    """Return what the options ask for: each option where given, else its preset."""
    given = {name: getattr(config, name) for name in Amounts._fields}
    told = {name: value for name, value in given.items() if value is not None}
    return Amounts(**{**AUGMENTATIONS[config.augment], **told})


def complete_augmentation(config: TrainingConfig) -> TrainingConfig:
    """Fill in what was left to the preset of the option ``augment``."""
    return replace(config, **amounts(config)._asdict())


class Patch(NamedTuple):
    """A training example, or a batch of them.

    Attributes
    ----------
    image : Tensor of float32, shape (C, Y, X) or (C, Z, Y, X)
    labels : Tensor of int64, shape (Y, X) or (Z, Y, X)
        Or of float32, for regression.
    weights : Tensor of float32, of the shape of the labels
    """

    image: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor


def sampling_points(
    config: TrainingConfig, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw where the pixels of `count` patches lie, relative to the patch's centre.

    Some of the patches, half of them by default, are only mirrored and turned by right
    angles, so that the network also sees pixels as they are, not only interpolated.

    Returns
    -------
    Tensor of float32, shape (count, Y, X, 2) or (count, Z, Y, X, 3)
        Offsets in pixels, in the order of the axes.
    """
    shape = patch_shape(config)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    bent = torch.rand(count, generator=generator) < amounts(config).deformed
    maps = _linear_maps(config, bent, generator)
    if len(shape) == 3:
        maps = _in_space(maps, config, generator)
    points = (offsets.flatten(0, -2) @ maps).reshape(count, *offsets.shape)
    if amounts(config).elastic > 0 and bent.any():
        shifts = _elastic(config, int(bent.sum()), generator)
        points[bent, ..., -2:] += shifts if len(shape) == 2 else shifts[:, None]
    return points


def patch_shape(config: TrainingConfig) -> tuple[int, ...]:
    """Return the shape of a patch: (Y, X), or (Z, Y, X) for a 3-D network."""
    assert config.patch_size is not None  # the config is complete
    in_plane = config.patch_size, config.patch_size
    return in_plane if config.patch_depth is None else (config.patch_depth, *in_plane)


def _linear_maps(
    config: TrainingConfig, bent: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Draw rotations, sizes and mirrorings as matrices ``(count, 2, 2)``."""
    wanted, count = amounts(config), len(bent)
    turn, size, *flips = torch.rand(4, count, generator=generator)
    turn = torch.where(bent, turn, (4 * turn).floor() / 4)
    angle = 2 * math.pi * turn if wanted.rotate else torch.zeros(count)
    if config.multiscale:
        size = 1 / (SCALES[0] + (SCALES[1] - SCALES[0]) * size)
    else:
        size = 1 + wanted.scale * torch.where(bent, 2 * size - 1, 0)
    mirror = [torch.where(flip < 0.5, -1.0, 1.0) for flip in flips]
    if not wanted.flip:
        mirror = [torch.ones(count), torch.ones(count)]
    cosine, sine = torch.cos(angle) * size, torch.sin(angle) * size
    rows = torch.stack([cosine, -sine], dim=-1) * mirror[0][:, None]
    columns = torch.stack([sine, cosine], dim=-1) * mirror[1][:, None]
    return torch.stack([rows, columns], dim=1)


def _in_space(
    in_plane: torch.Tensor, config: TrainingConfig, generator: torch.Generator
) -> torch.Tensor:
    """Extend the maps of sections to maps ``(count, 3, 3)`` of volumes.

    The order of the sections may be reversed. Where voxels are about as deep as wide,
    sizes change along Z too, and cubic patches may lie along any of the axes.
    """
    wanted, count = amounts(config), len(in_plane)
    assert config.anisotropy is not None  # the config is complete
    even = 1 / ROUND < config.anisotropy < ROUND
    flip, turn = torch.rand(2, count, generator=generator)
    maps = torch.zeros(count, 3, 3)
    maps[:, 1:, 1:] = in_plane
    maps[:, 0, 0] = torch.where((flip < 0.5) & wanted.flip, -1.0, 1.0)
    if even:
        maps[:, 0, 0] *= in_plane.det().abs().sqrt()
    if even and wanted.rotate and config.patch_depth == config.patch_size:
        turns = (3 * turn).int().tolist()
        maps = torch.stack(
            [each.roll(by, dims=1) for each, by in zip(maps, turns, strict=True)]
        )
    return maps


def _elastic(
    config: TrainingConfig, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw smooth displacements ``(count, patch, patch, 2)``.

    Random vectors on a coarse grid, bicubic in between (Ronneberger et al. 2015,
    section 3.1).
    """
    size = config.patch_size
    assert size is not None  # the config is complete
    knots = config.elastic_grid or count_knots(size)
    coarse = torch.randn(count, 2, knots, knots, generator=generator)
    coarse *= amounts(config).elastic
    return between_knots(coarse, (size, size)).permute(0, 2, 3, 1)


def sample(section: Patch, points: torch.Tensor) -> Patch:
    """Read a section or volume at points: linearly the image, nearest the rest.

    Where the points lie so far apart that pixels between them would be skipped, the
    image is blurred first.

    Parameters
    ----------
    section : Patch
        A whole section or volume, of any dtypes.
    points : Tensor of float32, shape (Y, X, 2) or (Z, Y, X, 3)
        Places in it, in the order of the axes; mirrored where they lie outside.
    """
    lengths = section.labels.shape
    places = [_mirror(points[..., i], length) for i, length in enumerate(lengths)]
    blur = _lacking_blur(points)
    margin = blur_radius(blur)
    firsts = [max(int(each.min()) - margin, 0) for each in places]
    ends = [int(each.max()) + 2 + margin for each in places]
    box = tuple(map(slice, firsts, ends))
    window = gaussian(section.image[:, *box].float(), blur)
    spread = torch.tensor(window.shape[1:]).sub(1).clamp(min=1)
    grid = (torch.stack(places, dim=-1) - torch.tensor(firsts)) * (2 / spread) - 1
    image = functional.grid_sample(
        window[None], grid.flip(-1)[None], padding_mode="border", align_corners=True
    )[0]
    nearest = tuple(each.round().long() for each in places)
    labels = section.labels[nearest]
    return Patch(
        image,
        labels if labels.is_floating_point() else labels.long(),
        section.weights[nearest].float(),
    )


def _lacking_blur(points: torch.Tensor) -> float:
    """Return the standard deviation of the blur that sampling points need.

    A pixel, taken as a spot with a standard deviation of 1/2, grows with the distance
    of the points; between pixels, linear interpolation adds a variance of 1/6 itself.
    """
    return math.sqrt(max((spacing(points) ** 2 - 1) / 4 - 1 / 6, 0))


def spacing(points: torch.Tensor) -> float:
    """Return how many pixels of the section sampling points lie apart, on average."""
    return float(points[..., ::8, :].diff(dim=-3).norm(dim=-1).mean())


def _mirror(place: torch.Tensor, length: int) -> torch.Tensor:
    """Fold coordinates into ``0 … length - 1`` by mirroring at the outer pixels."""
    if length == 1:
        return torch.zeros_like(place)
    if place.min() >= 0 and place.max() <= length - 1:
        return place
    period = 2 * (length - 1)
    place = place.remainder(period)
    return torch.minimum(place, period - place)
