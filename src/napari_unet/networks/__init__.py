"""The U-Net family; `build_network` is its one door."""

from napari_unet.networks.geometry import Geometry, measure_geometry
from napari_unet.networks.unet import UNet, build_network

__all__ = ["Geometry", "UNet", "build_network", "measure_geometry"]
