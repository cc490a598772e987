"""A network made ready to predict."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_unet.config import PredictionConfig, number_of_bytes
from napari_unet.errors import OutOfMemoryError
from napari_unet.networks import measure_geometry
from napari_unet.networks.compute import (
    channels_last,
    choose_device,
    choose_dtype,
    fold_batch_norm,
    layout,
    release_memory,
    reuse_memory,
)
from napari_unet.networks.footprint import measure_features
from napari_unet.prediction.memory import GAPS, PACKED, SHARE, Footprint, free_memory
from napari_unet.prediction.orientations import ask
from napari_unet.prediction.plan import Plan, best_window, mirrored, plan_tiles
from napari_unet.prediction.runtime import choose_runtime
from napari_unet.prediction.spans import Axis
from napari_unet.prediction.windows import AHEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from napari_unet.config import ComputeConfig, NetworkConfig
    from napari_unet.networks import Geometry

SMALL = 2**18
"""Pixels below which windows are given to the network several at once."""


ENOUGH = 5 * 2**20
"""Pixels of a window for sections on a CPU, above which larger ones are slower: memory
that is touched for the first time takes as long as a network of 16 features, and from
2288² on no window saves more than a tenth of the pixels. Volumes have far more halo."""


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
        self._memory = compute.memory
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
        crop = self.geometry.crop
        return functional.pad(logits, [crop] * 2 * self.config.dims) if crop else logits

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
        frames: int = 1,
    ) -> Plan:
        """Plan the tiles of a section or volume: the fewest pixels that memory allows.

        Parameters
        ----------
        shape : sequence of int
            ``(Y, X)`` or ``(Z, Y, X)``, of the whole image.
        tile : int, sequence of int or None
            Largest length of a window, along all axes; or along each, when the
            `window` of another plan gives the same plan again, whatever is free now.
        bounds : sequence of (int, int), optional
            The region whose pixels are wanted.
        blended : bool
            Whether the other plan is `blended`, of a network that could do without.
        frames : int
            How many sections, or volumes, there are.
        """
        axes = self._axes(shape, bounds, self.geometry)
        if isinstance(tile, int) and self._memory is None:
            plan = plan_tiles(axes, tile, blended=not self.geometry.exact)
        elif tile is None or isinstance(tile, int):
            plan = self._fit(shape, bounds, self._most_pixels(), tile)
        elif blended and self.geometry.exact:
            wide = self._axes(shape, bounds, self._overlapping())
            plan = plan_tiles(wide, tile, blended=True)
        else:
            plan = plan_tiles(axes, tile, blended=not self.geometry.exact)
        together = max(1, SMALL // math.prod(plan.window))
        return replace(plan, batch=together, frames=frames)

    def smaller(
        self, plan: Plan, shape: Sequence[int], bounds: Sequence[tuple[int, int]]
    ) -> Plan:
        """Plan a part of a plan again, in windows of at most half the pixels.

        Raises
        ------
        OutOfMemoryError
            If they cannot be smaller.
        """
        geometry = self._overlapping() if plan.blended else self.geometry
        axes = self._axes(shape, bounds, geometry)
        half = math.prod(plan.window) // 2
        window = best_window(axes, half, longest=None, blended=plan.blended)
        if window is None:
            raise OutOfMemoryError(
                "There is not enough memory for the smallest tile that this network "
                f"can be given, of {' × '.join(map(str, plan.window))} pixels. Close "
                "other programs, or take a machine with more memory."
            )
        return plan_tiles(axes, window, blended=plan.blended)

    def expected(self, plan: Plan) -> int:
        """Return the bytes that a prediction is expected to take."""
        together = min(plan.batch, plan.frames * len(plan.tiles))
        return self.footprint.bytes(together * math.prod(plan.window))

    def budget(self) -> int:
        """Return the bytes that windows may take: as told, or a share of those free."""
        if self._memory is not None:
            return number_of_bytes(self._memory)
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            return int(SHARE * free)
        if SHARE * free_memory() < self.footprint.bytes(ENOUGH):
            release_memory()  # not at ease: each call would take it anew, page by page
        return int(SHARE * free_memory())

    def _most_pixels(self) -> int:
        """Return how many pixels a window should have at most: not all that fit."""
        pixels = self.footprint.pixels(self.budget())
        if self.device.type != "cpu" or self.config.dims == 3:
            return pixels
        return min(pixels, max(ENOUGH, (4 * self.geometry.radius) ** 2))

    @cached_property
    def footprint(self) -> Footprint:
        """What windows take, measured on a small one."""
        geometry = self.geometry
        lengths = [2 * stride for stride in geometry.strides]
        lengths[-2:] = [geometry.nearest(lengths[-1])] * 2
        image = torch.zeros(
            1, self.config.inputs, *lengths, device=self.device, dtype=self.dtype
        )
        size = self.dtype.itemsize
        features = size * measure_features(self.network, image)
        if self.device.type == "cpu":
            features *= GAPS[self.config.dims]
        # Windows that are read ahead, and the one at the network; what it says.
        windows = self.config.inputs * (4 * (AHEAD + 2) + size)
        said = 8 * self.config.classes * (2 if self.tta > 1 else 1)
        weights = size * sum(each.numel() for each in self.network.parameters())
        packed = PACKED * weights if self.device.type == "cpu" else 0
        return Footprint(features + windows + said, int(packed))

    def _fit(
        self,
        shape: Sequence[int],
        bounds: Sequence[tuple[int, int]] | None,
        pixels: int,
        longest: int | None,
    ) -> Plan:
        """Take the best window; tiles blend where it holds little core."""
        exact = self.geometry.exact
        axes = self._axes(shape, bounds, self.geometry)
        window = best_window(axes, pixels, longest=longest, blended=not exact)
        if window is not None:
            plan = plan_tiles(axes, window, blended=not exact)
            few = any(
                core.stop < axis.bounds[1] and length < 3 * axis.radius
                for length, axis, core in zip(
                    window, axes, plan.tiles[0].core, strict=True
                )
            )
            if not (exact and few):
                return plan
        axes = self._axes(shape, bounds, self._overlapping())
        window = best_window(axes, pixels, longest=longest, blended=True)
        return plan_tiles(axes, window or 0, blended=True)

    def _axes(
        self,
        shape: Sequence[int],
        bounds: Sequence[tuple[int, int]] | None,
        geometry: Geometry,
    ) -> list[Axis]:
        dims = len(shape)
        margins = [geometry.crop] * dims if geometry.crop else mirrored(self.config)
        wanted = bounds or [(0, length) for length in shape]
        return [
            Axis(*each[:4], geometry.remainder, each[4])
            for each in zip(
                shape, geometry.strides, geometry.radii, margins, wanted, strict=True
            )
        ]

    def _overlapping(self) -> Geometry:
        """Return the geometry of tiles that know less than the network can see."""
        if not self.geometry.exact:
            return self.geometry
        overlaps = tuple(4 * stride for stride in self.geometry.strides)
        radii = tuple(map(min, self.geometry.radii, overlaps))
        return replace(self.geometry, radii=radii, exact=False)
