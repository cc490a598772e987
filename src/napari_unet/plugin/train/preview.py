"""Training patches as layers of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.plugin.layers import label_values, placement
from napari_unet.plugin.parts.choices import PREVIEW_KEY

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_unet.data import Stack
    from napari_unet.events import PatchesDrawn

    LayerData = tuple[Any, dict[str, Any], str]

_COLUMNS = 4
_GAP = 4  # pixels between two patches, and between the image and the first of them


@dataclass(frozen=True)
class PatchPlace:
    """Where the patches of an image go: side by side, to the right of it.

    Attributes
    ----------
    name : str
        Of the image.
    rgb : bool
        Whether its channels are colours.
    channels : int
    along : dict of str to dict
        Scale, unit and start of the patches, by axis.
    """

    name: str
    rgb: bool
    channels: int
    along: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, layer: Layer, stack: Stack) -> PatchPlace:
        """Note what is needed of a layer, which may change or go during the work."""
        place = placement(layer)
        names = ("scale", "units", "translate")
        along = {
            axis: dict(zip(names, each, strict=True))
            for axis, *each in zip(
                stack.section_axes, *(place[name] for name in names), strict=True
            )
        }
        width = stack.section_shape[1] + _GAP
        along["X"]["translate"] += along["X"]["scale"] * width
        return cls(layer.name, layer.rgb, stack.n_channels, along)

    def layers(self, event: PatchesDrawn) -> list[LayerData]:
        """Read patches into an image and their labels, or values to regress."""
        images, labels = np.load(event.images), np.load(event.labels)
        context = images.shape[1] // self.channels // 2  # sections above and below
        first = context * self.channels
        images = images[:, first : first + self.channels]
        regresses = labels.dtype.kind == "f"
        dims = labels.ndim - 1
        crop = (images.shape[-1] - labels.shape[-1]) // 2  # by the network
        labels = np.pad(
            labels,
            [(0, 0)] + [(crop, crop)] * dims,
            constant_values=np.nan if regresses else 0,
        )
        axes = "ZYX"[-dims:]
        place: dict[str, Any] = {
            name: [self.along[axis][name] for axis in axes]
            for name in ("scale", "units", "translate")
        }
        place["axis_labels"] = [axis.lower() for axis in axes]
        place["metadata"] = {PREVIEW_KEY: True}
        pixels, look = self._colours(mosaic(images))
        title = f"{self.name} patches"
        return [
            (pixels, {**place, **look, "name": title}, "image"),
            (
                mosaic(labels) if regresses else label_values(mosaic(labels)),
                {**place, "name": f"{title} labels"}
                | ({} if regresses else {"opacity": 0.4}),
                "image" if regresses else "labels",
            ),
        ]

    def _colours(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        if len(pixels) == 1:
            return pixels[0], {}
        if self.rgb:
            return np.moveaxis(pixels / 255, 0, -1).clip(0, 1), {"rgb": True}
        return pixels, {"channel_axis": 0}


def mosaic(patches: NDArray[Any]) -> NDArray[Any]:
    """Lay patches ``(N, …, Y, X)`` out in rows, with gaps of their least value."""
    gaps = [(0, 0)] * (patches.ndim - 2) + [(0, _GAP)] * 2
    missing = -len(patches) % _COLUMNS
    gaps[0] = (0, missing)
    least = np.nanmin(patches) if patches.dtype.kind == "f" else 0
    padded = np.pad(patches, gaps, constant_values=least)
    rows = padded.reshape(-1, _COLUMNS, *padded.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=-1) for row in rows], axis=-2)
