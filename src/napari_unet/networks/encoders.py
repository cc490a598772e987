"""U-Nets whose contracting path is a known network, with its published weights.

The encoders, and the decoder that fits them, are those of segmentation-models-pytorch
(https://github.com/qubvel-org/segmentation_models.pytorch). It is imported only when
such a network is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import warnings
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_unet.config import NETWORKS
from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.config import NetworkConfig

PREFIX = "unet-"
TIMM = "tu-"  # how segmentation-models-pytorch marks any other network of timm
DEPTHS = range(3, 6)

_INSTALL = 'python -m pip install "napari-unet-lab[encoders]"'


class EncoderUNet(nn.Module):
    """A U-Net on an encoder of segmentation-models-pytorch.

    Input ``(N, config.inputs, Y, X)`` with Y and X multiples of ``2**depth``; output
    logits ``(N, classes, Y, X)``. The decoder has ``width`` features at full
    resolution, and twice as many with each step down.

    Raises
    ------
    ConfigError
        If there is no such encoder, or it cannot be built as `config` says.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        if config.depth not in DEPTHS or config.dims != 2:
            raise ConfigError(
                f"{config.name} has depth {config.depth} and sees {config.dims} "
                f"dimensions, but with an encoder depth is {DEPTHS[0]} to "
                f"{DEPTHS[-1]}, and only sections are seen (dims 2)."
            )
        self.name = config.name.removeprefix(PREFIX)
        self.depth = config.depth
        widths = [config.width * 2**level for level in range(config.depth)][::-1]
        with _explained(config.name, config.depth), warnings.catch_warnings():
            # Its names that begin with timm- go on working here.
            warnings.simplefilter("ignore", DeprecationWarning)
            unet = import_smp().Unet(
                self.name,
                encoder_depth=config.depth,
                encoder_weights=None,
                decoder_channels=widths,
                in_channels=config.inputs,
                classes=config.classes,
            )
        self.encoder = unet.encoder
        self.dropout = nn.Dropout2d(config.dropout)
        self.decoder = unet.decoder
        self.head = unet.segmentation_head

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits of `image`."""
        *skips, deepest = self.encoder(image)
        logits: torch.Tensor = self.head(self.decoder([*skips, self.dropout(deepest)]))
        return logits


@contextmanager
def _explained(name: str, depth: int) -> Iterator[None]:
    try:
        yield
    except (
        ValueError,
        RuntimeError,
        LookupError,
        AttributeError,
        TypeError,
        AssertionError,
    ) as error:
        raise ConfigError(
            f"{name} cannot be built with depth {depth} ({error}): try depth 5, or "
            "another encoder."
        ) from error


@lru_cache(maxsize=1)
def import_smp() -> Any:
    """Import segmentation-models-pytorch.

    Raises
    ------
    ConfigError
        If it is not installed, or what it needs cannot be loaded here.
    """
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        raise ConfigError(
            "A network with an encoder needs segmentation-models-pytorch, which "
            f"is not installed: {_INSTALL}"
        )
    try:
        return importlib.import_module("segmentation_models_pytorch")
    except (ImportError, RuntimeError, OSError) as error:
        raise ConfigError(
            "A network with an encoder needs segmentation-models-pytorch, which "
            f"cannot be loaded here ({error}). Most often torchvision is of another "
            "build than torch: install both anew from one place, for example with "
            "python -m pip install --force-reinstall torch torchvision "
            "--index-url https://download.pytorch.org/whl/cpu"
        ) from error


def encoder_networks() -> list[str]:
    """List the networks ``unet-<encoder>``, without those of timm (``unet-tu-…``).

    One that has the name of a network of the family is left out.

    Raises
    ------
    ConfigError
        As `import_smp`.
    """
    names = [PREFIX + name for name in import_smp().encoders.get_encoder_names()]
    return [name for name in names if name not in NETWORKS]


def is_encoder_network(name: str) -> bool:
    """Whether `name` is ``unet-<encoder>`` or ``unet-tu-<network of timm>``.

    Raises
    ------
    ConfigError
        As `import_smp`.
    """
    if not name.startswith(PREFIX):
        return False
    if name.startswith(PREFIX + TIMM):
        import_smp()
        timm = importlib.import_module("timm")
        known: bool = timm.is_model(name.removeprefix(PREFIX + TIMM))
        return known
    return name in encoder_networks()


def load_published(network: EncoderUNet) -> None:
    """Give the encoder the weights it was published with, most often of ImageNet.

    They come from the cache folder of Hugging Face, or are downloaded to it. An image
    of three channels takes them as they are. For another number the weights of the
    first layer are summed over red, green and blue and shared evenly by the channels:
    an image with the same values in all of them looks to the network like a grey
    photograph. Our images are normalised by their own mean and standard deviation,
    not by those of ImageNet, so that what the encoder sees resembles what it was
    trained on, but not exactly.

    Raises
    ------
    ConfigError
        If there are no weights, or they are neither in the cache nor to be downloaded.
    """
    published = _read_published(network.name, network.depth)
    own = network.encoder.state_dict()
    fitting = {
        name: _share(weight, own[name]) if weight.shape != own[name].shape else weight
        for name, weight in published.items()
    }
    network.encoder.load_state_dict(fitting)


def _share(weight: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Sum ``(outputs, RGB, Y, X)`` over the colours and share it by the channels."""
    return weight.sum(dim=1, keepdim=True).expand_as(own) / own.shape[1]


