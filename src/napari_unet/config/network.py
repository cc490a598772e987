"""The options of a network, and of what computes it."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.config.options import Config, option

NETWORKS = (
    "unet",
    "unet-2015",
    "unet-keras",
    "unet-small",
    "unet-xception",
    "unet-attention",
    "unet-residual",
    "unet++",
    "unet-3d",
    "unet-small-3d",
    "unet-attention-3d",
    "unet-residual-3d",
    "unet++-3d",
)
"""The networks by name; `napari_unet.networks.family` builds them."""


@dataclass(frozen=True)
class NetworkConfig(Config):
    """The shape of a network: everything needed to build it again."""

    channels: int = option(1, "Channels of the input image.", minimum=1, maximum=64)
    classes: int = option(2, "Channels of the output.", minimum=1, maximum=64)
    depth: int = option(4, "How many times the image is halved.", minimum=1, maximum=6)
    width: int = option(
        16,
        "Features of the first level; each level doubles them.",
        minimum=1,
        maximum=256,
    )
    dropout: float = option(
        0.0, "Share of features dropped at the deepest level.", minimum=0, maximum=0.9
    )
    name: str = option(
        "unet",
        "Which network of the family; napari-unet networks lists them.",
        suggestions=NETWORKS,
    )
    dims: int = option(
        2, "2 for sections, 3 for volumes seen as a whole.", minimum=2, maximum=3
    )
    context: int = option(
        0,
        "Sections above and below each that a 2-D network sees besides.",
        minimum=0,
        maximum=16,
    )
    anisotropy: float = option(
        1.0,
        "How many times deeper than wide a voxel is, for a 3-D network.",
        minimum=0.01,
        maximum=100,
    )

    @property
    def inputs(self) -> int:
        """Channels that the first convolution sees: those of all sections it sees."""
        return self.channels * (2 * self.context + 1)


@dataclass(frozen=True)
class ComputeConfig(Config):
    """Where and how the network computes."""

    device: str = option(
        "auto",
        "Where to compute; auto takes a GPU when there is one.",
        choices=("auto", "cpu", "cuda", "mps"),
    )
    precision: str = option(
        "auto",
        "Number format; auto takes bf16 where the processor is made for it.",
        choices=("auto", "fp32", "bf16"),
    )
