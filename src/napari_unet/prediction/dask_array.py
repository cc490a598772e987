"""A prediction as a dask array, whose chunks are computed when they are needed."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import PredictionConfig
from napari_unet.data.open import as_stack
from napari_unet.data.region import Region, find_region
from napari_unet.errors import ConfigError, UNetError
from napari_unet.model import Model
from napari_unet.networks.compute import dtype_name
from napari_unet.prediction.engine import prepare
from napari_unet.prediction.lazy import LazyPrediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array
    from numpy.typing import ArrayLike, NDArray

    from napari_unet.data.stack import Stack
    from napari_unet.prediction.lazy import Output
    from napari_unet.prediction.plan import Plan

_KEPT = 2  # networks that a process keeps ready
_READY: OrderedDict[str, LazyPrediction] = OrderedDict()
_LOCK = threading.Lock()  # one call at a time takes all processors


@dataclass(frozen=True, eq=False)
class _Chunks:
    """Computes the chunks of a dask array, in whichever process they are needed.

    Attributes
    ----------
    token : str
        By which a process finds the network it has made ready.
    image : Stack, str or Path
        What is predicted; a file is opened by each process itself.
    """

    token: str
    model: Model
    image: Any
    axes: str | None
    region: Region
    config: PredictionConfig
    plan: Plan
    normalise: Any
    output: Output

    def __call__(self, block_info: Any = None) -> NDArray[Any]:
        """Compute the chunk that dask says."""
        places = block_info[None]["array-location"]
        if self.output == "probabilities":  # all classes are in one chunk
            places = [*places[:-3], *places[-2:]]
        bounds = tuple(
            (first + start, first + stop)
            for (first, _), (start, stop) in zip(
                self.region.bounds, places, strict=True
            )
        )
        with _LOCK:
            return self._ready()(Region(self.region.axes, bounds))

    def __dask_tokenize__(self) -> str:
        return self.token

    def _ready(self) -> LazyPrediction:
        if self.token not in _READY:
            stack = as_stack(self.image, axes=self.axes)
            work = prepare(
                self.model,
                stack,
                self.config,
                self.region,
                normalise=self.normalise,
            )
            work = replace(work, plan=self.plan)
            _keep(self.token, LazyPrediction(work, self.output))
        return _READY[self.token]


def _keep(token: str, prediction: LazyPrediction) -> None:
    _READY[token] = prediction
    while len(_READY) > _KEPT:
        _READY.popitem(last=False)


def predict_lazy(
    model: Model | str | Path,
    image: Stack | str | Path | ArrayLike,
    *,
    output: Output = "labels",
    axes: str | None = None,
    region: str | Sequence[Sequence[int] | slice] | None = None,
    **options: Any,
) -> dask.array.Array:
    """Return a prediction whose chunks are computed when they are needed.

    Each chunk equals that part of what `predict` returns; for a network whose tiles
    are blended (``info()["exact"]`` is false) the same tiles are blended. The grey
    values of the image are measured here, once; the network runs later, on one chunk
    at a time, with all processors.

    Parameters
    ----------
    model : Model, str or Path
        A model, or its file or run folder.
    image : array, Stack, str or Path
        As for `predict`. Give a path if processes of a Dask cluster are to compute:
        each opens it by itself, while pixels in memory would be sent to all.
    output : {"labels", "probabilities"}
    axes : str, optional
        The axes of `image`, one letter per dimension out of ``TZCYX``.
    region : optional
        A part of the image: see `napari_unet.data.region.find_region`.
    **options
        Any field of `napari_unet.config.PredictionConfig`. A small ``tile`` makes
        small chunks.

    Returns
    -------
    dask.array.Array
        Of the shape and the dtype that `predict` returns.

    Raises
    ------
    UNetError
        If dask is not installed.
    StackFormatError
        If the image cannot be read.
    ModelError
        If the model cannot be read, or expects other channels.
    ConfigError
        If an option is out of range, or probabilities are wanted of a model that has
        none.

    Examples
    --------
    >>> labels = predict_lazy("runs/membranes", "huge.zarr")  # doctest: +SKIP
    >>> corner = labels[0, :512, :512].compute()  # doctest: +SKIP
    """
    da = _dask_array()
    if output not in ("labels", "probabilities"):
        raise ConfigError(
            f"output is {output!r}, but it must be labels or probabilities."
        )
    if not isinstance(model, Model):
        model = Model.load(model)
    stack = as_stack(image, axes=axes)
    config = PredictionConfig.from_dict(options)
    work = prepare(model, stack, config, find_region(stack, region))
    lazy = LazyPrediction(work, output)
    chunks = _Chunks(
        uuid.uuid4().hex,
        model,
        image if isinstance(image, str | Path) else stack,
        axes,
        work.region,
        replace(config, precision=dtype_name(work.predictor.dtype)),
        work.plan,
        work.normalise,
        output,
    )
    with _LOCK:
        _keep(chunks.token, lazy)
    result = _as_array(da, chunks, lazy)
    if output == "probabilities":
        return result
    return result.transpose([lazy.axes.index(axis) for axis in stack.section_axes])


def _as_array(da: Any, chunks: _Chunks, lazy: LazyPrediction) -> dask.array.Array:
    """Return the array of all chunks, along the axes of the prediction."""
    lengths = [tuple(b - a for a, b in pairwise(cuts)) for cuts in lazy.cuts]
    if lazy.output == "probabilities":
        lengths.insert(len(lengths) - 2, (chunks.model.target.n,))
    result: dask.array.Array = da.map_blocks(
        chunks,
        chunks=tuple(lengths),
        dtype=lazy.dtype,
        meta=np.empty((0,) * len(lengths), lazy.dtype),
        name=f"predict-{chunks.token}",
    )
    return result


def _dask_array() -> Any:
    try:
        import dask.array as da
    except ImportError as error:
        raise UNetError(
            "A lazy prediction is a dask array, but dask is not installed: "
            "pip install dask[array] (napari brings it)."
        ) from error
    return da
