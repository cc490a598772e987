"""Batch normalisation over the patches of several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable

    Total = Callable[[torch.Tensor], torch.Tensor]


class SharedNorm(TorchFunctionMode):
    """Within it, batch normalisation takes mean and variance over all processes.

    Parameters
    ----------
    rank, size : int
        Number of this process, and how many there are.
    total : callable
        Sums a tensor over all processes, in place.
    """

    def __init__(self, rank: int, size: int, total: Total) -> None:
        super().__init__()
        self.rank = rank
        self.size = size
        self.total = total

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Replace batch normalisation, whatever layer calls it."""
        if func is functional.batch_norm:
            return _batch_norm(self, *args, **kwargs or {})
        return func(*args, **kwargs or {})


def _batch_norm(
    shared: SharedNorm,
    features: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor:
    """Normalise ``(N, C, *spatial)``; as `torch.nn.functional.batch_norm`."""
    if not training:
        return functional.batch_norm(
            features, running_mean, running_var, weight, bias, False, momentum, eps
        )
    mean, variance, count = _statistics(shared, features.detach())
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * count / (count - 1), momentum)
    weight = torch.ones_like(mean) if weight is None else weight
    bias = torch.zeros_like(mean) if bias is None else bias
    normal: torch.Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
        features, weight, bias, mean, variance, count, eps, shared.total
    )
    return normal


def _statistics(
    shared: SharedNorm, features: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mean, variance and number of the pixels of all processes, by channel.

    From those of each process (Chan, Golub and LeVeque 1983), as squares that are
    summed before the mean is known would lose digits.
    """
    zeros = features.new_zeros(2, features.shape[1], dtype=torch.float32)
    own = torch.batch_norm_update_stats(features, zeros[0], zeros[1], 0.0)
    pixels = torch.full_like(own[0], features.numel() / features.shape[1])
    table = own[0].new_zeros(shared.size, 3, len(pixels))  # a row for each process
    table[shared.rank] = torch.stack([pixels, *own])
    counts, means, variances = shared.total(table).unbind(1)
    count = counts.sum(0)
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean).square())).sum(0) / count
    return mean, variance, count


class _Normalise(torch.autograd.Function):
    """Normalise with the mean and variance of all processes.

    The gradient is that of a layer in evaluation, less what each pixel changes through
    both (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3).
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        variance: torch.Tensor,
        count: torch.Tensor,
        eps: float,
        total: Total,
    ) -> torch.Tensor:
        ctx.save_for_backward(features, weight, mean, variance, count)
        ctx.eps, ctx.total = eps, total
        return functional.batch_norm(
            features, mean, variance, weight, bias, False, 0.0, eps
        )

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        features, weight, mean, variance, count = ctx.saved_tensors
        scale = (variance + ctx.eps).rsqrt()
        own, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0],
            features,
            weight,
            mean,
            variance,
            mean,
            scale,
            False,
            ctx.eps,
            [True, True, True],
        )
        by_weight, by_bias = ctx.total(torch.stack([of_weight, of_bias])) / count
        slope = weight * scale**2 * by_weight
        start = weight * scale * by_bias - slope * mean
        shape = (1, -1, *[1] * (features.ndim - 2))
        own -= features * slope.view(shape) + start.view(shape)
        return own, of_weight, of_bias, *[None] * 5
