"""The network, run over the tiles of one section after the other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

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
)
from napari_unet.prediction.plan import Plan, Tile, mirror, plan_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.config import ComputeConfig, NetworkConfig, PredictionConfig
    from napari_unet.data.stack import Stack
    from napari_unet.model import Model

MEMORY = 2**30
"""Bytes the features of one tile may take where no tile size is given."""


@dataclass(frozen=True)
class SectionPrediction:
    """The result for one section.

    Attributes
    ----------
    index : int
        Its place in the stack.
    labels : ndarray of uint8, shape (Y, X)
        The most probable class of each pixel, as class index.
    probabilities : ndarray of float32, shape (classes, Y, X), or None
        In class order; they sum to 1.
    """

    index: int
    labels: np.ndarray
    probabilities: np.ndarray | None


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
        self.config = config
        self.device = choose_device(compute)
        self.dtype = choose_dtype(compute, self.device)
        self.network = fold_batch_norm(network).to(self.device, self.dtype)
        channels_last(self.network)

    def __call__(self, windows: np.ndarray) -> torch.Tensor:
        """Return the logits ``(N, classes, Y, X)`` of windows ``(N, C, Y, X)``."""
        batch = torch.from_numpy(windows).to(
            self.device, self.dtype, memory_format=torch.channels_last
        )
        with torch.inference_mode():
            logits: torch.Tensor = self.network(batch)
        return logits

    def plan(self, shape: tuple[int, int], tile: int | None) -> Plan:
        """Plan the tiles of a section of `shape`, by memory when `tile` is None."""
        geometry = measure_geometry(self.config)
        if tile is None:
            # At its widest the network holds about six times its first features.
            per_pixel = 6 * 2 * self.config.width * self.dtype.itemsize
            tile = max(math.isqrt(MEMORY // per_pixel), 4 * geometry.radius)
        return plan_tiles(shape, geometry.stride, geometry.radius, tile)


def predict_sections(
    predictor: Predictor,
    stack: Stack,
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
    plan: Plan,
    *,
    probabilities: bool = False,
) -> Iterator[SectionPrediction | int]:
    """Predict section after section; memory does not grow with their number.

    Yields
    ------
    int
        After each batch, the number of tiles in it.
    SectionPrediction
        After the last tile of a section.
    """
    batch_size = max(1, 2**18 // math.prod(plan.window))
    sections: dict[int, _OpenSection] = {}
    jobs = ((index, tile) for index in range(stack.n_sections) for tile in plan.tiles)
    while batch := list(itertools.islice(jobs, batch_size)):
        for index in dict.fromkeys(index for index, _ in batch):
            if index not in sections:
                pixels = normalise(stack.section(index))
                classes = predictor.config.classes if probabilities else 0
                sections[index] = _OpenSection(pixels, len(plan.tiles), classes)
        windows = np.stack([sections[i].window(tile) for i, tile in batch])
        logits = predictor(windows)
        for (index, tile), tile_logits in zip(batch, logits, strict=True):
            sections[index].store(tile, tile_logits)
        yield len(batch)
        for index in [i for i, section in sections.items() if not section.missing]:
            done = sections.pop(index)
            yield SectionPrediction(index, done.labels, done.probabilities)


class _OpenSection:
    """A normalised section ``(C, Y, X)`` and the part of its result known so far."""

    def __init__(self, pixels: np.ndarray, tiles: int, classes: int) -> None:
        self.pixels = pixels
        self.missing = tiles
        shape = pixels.shape[1:]
        self.labels = np.empty(shape, np.uint8)
        self.probabilities = (
            np.empty((classes, *shape), np.float32) if classes else None
        )

    def window(self, tile: Tile) -> np.ndarray:
        height, width = self.pixels.shape[1:]
        rows = mirror(tile.rows.first, tile.rows.last, height)
        columns = mirror(tile.columns.first, tile.columns.last, width)
        return self.pixels[:, rows[:, None], columns]

    def store(self, tile: Tile, logits: torch.Tensor) -> None:
        inner = logits[:, tile.rows.core_in_window, tile.columns.core_in_window]
        core = tile.rows.core, tile.columns.core
        self.labels[core] = inner.argmax(dim=0).to(torch.uint8).cpu().numpy()
        if self.probabilities is not None:
            shares = torch.softmax(inner.float(), dim=0)
            self.probabilities[:, *core] = shares.cpu().numpy()
        self.missing -= 1


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
        Called with the section's index, its labels ``(Y, X)`` in mask values, and its
        probabilities ``(classes, Y, X)`` as float32, or None.
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
    """
    check_channels(model, stack)
    predictor = Predictor(model.network, model.config, config)
    plan = predictor.plan(stack.section_shape, config.tile)
    total = len(plan.tiles) * stack.n_sections
    yield PredictionStarted(
        total,
        stack.n_sections,
        list(plan.window),
        predictor.device.type,
        dtype_name(predictor.dtype),
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
            labels = model.classes.decode(result.labels)
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
