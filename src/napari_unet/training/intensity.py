"""Patches as they might have been: brighter, fainter, out of focus, noisier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_unet.training.augmentation import amounts
from napari_unet.training.smooth import between_knots, count_knots, gaussian

if TYPE_CHECKING:
    from napari_unet.config import TrainingConfig


def vary_intensity(
    images: torch.Tensor, config: TrainingConfig, generator: torch.Generator
) -> torch.Tensor:
    """Vary gamma, focus, brightness and contrast, and add noise.

    Brightness and contrast vary over all and from place to place: where the contrast is
    low by chance, a faint membrane has to be told from its surroundings, as in sections
    that cut it at a slant.

    Parameters
    ----------
    images : Tensor of float32, shape (N, C, Y, X) or (N, C, Z, Y, X)
        Normalised, so that 1 is a standard deviation of the whole image.
    """
    wanted = amounts(config)
    if wanted.gamma > 0:
        images = _vary_gamma(images, wanted.gamma, generator)
    if wanted.blur > 0:
        blurs = wanted.blur * torch.rand(len(images), generator=generator)
        pairs = zip(images, blurs.tolist(), strict=True)
        images = torch.stack([gaussian(image, blur) for image, blur in pairs])
    if wanted.intensity > 0:
        images = _vary_light(images, wanted.intensity, generator)
    return images


def _vary_gamma(
    images: torch.Tensor, spread: float, generator: torch.Generator
) -> torch.Tensor:
    """Raise each image to a random power between its darkest and brightest pixel."""
    channels = images.flatten(2)
    shape = (*images.shape[:2], *[1] * (images.ndim - 2))
    low = channels.amin(-1).view(shape)
    span = (channels.amax(-1).view(shape) - low).clamp(min=1e-6)
    power = torch.randn(len(images), generator=generator).mul(spread).exp()
    power = power.view(-1, *shape[2:], 1)
    return ((images - low) / span).pow(power) * span + low


def _vary_light(
    images: torch.Tensor, strength: float, generator: torch.Generator
) -> torch.Tensor:
    count, _, *shape = images.shape
    knots = [count_knots(length) for length in shape]
    local = torch.randn(count, 2, *knots, generator=generator)
    overall = torch.randn(count, 2, *[1] * len(shape), generator=generator)
    fields = strength * between_knots(local + overall, shape)
    noise = torch.rand(count, 1, *[1] * len(shape), generator=generator)
    grain = torch.randn(images.shape, generator=generator)
    images = images * fields[:, :1].clamp(-2, 2).exp() + fields[:, 1:]
    return images + strength * noise * grain
