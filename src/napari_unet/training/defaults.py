"""What a training takes where nothing is said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_unet.errors import ConfigError
from napari_unet.model import read_info
from napari_unet.networks import complete
from napari_unet.networks.encoders import EncoderUNet
from napari_unet.networks.family import find_member
from napari_unet.training.augmentation import complete_augmentation
from napari_unet.training.optimisers import OPTIMISERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.config import TrainingConfig
    from napari_unet.data.stack import Stack

FINE_TUNING = 0.25
"""Share of the learning rate for a pretrained encoder: the usual 1e-4 keeps what it
knows, 2e-3 suits the fresh decoder; 5e-4 lies between."""

_BORDERS = {"class_balance": True, "border_weight": 10.0}
_NO_BORDERS = {"class_balance": False, "border_weight": 0.0}


def complete_training(
    config: TrainingConfig, images: Sequence[Stack] = (), *, walls: bool = True
) -> TrainingConfig:
    """Fill in what was left to the loss, optimiser, augmentation, network and model.

    Parameters
    ----------
    config : TrainingConfig
    images : sequence of Stack
        A 3-D network also heeds their voxels and depth.
    walls : bool
        Whether one class is walls between regions of the other (see `has_walls`).

    Raises
    ------
    ConfigError
        If there is no such network, or it cannot take patches of that size.
    StackFormatError
        If it sees volumes, and an image has no Z axis.
    ModelError
        If there is no model to start from.
    """
    if config.loss == "auto":
        config = replace(config, loss=_loss(config, walls))
    optimiser = OPTIMISERS[config.optimizer]
    tuned = config.pretrained and find_member(config.network).build is EncoderUNet
    own: dict[str, Any] = {
        **(_BORDERS if config.loss == "border-cross-entropy" else _NO_BORDERS),
        "learning_rate": optimiser.learning_rate * (FINE_TUNING if tuned else 1),
        "weight_decay": optimiser.weight_decay,
    }
    if config.zero_is_unlabelled and not config.regresses:
        # How much is painted of a class does not say how common it is.
        own["class_balance"] = True
    if config.init and config.depth is None and config.width is None:
        own |= _shape(config.init, config.network)
    missing = {name: own[name] for name in own if getattr(config, name) is None}
    config = complete_augmentation(replace(config, **missing))
    if not images or find_member(config.network).dims == 2:
        return complete(config)
    if config.context:
        raise ConfigError(
            f"context is {config.context}, but {config.network} sees all sections by "
            "itself: leave it out, or take a 2-D network."
        )
    if config.anisotropy is None:
        config = replace(config, anisotropy=images[0].anisotropy)
    return complete(config, max(image.shape_seen(3)[0] for image in images))


def _loss(config: TrainingConfig, walls: bool) -> str:
    """Return the loss for a target; objects have a class of their borders already."""
    if config.regresses:
        return "mse"
    if walls and config.objects == "no":
        return "border-cross-entropy"
    return "cross-entropy-dice"


def _shape(init: str, network: str) -> dict[str, Any]:
    """Return the size of the model to start from, if it is a network of that name."""
    saved = read_info(init)["network"]
    if saved.get("name", "unet") != network:
        return {}
    return {name: saved[name] for name in ("depth", "width")}
