"""What runs a network: torch as it is, torch compiled for a GPU, or OpenVINO."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from napari_unet.errors import ConfigError, ModelError
from napari_unet.networks.compute import fold_batch_norm
from napari_unet.prediction.openvino import OpenVinoNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from napari_unet.config import NetworkConfig
    from napari_unet.networks import Geometry

    Run = Callable[[torch.Tensor], torch.Tensor]

DEVICES = {"openvino": "cpu", "compiled": "cuda"}
"""Where an engine computes that is not torch itself. On a CPU compiling takes half a
minute, and no pass was faster for it."""

_CONVERTED: WeakKeyDictionary[nn.Module, tuple[Any, OpenVinoNetwork]] = (
    WeakKeyDictionary()
)


def choose_runtime(
    engine: str,
    network: nn.Module,
    prepared: nn.Module,
    config: NetworkConfig,
    geometry: Geometry,
) -> tuple[Run | None, str]:
    """Return what computes logits instead of torch, or None with a remark on why not.

    That the engine ``compiled`` helps was not measured: there was no GPU to try it on.

    Parameters
    ----------
    engine : {"torch", "openvino", "compiled"}
    network : torch.nn.Module
        As it was trained, in float32 on the CPU.
    prepared : torch.nn.Module
        A copy, folded, on the device and in the number format to compute with.
    config : NetworkConfig
    geometry : Geometry

    Raises
    ------
    ConfigError
        If the engine is not installed, or not for the device.
    """
    if engine == "torch":
        return None, ""
    weight = next(prepared.parameters())
    if weight.device.type != DEVICES[engine]:
        raise ConfigError(
            f"engine is {engine}, which computes on {DEVICES[engine]}, but the device "
            f"is {weight.device.type}: choose that device, or engine torch."
        )
    first, other = _windows(config, geometry)
    try:
        if engine == "openvino":
            return _converted(network, first, other, weight.dtype), ""
        return compiled(prepared, other.to(weight.device, weight.dtype)), ""
    except ModelError as error:
        return None, f"{error} Torch computes it as ever."


def _converted(
    network: nn.Module, first: torch.Tensor, other: torch.Tensor, dtype: torch.dtype
) -> OpenVinoNetwork:
    """Convert a network, or take what it was converted to before with these weights."""
    tensors = itertools.chain(network.parameters(), network.buffers())
    state = dtype, *(each._version for each in tensors)
    if _CONVERTED.get(network, (None,))[0] != state:
        plain = fold_batch_norm(network)
        _CONVERTED[network] = state, OpenVinoNetwork(plain, first, other, dtype)
    return _CONVERTED[network][1]


def compiled(network: nn.Module, window: torch.Tensor) -> Run:
    """Return the network compiled by torch, and tried on a window.

    Raises
    ------
    ModelError
        If it cannot be compiled.
    """
    try:
        run: Run = torch.compile(network)
        with torch.inference_mode():
            run(window)
    except (RuntimeError, ImportError) as error:  # no compiler, or no such layer
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"Torch cannot compile this network ({reason}).") from error
    return run


def _windows(
    config: NetworkConfig, geometry: Geometry
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two windows of different shapes that a network takes."""
    lengths = [2 * stride for stride in geometry.strides]
    lengths[-2:] = [geometry.nearest(lengths[-1])] * 2
    wider = [*lengths[:-1], lengths[-1] + geometry.stride]
    shapes = (1, config.inputs, *lengths), (2, config.inputs, *wider)
    first, other = (
        torch.linspace(-2, 2, math.prod(shape)).reshape(shape) for shape in shapes
    )
    return first, other
