"""A network that learns: step by step, its weights averaged over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from napari_unet.networks import build_network
from napari_unet.networks.blocks import crop_centre
from napari_unet.networks.compute import channels_last, choose_device, choose_dtype
from napari_unet.networks.encoders import EncoderUNet, freeze, load_published
from napari_unet.training.checkpoint import pack, unpack
from napari_unet.training.losses import choose_loss
from napari_unet.training.optimisers import (
    make_optimizer,
    rate_factor,
    running_average,
)
from napari_unet.training.parallel import Team
from napari_unet.training.transfer import start_from

if TYPE_CHECKING:
    from napari_unet.config import NetworkConfig, TrainingConfig
    from napari_unet.training.augmentation import Patch


class NotFiniteError(Exception):
    """The loss is no number any more."""


class Learner:
    """A network with its optimiser, its loss and the average of its weights.

    Parameters
    ----------
    config : TrainingConfig
        Complete.
    network : NetworkConfig
    team : Team, optional
        The processes that learn together.

    Attributes
    ----------
    network : torch.nn.Module
    average : torch.nn.Module
        The network with averaged weights: the one that is judged and kept.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: NetworkConfig,
        team: Team | None = None,
    ) -> None:
        self.config = config
        self.team = team or Team()
        self.network_config = network
        self.device = choose_device(config)
        self.dtype = choose_dtype(config, self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            built = build_network(network)
        self.network = built.to(self.device)
        channels_last(self.network, network.dims)
        self._averaged = running_average(self.network, config.averaging)
        self.optimizer = make_optimizer(config, self.network)
        self.loss = choose_loss(config, self.team.total)

    @property
    def average(self) -> torch.nn.Module:
        """The network with averaged weights."""
        return self._averaged.module

    def take_weights(self) -> dict[str, Any] | None:
        """Start from a saved model, if one was named, or from published weights."""
        transfer = None
        if self.config.init:
            transfer = start_from(self.network, self.network_config, self.config.init)
        elif self.config.pretrained and isinstance(self.network, EncoderUNet):
            load_published(self.network)
        self.average.load_state_dict(self.network.state_dict())
        return transfer

    def step(
        self, batch: Patch, step: int, seed: int, share: float, cuts: int
    ) -> tuple[float, float]:
        """Learn from a batch.

        Parameters
        ----------
        batch : Patch
            Its share of this process.
        step : int
            Its number.
        seed : int
            Of the random numbers that the network draws in it.
        share : float
            Share of the budget that is used.
        cuts : int
            See `rate_factor`.

        Returns
        -------
        loss, learning_rate : float

        Raises
        ------
        NotFiniteError
            If the loss or its gradient is no number; the weights stay as they are.
        """
        rate = self._set_learning_rate(share, cuts)
        self.optimizer.zero_grad(set_to_none=True)
        with self.team.step():
            loss = self._forward(batch, seed, share)
            loss.backward()
            self.team.average(self.network.parameters())
        slope = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.config.clip or math.inf
        )
        value = loss.item()
        if not math.isfinite(value + slope.item()):
            what = "gradient of the loss" if math.isfinite(value) else "loss"
            raise NotFiniteError(
                f"The {what} became {value + slope.item()} in step {step} and the "
                "training stopped. A lower learning_rate or precision fp32 may help; "
                "look for extreme pixel values in the image."
            )
        self.optimizer.step()
        self._averaged.update_parameters(self.network)
        return value, rate

    def pack(self) -> dict[str, torch.Tensor]:
        """Return all tensors that are needed to go on."""
        return pack(self.network, self._averaged, self.optimizer)

    def unpack(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what `pack` returned."""
        unpack(tensors, self.network, self._averaged, self.optimizer)

    def _set_learning_rate(self, share: float, cuts: int) -> float:
        config = self.config
        assert config.learning_rate is not None
        rate = config.learning_rate * rate_factor(config.schedule, share, cuts)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _forward(self, batch: Patch, seed: int, share: float) -> torch.Tensor:
        self.network.train()
        if self.config.freeze:
            freeze(self.network, share < self.config.freeze)
        images, labels, weights = (each.to(self.device) for each in batch)
        half = self.dtype == torch.bfloat16
        # Some encoders draw random numbers even without dropout.
        with torch.random.fork_rng():
            torch.manual_seed(seed + self.team.rank)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                output = self.network(images)
        heads = output if isinstance(output, list) else [output]  # deep supervision
        size = heads[0].shape[2:]  # smaller than the patch where the network crops
        labels, weights = crop_centre(labels, size), crop_centre(weights, size)
        losses = [self.loss(logits.float(), labels, weights) for logits in heads]
        return torch.stack(losses).mean()
