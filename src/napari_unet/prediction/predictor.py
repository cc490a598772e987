"""A network made ready to predict."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_unet.config import PredictionConfig
from napari_unet.networks import measure_geometry
from napari_unet.networks.compute import (
    channels_last,
    choose_device,
    choose_dtype,
    fold_batch_norm,
    layout,
    reuse_memory,
)
from napari_unet.networks.footprint import measure_features
from napari_unet.prediction.orientations import ask
from napari_unet.prediction.plan import Plan, mirrored, plan_tiles
from napari_unet.prediction.runtime import choose_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.config import ComputeConfig, NetworkConfig
    from napari_unet.networks import Geometry

MEMORY = 2**30
"""Bytes the features of one tile should take where no tile size is given."""

MOST = 4 * MEMORY
"""Bytes they may take for the sake of a halo; where it asks for more, tiles blend."""

WORKING = 2
"""Convolutions hold about as much as their features once more, in another layout."""


class Predictor:
    """A network made ready to predict: folded, moved and converted.

    Parameters
    ----------
    network : torch.nn.Module
        It is copied; training may go on with the original.
    config : NetworkConfig
    compute : ComputeConfig
        Of a `PredictionConfig` the orientations, uncertainty and engine are heeded too.

    Attributes
    ----------
    uncertainty : str
        The option.
    remark : str
        What a user should know of the engine, if anything.

    Raises
    ------
    ConfigError
        If there is no such device or engine.
    """

    def __init__(
        self, network: torch.nn.Module, config: NetworkConfig, compute: ComputeConfig
    ) -> None:
        reuse_memory()
        if not isinstance(compute, PredictionConfig):
            compute = PredictionConfig(compute.device, compute.precision)
        self.config = config
        self.geometry = measure_geometry(config)
        self.device = choose_device(compute)
        self.dtype = choose_dtype(compute, self.device)
        if config.classes == 1 and compute.precision == "auto":
            self.dtype = torch.float32  # bf16 has 8 bits: steps one would see in values
        self.network = fold_batch_norm(network).to(self.device, self.dtype)
        channels_last(self.network, config.dims)
        self.tta, self.uncertainty = compute.tta, compute.uncertainty
        self._runtime, self.remark = choose_runtime(
            compute.engine, network, self.network, config, self.geometry
        )

    def batch(self, windows: Sequence[np.ndarray]) -> torch.Tensor:
        """Put windows ``(C, …)`` of float32 together as the network likes them."""
        batch = torch.empty(
            (len(windows), *windows[0].shape),
            dtype=self.dtype,
            memory_format=layout(self.config.dims),
            pin_memory=self.device.type == "cuda",
        )
        for place, window in zip(batch, windows, strict=True):
            place.copy_(torch.from_numpy(window))
        return batch.to(self.device, non_blocking=True)

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Return the logits ``(N, classes, …)`` of windows ``(N, C, …)``.

        Of several orientations they are the logits of their mean probabilities, and
        for disagreement there is one channel more (see `ask`). Where the network
        crops, there are zeros around what it gives.
        """
        with torch.inference_mode():
            if self.tta == 1:
                logits = self._run(windows)
            else:
                apart = self.uncertainty == "disagreement"
                logits = ask(self._run, windows, self.tta, entropies=apart)
        return functional.pad(logits, [self.geometry.crop] * 2 * self.config.dims)

    def _run(self, windows: torch.Tensor) -> torch.Tensor:
        run = self._runtime or self.network
        # Turned windows have lost the layout.
        logits: torch.Tensor = run(
            windows.contiguous(memory_format=layout(self.config.dims))
        )
        return logits

    def plan(
        self,
        shape: Sequence[int],
        tile: int | Sequence[int] | None,
        bounds: Sequence[tuple[int, int]] | None = None,
        *,
        blended: bool = False,
    ) -> Plan:
        """Plan the tiles of a section or volume, by memory when `tile` is None.

        Parameters
        ----------
        shape : sequence of int
            ``(Y, X)`` or ``(Z, Y, X)``, of the whole image.
        tile : int, sequence of int or None
            Largest length of a window, along all axes or each: that of another plan,
            its `window`, gives the same plan again.
        bounds : sequence of (int, int), optional
            The region whose pixels are wanted.
        blended : bool
            Whether the other plan is `blended`, of a network that could do without.
        """
        geometry, dims = self.geometry, len(shape)
        margins = [geometry.crop] * dims if geometry.crop else mirrored(self.config)
        if tile is None:
            canvas = np.add(shape, np.multiply(2, margins)).tolist()
            tile, geometry = self._fit_memory(canvas)
        elif blended and geometry.exact:
            geometry = self._overlapping()
        return plan_tiles(
            shape,
            geometry.strides,
            geometry.radii,
            tile,
            margins,
            [geometry.remainder] * dims,
            blended=not geometry.exact,
            bounds=bounds,
        )

    def _fit_memory(self, canvas: Sequence[int]) -> tuple[int, Geometry]:
        """Choose the tile, and the geometry that it can keep."""
        geometry, per_pixel = self.geometry, self.bytes_per_pixel()
        tile = _largest(canvas, int(MEMORY / per_pixel))
        if tile >= max(canvas) or not geometry.exact:
            return tile, geometry
        most = _largest(canvas, int(MOST / per_pixel))
        wide = max(tile, min(4 * geometry.radius, most))
        if wide >= 3 * geometry.radius:
            return wide, geometry
        return tile, self._overlapping()  # less than a third of it would be core

    def _overlapping(self) -> Geometry:
        """Return the geometry of tiles that know less than the network can see."""
        overlaps = tuple(4 * stride for stride in self.geometry.strides)
        radii = tuple(map(min, self.geometry.radii, overlaps))
        return replace(self.geometry, radii=radii, exact=False)

    def bytes_per_pixel(self) -> float:
        """Estimate what the features of a tile take, per pixel of it."""
        geometry = self.geometry
        lengths = [2 * stride for stride in geometry.strides]
        lengths[-2:] = [geometry.nearest(lengths[-1])] * 2
        image = torch.zeros(
            1, self.config.inputs, *lengths, device=self.device, dtype=self.dtype
        )
        features = measure_features(self.network, image)
        return WORKING * features * self.dtype.itemsize


def _largest(shape: Sequence[int], pixels: int) -> int:
    """Return the longest edge of a box of so many pixels inside one of `shape`.

    A thin volume leaves room for wider tiles.
    """
    left, axes = pixels, len(shape)
    for length in sorted(shape):
        edge = round(left ** (1 / axes), 6)
        if length > edge or axes == 1:
            return int(edge)
        left, axes = left // length, axes - 1
    raise AssertionError
