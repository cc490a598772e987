"""Where and in which number format a network computes, and its form for prediction."""

from __future__ import annotations

import copy
import ctypes
import sys
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unet.errors import ConfigError
from napari_unet.networks.blocks import (
    CONVOLUTION,
    NORM,
    TRANSPOSED,
    Convolution,
    Norm,
    Transposed,
)

if TYPE_CHECKING:
    from napari_unet.config import ComputeConfig

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


_PLAIN = {*CONVOLUTION.values(), *TRANSPOSED.values(), *NORM.values()}


def choose_device(config: ComputeConfig) -> torch.device:
    """Return the device that `config` asks for.

    Raises
    ------
    ConfigError
        If this machine does not have it.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if config.device == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[config.device]:
        raise ConfigError(
            f"The device is {config.device!r}, but torch finds none on this machine; "
            "take auto or cpu."
        )
    return torch.device(config.device)


def choose_dtype(config: ComputeConfig, device: torch.device) -> torch.dtype:
    """Return float32 or bfloat16, as `config` asks and the hardware makes sensible."""
    if config.precision == "auto":
        return torch.bfloat16 if _fast_in_bf16(device) else torch.float32
    return torch.bfloat16 if config.precision == "bf16" else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name that the options use: ``"bf16"`` or ``"fp32"``."""
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def _fast_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return False
    # Without these instructions a processor emulates bfloat16, slower than float32.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def layout(dims: int) -> torch.memory_format:
    """Return the order in memory that convolutions over `dims` axes are fastest in."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def channels_last(network: nn.Module, dims: int) -> None:
    """Lay the weights out as convolutions on a CPU and on tensor cores like it."""
    network.to(memory_format=layout(dims))  # type: ignore[call-overload]


def reuse_memory() -> None:
    """Let this process keep freed memory for its next tensors (glibc on Linux).

    By default freed features go back to the system and are fetched again, page by
    page, in every pass: a fifth of the time of a prediction.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 2**30)
        mallopt(_M_MMAP_THRESHOLD, 2**29)


def release_memory() -> None:
    """Give the system back what is free in this process (glibc on Linux)."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy for prediction, each batch norm folded into its convolution.

    In evaluation mode batch norm is an affine map, so the result is the same but for
    rounding, and one pass over the features is saved. A norm that comes before its
    convolution and rectifier stays.
    """
    folded = copy.deepcopy(network).eval()
    for parent in folded.modules():
        if isinstance(parent, nn.Sequential):
            _fold_sequence(parent)
    return folded


def _fold_sequence(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        convolution, norm = layers[index], layers[index + 1]
        # A class derived from these may do more: rectify, or standardise its weights.
        if not isinstance(norm, Norm) or not {type(convolution), type(norm)} <= _PLAIN:
            continue
        if isinstance(convolution, Convolution):
            layers[index] = fuse_conv_bn_eval(convolution, norm)
        elif isinstance(convolution, Transposed):
            layers[index] = fuse_conv_bn_eval(convolution, norm, transpose=True)
        else:
            continue
        layers[index + 1] = nn.Identity()
