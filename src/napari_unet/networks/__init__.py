"""The U-Net family; `build_network` is its one door."""

from napari_unet.networks.attention import attention_maps
from napari_unet.networks.defaults import complete, network_config
from napari_unet.networks.family import build_network
from napari_unet.networks.geometry import Geometry, measure_geometry
from napari_unet.networks.unet import UNet

__all__ = [
    "Geometry",
    "UNet",
    "attention_maps",
    "build_network",
    "complete",
    "measure_geometry",
    "network_config",
]
