"""Where a network with attention gates looks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_unet.data.normalisation import measure_normalisation
from napari_unet.data.open import as_stack
from napari_unet.data.region import find_region
from napari_unet.model import Model
from napari_unet.networks import attention_maps, measure_geometry
from napari_unet.prediction.engine import check_channels
from napari_unet.prediction.plan import plan_tiles
from napari_unet.prediction.spans import Axis
from napari_unet.prediction.windows import WindowReader, list_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from torch import nn

    from napari_unet.data.region import Region
    from napari_unet.data.stack import Stack


def predict_attention(
    model: Model | str | Path,
    image: Stack | str | Path | ArrayLike,
    *,
    axes: str | None = None,
    region: Region | None = None,
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """Return the coefficients of a network's attention gates (Oktay et al. 2018).

    Each section, or volume, is seen as a whole.

    Parameters
    ----------
    model, image, axes
        As for `napari_unet.predict`.
    region : Region, optional
        The part of the image that is wanted.
    normalise : callable, optional
        As measured before; by default the whole image is read for it.

    Returns
    -------
    ndarray of float32, shape (gates, sections, Y, X)
        From 0 to 1, the deepest gate first; sections of the region in the order of the
        stack.

    Raises
    ------
    ConfigError
        If the network has no attention gates.
    ModelError
        If the model cannot be read, or expects other channels.
    StackFormatError
        If the image cannot be read.

    Examples
    --------
    In the console of napari, for a stack (Z, Y, X):

    >>> maps = predict_attention(path, viewer.layers[0].data)  # doctest: +SKIP
    >>> viewer.add_image(maps, channel_axis=0)  # doctest: +SKIP
    """
    if not isinstance(model, Model):
        model = Model.load(model)
    stack = as_stack(image, axes=axes)
    check_channels(model, stack)
    strides = measure_geometry(model.config).strides
    shape = stack.shape_seen(model.config.dims)
    plan = plan_tiles(
        [
            Axis(length, stride, 0, 0, 0, (0, length))
            for length, stride in zip(shape, strides, strict=True)
        ],
        max(shape) + max(strides),
    )
    (whole,) = plan.tiles
    normalise = normalise or measure_normalisation(stack)
    read = WindowReader(stack, normalise, model.config, plan)
    region = region or find_region(stack)
    looped, box = region.shape[:-2], region.along("ZYX"[-len(shape) :])
    numbers = np.arange(math.prod(looped)).reshape(looped)
    network = model.network.eval()
    found: NDArray[np.float32] | None = None
    for frame in list_frames(stack, model.config, region):
        maps = _look(network, read(frame, whole), box)
        if found is None:
            found = np.empty((len(maps), numbers.size, *maps.shape[-2:]), np.float32)
        found[:, numbers[frame.place([slice(None)] * len(box))[:-2]].ravel()] = maps
    assert found is not None
    return found


def _look(
    network: nn.Module,
    pixels: NDArray[np.float32],
    box: Sequence[tuple[int, int]],
) -> NDArray[np.float32]:
    """Return the coefficients (gates, sections, Y, X) in a box of what it sees."""
    gates = attention_maps(network, torch.from_numpy(pixels)[None])
    inner = tuple(slice(*bounds) for bounds in box)
    maps = np.stack([gate[0].numpy()[inner] for gate in gates])
    return maps.reshape(len(gates), -1, *maps.shape[-2:])