def _read_published(name: str, depth: int) -> dict[str, torch.Tensor]:
    """Return the published weights; reading the file runs no code.

    Those of segmentation-models-pytorch are safetensors files; timm reads the same, or
    pickles of weights only.
    """
    smp = import_smp()
    errors = importlib.import_module("huggingface_hub.errors")
    damaged = importlib.import_module("safetensors").SafetensorError
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            encoder = smp.encoders.get_encoder(
                name, depth=depth, weights=_which(smp, name)
            )
    except (
        OSError,
        errors.HTTPError,
        damaged,
        pickle.UnpicklingError,
        RuntimeError,
        LookupError,
    ) as error:
        raise ConfigError(_missing(smp, name, error)) from error
    weights: dict[str, torch.Tensor] = encoder.state_dict()
    return weights


def _settings(smp: Any, name: str) -> dict[str, Any]:
    settings: dict[str, Any] = smp.encoders.encoders[name]["pretrained_settings"]
    return settings


def _which(smp: Any, name: str) -> Any:
    """Choose among the published weights: those of ImageNet, or else the first."""
    if name.startswith(TIMM):
        return True
    settings = _settings(smp, name)
    return "imagenet" if "imagenet" in settings else next(iter(settings))


def _missing(smp: Any, name: str, error: Exception) -> str:
    cache = importlib.import_module("huggingface_hub.constants").HF_HUB_CACHE
    folder = "its folder"
    if not name.startswith(TIMM):
        repository = _settings(smp, name)[_which(smp, name)]["repo_id"]
        folder = f"the folder models--{repository.replace('/', '--')}"
    reason = str(error).splitlines()[0] if str(error) else repr(error)
    return (
        f"The published weights of {name} cannot be had ({reason}): connect to the "
        f"internet once, or copy {folder} from the cache of a computer that has them "
        f"to {cache}, or start without them (pretrained=False, --no-pretrained)."
    )


def freeze(network: nn.Module, frozen: bool) -> None:
    """Keep the encoder's weights and batch-norm statistics as they are, or let go.

    Raises
    ------
    ConfigError
        If the network has no encoder.
    """
    encoder = getattr(network, "encoder", None)
    if encoder is None:
        raise ConfigError(
            f"This network ({type(network).__name__}) has no encoder to freeze: leave "
            "out freeze, or take another network."
        )
    encoder.requires_grad_(not frozen)
    encoder.train(not frozen)
