"""Whether a network says in bfloat16 what it says in float32: tried on the image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch

from napari_unet.prediction.plan import plan_tiles
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.spans import Axis
from napari_unet.prediction.stitch import decide
from napari_unet.prediction.windows import WindowReader, list_frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray
    from torch import nn

    from napari_unet.config import PredictionConfig
    from napari_unet.data.region import Region
    from napari_unet.data.stack import Stack
    from napari_unet.model import Model

ENOUGH = 0.999
"""The share of labels that must be the same for bfloat16 to be taken by itself."""

SIDES = {2: (96, 96), 3: (8, 48, 48)}
"""Pixels of a window that is tried, of sections and of volumes."""

PLACES = ((0.25, 0.25), (0.75, 0.75), (0.25, 0.75), (0.75, 0.25))
"""Where in a section windows lie, of which the livelier one of two is tried."""

_TRIED: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()


def choose_predictor(
    model: Model,
    stack: Stack,
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
    config: PredictionConfig,
    region: Region,
) -> tuple[Predictor, str]:
    """Make the network ready, in bfloat16 only if that changes no labels to speak of.

    Where the precision is ``auto`` and the hardware made for bfloat16, the labels of a
    few small windows of the image are compared, once for each model and process.

    Returns
    -------
    predictor : Predictor
    remark : str
        Why float32 is taken after all; else empty.
    """
    predictor = Predictor(model.network, model.config, config)
    if config.precision != "auto" or predictor.dtype == torch.float32:
        return predictor, ""
    share = _TRIED.get(model.network)
    if share is None:
        plain = replace(config, tta=1, uncertainty="none", engine="torch")
        half, exact = (
            Predictor(model.network, model.config, replace(plain, precision=each))
            for each in ("bf16", "fp32")
        )
        windows = lively_windows(predictor, stack, normalise, region)
        share = _TRIED[model.network] = agreement(half, exact, windows)
    if share >= ENOUGH:
        return predictor, ""
    exact = Predictor(model.network, model.config, replace(config, precision="fp32"))
    return exact, (
        f"In bf16 {100 * (1 - share):.2f} % of the labels would be others than in "
        "fp32, which is taken therefore; precision bf16 is faster."
    )


def agreement(
    first: Predictor, second: Predictor, windows: list[NDArray[np.float32]]
) -> float:
    """Return the share of pixels that two networks give the same label."""
    same = [
        decide(one) == decide(other)
        for one, other in zip(
            first(first.batch(windows)), second(second.batch(windows)), strict=True
        )
    ]
    return float(torch.stack(same).float().mean())


def lively_windows(
    predictor: Predictor,
    stack: Stack,
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
    region: Region,
) -> list[NDArray[np.float32]]:
    """Read four windows from all over a region, where the image is not empty."""
    frames = list_frames(stack, predictor.config, region)
    found = []
    for number, place in enumerate(PLACES):
        frame = frames[number * len(frames) // len(PLACES)]
        read = []
        for along in (place, place[::-1] if place[0] != place[1] else (0.5, 0.5)):
            plan = plan_tiles(_box(predictor, stack, region, along), 2**30)
            reader = WindowReader(stack, normalise, predictor.config, plan, kept=0)
            read.append(reader(frame, plan.tiles[0]))
        found.append(max(read, key=np.std))
    return found


def _box(
    predictor: Predictor, stack: Stack, region: Region, along: tuple[float, float]
) -> list[Axis]:
    """Return the axes of one window, at shares of the way along rows and columns."""
    geometry, dims = predictor.geometry, predictor.config.dims
    shape = stack.shape_seen(dims)
    axes = []
    for axis, (start, stop) in enumerate(region.along("ZYX"[-dims:])):
        side = min(SIDES[dims][axis], stop - start)
        share = ((0.5, *along) if dims == 3 else along)[axis]
        # On the grid, so that all windows are of one size.
        stride = geometry.strides[axis]
        first = start + int(share * (stop - start - side)) // stride * stride
        bounds = first, first + side
        crop = geometry.crop
        axes.append(Axis(shape[axis], stride, crop, crop, geometry.remainder, bounds))
    return axes
