"""How far a network sees, found without knowing what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

FARTHEST = 2048
"""Pixels; a network that sees further than this is taken to see everything."""


def measure_reach(network: nn.Module, stride: int) -> int | None:
    """Measure how far `network` sees, in pixels, or None where that has no end.

    A pixel that is not a number makes all that depends on it not a number, whatever
    the layers between them are. Averages over the whole image, as in squeeze and
    excitation, and attention spread it everywhere.

    Parameters
    ----------
    network : torch.nn.Module
        In float64 and evaluation mode, for one channel; its output is as large as its
        input.
    stride : int
        Its grid.

    Returns
    -------
    int or None
        See `napari_unet.networks.Geometry.radius`; rounded up to what a whole block of
        the grid sees, thus a multiple of `stride`.
    """
    reach = 4 * stride
    while reach <= FARTHEST:
        before, after = _blocks_reached(network, stride, reach // stride)
        farthest = max(before, after) * stride
        if farthest < reach:
            return farthest
        reach *= 2
    return None


def _blocks_reached(network: nn.Module, stride: int, around: int) -> tuple[int, int]:
    """Return how many blocks before and after it one block of rows reaches."""
    blocks = 2 * around + 1
    # Some encoders shrink the image further than they are asked to.
    columns = max(stride, 2**5)
    image = torch.zeros(1, 1, blocks * stride, columns, dtype=torch.float64)
    image[:, :, around * stride : (around + 1) * stride] = torch.nan
    with torch.inference_mode(), _OneFeature():
        logits = network(image)[0]
    reached = logits.isnan().any(dim=0).view(blocks, -1).any(dim=1).nonzero().flatten()
    return around - int(reached[0]), int(reached[-1]) - around


class _OneFeature(TorchFunctionMode):
    """Convolve the mean of the features only: the same pixels are seen, far sooner."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is not functional.conv2d:
            return func(*args, **(kwargs or {}))
        image, weight, _, *geometry, _ = args
        thin = torch.ones_like(weight[:1, :1])
        result = func(image.mean(dim=1, keepdim=True), thin, None, *geometry)
        return result.expand(-1, len(weight), -1, -1).contiguous()
