"""What a prediction will do and take, told before it is made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import PredictionConfig
from napari_unet.data.open import as_stack
from napari_unet.data.region import find_region
from napari_unet.data.stack import Stack
from napari_unet.errors import ConfigError
from napari_unet.model import Model
from napari_unet.prediction.engine import check_channels
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.windows import list_frames

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from napari_unet.prediction.plan import Plan


def plan(
    model: Model | str | Path,
    image: Sequence[int] | Stack | str | Path | ArrayLike,
    *,
    axes: str | None = None,
    region: str | None = None,
    **options: Any,
) -> Plan:
    """Plan the tiles of a prediction, without reading or computing any pixel.

    Parameters
    ----------
    model : Model, str or Path
        A model, or its file or run folder.
    image : sequence of int, or Stack, str, Path or array
        A shape without channels, such as ``(30, 512, 512)``, or an image.
    axes : str, optional
        One letter per dimension of `image`, such as ``"ZYX"``.
    region : str, optional
        The part of it that is wanted, as for `predict`.
    **options
        Any field of `napari_unet.config.PredictionConfig`, such as ``memory="2GB"``.
        With precision ``auto`` it is not tried on the image whether bf16 changes
        labels, as it is before a prediction.

    Returns
    -------
    Plan
        Its tiles, window, halo, ``twice`` (the share of pixels that are computed more
        than once) and expected `memory`.

    Raises
    ------
    ConfigError
        If an option is out of range, or a shape is none.
    ModelError
        If the model cannot be read, or expects other channels.
    StackFormatError
        If the image cannot be read, or the model sees volumes and it has no Z axis.

    Examples
    --------
    >>> plan("runs/membranes", (30, 512, 512)).window  # doctest: +SKIP
    (528, 528)
    """
    if not isinstance(model, Model):
        model = Model.load(model)
    config = PredictionConfig.from_dict(options)
    if isinstance(image, tuple | list) and all(isinstance(n, int) for n in image):
        stack = _empty(tuple(image), axes, model.config.channels)
    else:
        stack = as_stack(image, axes=axes)
    check_channels(model, stack)
    wanted = find_region(stack, region)
    predictor = Predictor(model.network, model.config, config)
    shape = stack.shape_seen(model.config.dims)
    found = predictor.plan(
        shape,
        config.tile,
        wanted.along("ZYX"[-len(shape) :]),
        frames=len(list_frames(stack, model.config, wanted)),
    )
    return replace(found, memory=predictor.expected(found))


def _empty(shape: tuple[int, ...], axes: str | None, channels: int) -> Stack:
    """Return a stack of that shape, and of channels, that takes no memory."""
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise ConfigError(
            f"The shape is {shape}, but an image has 2 to 4 dimensions without its "
            "channels, each at least 1, such as (30, 512, 512)."
        )
    pixels = np.broadcast_to(np.uint8(0), (channels, *shape))
    return Stack(pixels, "C" + (axes or "TZYX"[-len(shape) :]), name="the shape")
