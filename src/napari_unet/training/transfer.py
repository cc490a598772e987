"""Starting from the weights of a saved model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.errors import ConfigError
from napari_unet.model import Model

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_unet.config import NetworkConfig


def start_from(network: nn.Module, config: NetworkConfig, init: str) -> dict[str, Any]:
    """Copy the layers of a saved model that fit into a network, in place.

    A layer fits when it has the same name and its weights the same shapes.

    Parameters
    ----------
    network : torch.nn.Module
        Freshly drawn.
    config : NetworkConfig
        What describes it.
    init : str
        A model file or a run folder.

    Returns
    -------
    dict
        ``model`` as given, its ``step``, and the names of the layers ``taken`` and
        ``drawn`` anew.

    Raises
    ------
    ModelError
        If there is no such model.
    ConfigError
        If not one layer with weights of its own fits.
    """
    model = Model.load(init)
    mine, its = _layers(network), _layers(model.network)
    taken = [name for name in mine if _shapes(mine[name]) == _shapes(its.get(name))]
    if not any(tensor.ndim > 1 for name in taken for tensor in mine[name].values()):
        raise ConfigError(
            f"No layer of {init} fits this network: it holds {_describe(model.config)},"
            f" and this is {_describe(config)}. Take the options network, depth and "
            "width of that model, or leave out init."
        )
    for name in taken:
        for part, tensor in mine[name].items():
            tensor.copy_(its[name][part])
    drawn = [name for name in mine if name not in taken]
    return {
        "model": init,
        "step": model.history.get("step"),
        "taken": taken,
        "drawn": drawn,
    }


def describe_transfer(transfer: dict[str, Any]) -> str:
    """Say what `start_from` did in a sentence."""
    drawn = ", ".join(transfer["drawn"]) or "none"
    return (
        f"Starts from {transfer['model']}: {len(transfer['taken'])} layers taken; "
        f"drawn anew: {drawn}."
    )


def _layers(network: nn.Module) -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors of each layer by their name in it."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in network.state_dict().items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = tensor
    return layers


def _shapes(layer: dict[str, torch.Tensor] | None) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in (layer or {}).items()}


def _describe(config: NetworkConfig) -> str:
    return f"{config.name} of depth {config.depth} and width {config.width}"
