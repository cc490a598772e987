"""What a training minimises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from napari_unet.data.masks import IGNORE

if TYPE_CHECKING:
    import torch


def weighted_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return the mean cross-entropy of the annotated pixels, each by its weight.

    Parameters
    ----------
    logits : Tensor, shape (N, classes, Y, X)
    labels : Tensor of int64, shape (N, Y, X)
        Class indices; pixels with `IGNORE` do not count.
    weights : Tensor of float32, shape (N, Y, X)
        Weight of each pixel (Ronneberger et al. 2015, equation 1), divided by their
        sum; the loss is 0 where no pixel is annotated.
    """
    losses = functional.cross_entropy(
        logits, labels, ignore_index=IGNORE, reduction="none"
    )
    weights = weights * (labels != IGNORE)
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)
