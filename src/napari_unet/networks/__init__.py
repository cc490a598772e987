"""The U-Net family; `build_network` is its one door.

Called, as in ``napari_unet.networks(channels=3)``, it lists the family.
"""

import sys
from types import ModuleType

from napari_unet.networks.attention import attention_maps
from napari_unet.networks.defaults import complete, network_config
from napari_unet.networks.family import build_network
from napari_unet.networks.geometry import Geometry, measure_geometry
from napari_unet.networks.listing import NetworkInfo, list_networks
from napari_unet.networks.unet import UNet

__all__ = [
    "Geometry",
    "NetworkInfo",
    "UNet",
    "attention_maps",
    "build_network",
    "complete",
    "list_networks",
    "measure_geometry",
    "network_config",
]


class _Family(ModuleType):
    """A package that can be called: its name is that of what it lists."""

    __call__ = staticmethod(list_networks)


sys.modules[__name__].__class__ = _Family
