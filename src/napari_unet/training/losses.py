"""What a training minimises: the losses by name.

Each takes logits ``(N, classes, *spatial)``, class indices ``(N, *spatial)`` and the
weight of each pixel ``(N, *spatial)``, of sections or volumes, and returns a number.
For regression there is one channel, and values instead of indices. Pixels with `IGNORE`
do not count; where no pixel counts the loss is 0. `total` sums over the processes that
have a share of the batch each.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from napari_unet.data.masks.find import IGNORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.config import TrainingConfig

    Total = Callable[[torch.Tensor], torch.Tensor]

_TINY = 1e-6  # keeps a division by no pixels, and its gradient, at 0


class Loss(Protocol):
    """A function of logits, labels and weights, as the module describes."""

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, /
    ) -> torch.Tensor:
        """Return the loss, a tensor without axes."""
        ...


def alone(own: torch.Tensor) -> torch.Tensor:
    """Return the sum over a single process."""
    return own


def choose_loss(config: TrainingConfig, total: Total = alone) -> Loss:
    """Return the loss that `config` names, with its parameters."""
    losses: dict[str, Callable[..., torch.Tensor]] = {
        "border-cross-entropy": cross_entropy,
        "cross-entropy": cross_entropy,
        "dice": dice,
        "cross-entropy-dice": cross_entropy_dice,
        "focal": partial(focal, gamma=config.focal_gamma),
        "tversky": partial(tversky, alpha=config.tversky_alpha),
        "mse": mse,
        "mae": mae,
    }
    return partial(losses[config.loss], total=total)


def cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    total: Total = alone,
) -> torch.Tensor:
    """Return the mean cross-entropy of the annotated pixels, each by its weight.

    Parameters
    ----------
    logits : Tensor, shape (N, classes, *spatial)
    labels : Tensor of int64, shape (N, *spatial)
        Class indices; pixels with `IGNORE` do not count.
    weights : Tensor of float32, shape (N, *spatial)
        Weight of each pixel (Ronneberger et al. 2015, equation 1), divided by their
        sum; the loss is 0 where no pixel is annotated.
    """
    losses = functional.cross_entropy(
        logits, labels, ignore_index=IGNORE, reduction="none"
    )
    return _mean(losses, labels, weights, total)


def focal(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    total: Total = alone,
    *,
    gamma: float,
) -> torch.Tensor:
    """Return the mean of -(1 - p)^γ log p, with p the probability of the right class.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 4; tensors as in
    `cross_entropy`, which it is with γ = 0.
    """
    losses = functional.cross_entropy(
        logits, labels, ignore_index=IGNORE, reduction="none"
    )
    wrong = -torch.expm1(-losses)  # 1 - p; its power has no slope at 0 where γ < 1
    return _mean(wrong.clamp(min=_TINY) ** gamma * losses, labels, weights, total)


def tversky(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    total: Total = alone,
    *,
    alpha: float,
) -> torch.Tensor:
    """Return 1 - TP / (TP + α FP + (1 - α) FN), the mean over the classes that occur.

    The counts are sums of probabilities, each by its pixel's weight, over the whole
    batch: a class that a single patch lacks is no matter. Salehi et al. 2017,
    https://arxiv.org/abs/1706.05721, equation 4; tensors as in `cross_entropy`.
    """
    n_classes = logits.shape[1]
    by_class = torch.arange(n_classes, device=labels.device)
    truth = labels.flatten(1)[:, None] == by_class[:, None]  # (N, classes, pixels)
    counted = (weights * (labels != IGNORE)).flatten(1)[:, None]
    found = logits.float().softmax(dim=1).flatten(2) * counted
    counts = [each.sum(dim=(0, 2)) for each in (found * truth, found, truth * counted)]
    hits, positive, true = total(torch.stack(counts)).unbind()
    # TP + α (P - TP) + (1 - α) (T - TP), P found and T true
    size = alpha * positive + (1 - alpha) * true
    occurs = true > 0
    misses = (1 - hits / size.clamp(min=_TINY)) * occurs
    return misses.sum() / occurs.sum().clamp(min=1)


def dice(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    total: Total = alone,
) -> torch.Tensor:
    """Return 1 - 2 TP / (2 TP + FP + FN), the mean over the classes that occur.

    Milletari et al. 2016, https://arxiv.org/abs/1606.04797, without squares; see
    `tversky`.
    """
    return tversky(logits, labels, weights, total, alpha=0.5)


def cross_entropy_dice(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    total: Total = alone,
) -> torch.Tensor:
    """Return the sum of both (Isensee et al. 2021, nnU-Net)."""
    given = logits, labels, weights, total
    return cross_entropy(*given) + dice(*given)


def mse(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    total: Total = alone,
) -> torch.Tensor:
    """Return the mean squared difference to the annotated values.

    Parameters
    ----------
    logits : Tensor, shape (N, 1, *spatial)
        Predicted values.
    labels : Tensor of float32, shape (N, *spatial)
        True values; pixels with `IGNORE`, as 255.0, do not count.
    weights : Tensor of float32, shape (N, *spatial)
    """
    return _mean((logits[:, 0] - labels).square(), labels, weights, total)


def mae(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    total: Total = alone,
) -> torch.Tensor:
    """Return the mean absolute difference to the annotated values, as `mse`."""
    return _mean((logits[:, 0] - labels).abs(), labels, weights, total)


def _mean(
    losses: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, total: Total
) -> torch.Tensor:
    weights = weights * (labels != IGNORE)
    sums = total(torch.stack([(losses * weights).sum(), weights.sum()]))
    return sums[0] / sums[1].clamp(min=_TINY)
