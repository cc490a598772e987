"""The state of a training as named tensors, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn


def pack(
    network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Return all tensors that are needed to go on with a training, by name."""
    tensors = _flat("network", network.state_dict())
    tensors |= _flat("average", average.state_dict())
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= _flat(f"optimizer.{number}", state)
    return tensors


def unpack(
    tensors: dict[str, torch.Tensor],
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Put what `pack` returned back into its places."""
    network.load_state_dict(_below("network", tensors))
    average.load_state_dict(_below("average", tensors))
    states = {
        number: _laid_out_like(weight, _below(f"optimizer.{number}", tensors))
        for number, weight in enumerate(network.parameters())
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})


def _flat(prefix: str, tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        f"{prefix}.{name}": tensor.detach().cpu().contiguous()
        for name, tensor in tensors.items()
    }


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def _laid_out_like(
    weight: torch.Tensor, state: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Give a weight's optimiser state its memory layout: fused AdamW trusts it."""
    return {
        name: torch.empty_like(weight).copy_(tensor) if tensor.ndim else tensor
        for name, tensor in state.items()
    }
