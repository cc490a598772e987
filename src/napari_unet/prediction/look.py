"""Predicting the tiles that somebody looks at, each into a file of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.excerpt import Excerpt
from napari_unet.data.region import Region
from napari_unet.events import Event, LookStarted, TilePredicted
from napari_unet.prediction.engine import prepare
from napari_unet.prediction.lazy import LazyPrediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from napari_unet.config import PredictionConfig
    from napari_unet.data.normalisation import Normalisation
    from napari_unet.data.stack import Stack
    from napari_unet.model import Model
    from napari_unet.prediction.lazy import Output

_TILE = {2: (256, 8), 3: (64, 4)}
"""Length of a tile by the network's dimensions: at least so many pixels, and so many
times its radius. A longer one computes fewer pixels twice, but is waited for longer."""


def prepare_look(
    model: Model,
    stack: Stack,
    config: PredictionConfig,
    normalise: Normalisation | None = None,
    output: Output = "labels",
) -> LazyPrediction:
    """Make a model ready to predict what is looked at, in tiles soon computed.

    Parameters
    ----------
    model : Model
    stack : Stack
    config : PredictionConfig
        Its `tile` is kept; where there is none, one is chosen.
    normalise : Normalisation, optional
        As measured before; by default the image is read for it.
    output : {"labels", "probabilities"}
        The latter besides labels.
    """
    work = prepare(model, stack, config, normalise=normalise)
    if config.tile is None and not work.plan.blended:
        seen = work.seen[0].shape_seen(model.config.dims)
        least, radii = _TILE[len(seen)]
        tile = max(least, radii * max(work.predictor.geometry.radii))
        window = [min(tile, most) for most in work.plan.window]
        work = replace(work, plan=work.predictor.plan(seen, window))
    return LazyPrediction(work, output)


def look_events(
    prediction: LazyPrediction,
    tiles: Iterable[dict[str, Any]],
    folder: Path,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict tiles in the order given; one whose file is there is not computed again.

    Parameters
    ----------
    prediction : LazyPrediction
    tiles : iterable of dict
        The ``"bounds"`` of each along `prediction.axes`. Where the stack has no pixels
        of its own, also an ``"image"``, the file of those that are read for it, and
        ``"starts"``, where they begin along each axis of the stack.
    folder : Path
        Where their files go.
    should_stop : callable
        Asked before every tile.

    Yields
    ------
    LookStarted, TilePredicted
    """
    yield LookStarted(
        prediction.axes,
        [list(cuts) for cuts in prediction.cuts],
        list(prediction.reach()),
        np.dtype(prediction.work.model.target.dtype).str,
    )
    for tile in tiles:
        if should_stop():
            return
        bounds = tile["bounds"]
        name = "_".join(str(start) for start, _ in bounds)
        path, beside = folder / f"{name}.npy", folder / f"{name}.probabilities.npy"
        if not path.exists():
            region = Region(prediction.axes, tuple((a, b) for a, b in bounds))
            pixels = _pixels_of(tile, prediction.work.stack)
            labels, probabilities = prediction.both(region, pixels)
            if probabilities is not None:
                _save(beside, probabilities)
            _save(path, labels)
        yield TilePredicted(bounds, str(path), str(beside) if beside.exists() else None)


def _pixels_of(tile: dict[str, Any], stack: Stack) -> Stack:
    """Return the stack with the pixels that came with a tile, if any did."""
    if "image" not in tile:
        return stack
    pixels = Excerpt(np.load(tile["image"]), stack.shape, tile["starts"])
    return replace(stack, pixels=pixels)


def _save(path: Path, pixels: np.ndarray) -> None:
    """Write a file that is whole as soon as it is there, be it that we are killed."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, pixels)
    part.replace(path)
