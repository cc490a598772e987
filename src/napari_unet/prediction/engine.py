"""The network, run over the tiles of one section or volume after the other."""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from napari_unet.data.normalisation import measure_normalisation
from napari_unet.errors import ModelError
from napari_unet.events import Event, PredictionFinished, PredictionStarted, TilesDone
from napari_unet.networks import measure_geometry
from napari_unet.networks.compute import (
    channels_last,
    choose_device,
    choose_dtype,
    dtype_name,
    fold_batch_norm,
    layout,
    reuse_memory,
)
from napari_unet.networks.footprint import measure_features
from napari_unet.prediction.plan import Plan, mirrored, plan_tiles
from napari_unet.prediction.stitch import BlendedImage, OpenImage, SectionPrediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.config import ComputeConfig, NetworkConfig, PredictionConfig
    from napari_unet.data.stack import Stack
    from napari_unet.model import Model
    from napari_unet.networks import Geometry

_LOG = logging.getLogger(__name__)

INEXACT = (
    "This network normalises or pools over all that it is given, so that its tiles do "
    "not quite equal the whole: they overlap and are blended. Larger tiles come nearer."
)
"""The remark on a prediction in tiles that is not exact."""

FAR = (
    "This network sees so far that tiles equal to the whole would not fit in memory: "
    "they overlap and are blended. If memory allows, give a tile of 4 times its halo."
)
"""The remark where only the default tiles are not exact."""

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
    """

    def __init__(
        self, network: torch.nn.Module, config: NetworkConfig, compute: ComputeConfig
    ) -> None:
        reuse_memory()
        self.config = config
        self.geometry = measure_geometry(config)
        self.device = choose_device(compute)
        self.dtype = choose_dtype(compute, self.device)
        if config.classes == 1 and compute.precision == "auto":
            self.dtype = torch.float32  # bf16 has 8 bits: steps one would see in values
        self.network = fold_batch_norm(network).to(self.device, self.dtype)
        channels_last(self.network, config.dims)

    def __call__(self, windows: np.ndarray) -> torch.Tensor:
        """Return the logits ``(N, classes, …)`` of windows ``(N, C, …)``.

        Where the network crops, there are zeros around what it gives.
        """
        batch = torch.from_numpy(windows).to(
            self.device, self.dtype, memory_format=layout(self.config.dims)
        )
        with torch.inference_mode():
            logits: torch.Tensor = self.network(batch)
        return functional.pad(logits, [self.geometry.crop] * 2 * self.config.dims)

    def plan(self, shape: Sequence[int], tile: int | None) -> Plan:
        """Plan the tiles of a section or volume, by memory when `tile` is None."""
        geometry, dims = self.geometry, len(shape)
        margins = [geometry.crop] * dims if geometry.crop else mirrored(self.config)
        if tile is None:
            canvas = np.add(shape, np.multiply(2, margins)).tolist()
            tile, geometry = self._fit_memory(canvas)
        return plan_tiles(
            shape,
            geometry.strides,
            geometry.radii,
            tile,
            margins,
            [geometry.remainder] * dims,
            blended=not geometry.exact,
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
        # Less than a third of it would be core.
        overlaps = tuple(4 * stride for stride in geometry.strides)
        radii = tuple(map(min, geometry.radii, overlaps))
        return tile, replace(geometry, radii=radii, exact=False)

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


def predict_sections(
    predictor: Predictor,
    stack: Stack,
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
    plan: Plan,
    *,
    probabilities: bool = False,
) -> Iterator[SectionPrediction | int]:
    """Predict section after section; memory does not grow with their number.

    A 3-D network needs memory for the pixels and results of one volume.

    Yields
    ------
    int
        After each batch, the number of tiles in it.
    SectionPrediction
        In the order of the sections, each as soon as its last tile is done.
    """
    batch_size = max(1, 2**18 // math.prod(plan.window))
    groups = stack.seen_together(predictor.config.dims)
    read = Reader(stack, normalise, predictor.config)
    images: dict[int, OpenImage] = {}
    kind = BlendedImage if plan.blended else OpenImage
    done: dict[int, SectionPrediction] = {}
    following = 0
    jobs = ((number, tile) for number in range(len(groups)) for tile in plan.tiles)
    while batch := list(itertools.islice(jobs, batch_size)):
        for number in dict.fromkeys(number for number, _ in batch):
            if number not in images:
                images[number] = kind(
                    read(number),
                    len(plan.tiles),
                    predictor.config.classes,
                    probabilities=probabilities,
                )
        windows = np.stack([images[number].window(tile) for number, tile in batch])
        logits = predictor(windows)
        for (number, tile), tile_logits in zip(batch, logits, strict=True):
            images[number].store(tile, tile_logits)
        yield len(batch)
        for number in [i for i, image in images.items() if not image.missing]:
            for section in images.pop(number).sections(groups[number]):
                done[section.index] = section
        # Volumes of an image whose sections come before its times are interleaved.
        while following in done:
            yield done.pop(following)
            following += 1


class Reader:
    """Reads what a network sees at once, normalised, each section as rarely as can be.

    A volume is ``(C, Z, Y, X)``; a section ``(C, Y, X)`` has the channels of those
    above and below it before and after its own.
    """

    def __init__(
        self,
        stack: Stack,
        normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
        config: NetworkConfig,
    ) -> None:
        self._stack = stack
        self._normalise = normalise
        self._is_volume = config.dims == 3
        self._seen = (
            stack.seen_together(3)
            if self._is_volume
            else stack.neighbours(config.context)
        )
        self._known: dict[int, NDArray[np.float32]] = {}

    def __call__(self, number: int) -> NDArray[np.float32]:
        """Read volume or section `number`."""
        seen = self._seen[number].tolist()
        self._known = {index: self._section(index) for index in set(seen)}
        planes = [self._known[index] for index in seen]
        if self._is_volume:
            self._known = {}
            return np.stack(planes, axis=1)
        return planes[0] if len(planes) == 1 else np.concatenate(planes)

    def _section(self, index: int) -> NDArray[np.float32]:
        known = self._known.get(index)
        return self._normalise(self._stack.section(index)) if known is None else known


def predict_events(
    model: Model,
    stack: Stack,
    config: PredictionConfig,
    on_section: Callable[[int, np.ndarray, np.ndarray | None], None],
    *,
    probabilities: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict a stack and hand over each section as it is done.

    Parameters
    ----------
    model : Model
    stack : Stack
    config : PredictionConfig
    on_section : callable
        Called with the section's index, its labels ``(Y, X)`` in mask values, or for
        regression the values as float32, and its probabilities ``(classes, Y, X)`` as
        float32, or None.
    probabilities : bool
        Whether probabilities are wanted.
    should_stop : callable
        Asked after every batch of tiles; when true, the prediction ends there without
        a `PredictionFinished`.

    Yields
    ------
    PredictionStarted, TilesDone, PredictionFinished

    Raises
    ------
    ModelError
        If the stack does not have the channels that the model expects.
    StackFormatError
        If the model sees volumes, and the stack has no Z axis.
    """
    check_channels(model, stack)
    predictor = Predictor(model.network, model.config, config)
    plan = predictor.plan(stack.shape_seen(model.config.dims), config.tile)
    total = len(plan.tiles) * len(stack.seen_together(model.config.dims))
    remark = FAR if predictor.geometry.exact else INEXACT
    remarks = [remark] if plan.blended and len(plan.tiles) > 1 else []
    for each in remarks:
        _LOG.warning("%s: %s", model.name or model.config.name, each)
    yield PredictionStarted(
        total,
        stack.n_sections,
        list(plan.window),
        predictor.device.type,
        dtype_name(predictor.dtype),
        remarks,
    )
    normalise = measure_normalisation(stack)
    done = 0
    for result in predict_sections(
        predictor, stack, normalise, plan, probabilities=probabilities
    ):
        if isinstance(result, int):
            done += result
            yield TilesDone(done, total)
        else:
            labels = model.target.decode(result.labels)
            on_section(result.index, labels, result.probabilities)
        if should_stop():
            return
    yield PredictionFinished()


def check_channels(model: Model, stack: Stack) -> None:
    """Raise `ModelError` unless `stack` has the channels that `model` expects."""
    if stack.n_channels != model.config.channels:
        raise ModelError(
            f"{stack.name or 'The image'} has {stack.n_channels} channel(s) (shape "
            f"{stack.shape}, axes {stack.axes}), but the model expects "
            f"{model.config.channels}: choose an image or a model that fits, or say "
            "what the axes are."
        )
