"""Predictions that are computed only where they are asked for."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.config import PredictionConfig
from napari_unet.data.open import as_stack
from napari_unet.data.region import Region, find_region
from napari_unet.errors import ConfigError, UNetError
from napari_unet.model import Model
from napari_unet.networks.compute import dtype_name
from napari_unet.prediction.block import with_classes
from napari_unet.prediction.engine import prepare
from napari_unet.prediction.output import check_probabilities
from napari_unet.prediction.rescaling import rescaling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array
    from numpy.typing import ArrayLike, NDArray

    from napari_unet.data.stack import Stack
    from napari_unet.prediction.engine import Prediction
    from napari_unet.prediction.plan import Plan

Output = Literal["labels", "probabilities"]

_KEPT = 2  # networks that a process keeps ready
_READY: OrderedDict[str, LazyPrediction] = OrderedDict()
_LOCK = threading.Lock()  # one call at a time takes all processors


class LazyPrediction:
    """A model at work on a stack, one box at a time.

    A box predicted alone is the same part of the whole prediction: its surroundings
    are the real ones, and the grey values of the whole stack were measured.

    Parameters
    ----------
    work : Prediction
        As `prepare` makes it for the whole stack.
    output : {"labels", "probabilities"}

    Attributes
    ----------
    axes : str
        Those of the labels, rows and columns last.
    cuts : tuple of tuple of int
        Where tiles begin and the last one ends, along each of `axes`: what lies between
        is computed with the fewest extra pixels.
    dtype : dtype
        That of the result.
    """

    def __init__(self, work: Prediction, output: Output = "labels") -> None:
        check_probabilities(work.model, wanted=output == "probabilities")
        self.work = work
        self.output = output
        self.axes = work.region.axes
        kind = work.model.target.dtype if output == "labels" else "float32"
        self.dtype: np.dtype[Any] = np.dtype(kind)
        self.cuts = _cuts(work)

    def __call__(self, region: Region, stack: Stack | None = None) -> NDArray[Any]:
        """Predict a box.

        Parameters
        ----------
        region : Region
        stack : Stack, optional
            What to read instead: the same, as far as its pixels are there.

        Returns
        -------
        ndarray
            Labels in mask values, or the values of a model of regression, of the shape
            of the region; or probabilities, with an axis for the classes before rows.
        """
        work = self.work
        wanted = self.output == "probabilities"
        result = np.empty(self._shape(region.shape), self.dtype)
        part = self._part(region, stack or work.stack)
        for block in part.blocks(probabilities=wanted):
            if isinstance(block, int):
                continue
            if block.probabilities is None:
                result[block.place] = work.model.target.decode(block.labels)
            else:
                shares = block.probabilities
                if shares.ndim == 4:
                    shares = np.moveaxis(shares, 0, -3)
                result[with_classes(block.place)] = shares
        return result

    def reach(self) -> tuple[int, ...]:
        """Return how far beyond a tile pixels are read for it, along each of `axes`."""
        work = self.work
        letters = "ZYX"[-len(work.plan.bounds) :]
        far = dict.fromkeys(self.axes, 0) | {"Z": work.model.config.context}
        along = [
            [*pairwise(cuts if axis in letters else cuts[:2])]
            for axis, cuts in zip(self.axes, self.cuts, strict=True)
        ]
        for number in range(max(map(len, along))):
            core = tuple(spans[number % len(spans)] for spans in along)
            region = Region(self.axes, core)
            read = _read(self._part(region, work.stack))
            ours = region.along(letters)
            for axis, one, other in zip(letters, ours, read, strict=True):
                far[axis] = max(far[axis], one[0] - other[0], other[1] - one[1])
        return tuple(far[axis] for axis in self.axes)

    def _part(self, region: Region, stack: Stack) -> Prediction:
        """Plan a box just as it lies in the plan of the whole."""
        work, whole = self.work, self.work.plan
        grid = rescaling(work.model, stack, region) if work.rescaling else None
        part = replace(work, stack=stack, region=region, rescaling=grid)
        seen, box = part.seen
        shape = seen.shape_seen(work.model.config.dims)
        bounds = box.along("ZYX"[-len(shape) :])
        plan = work.predictor.plan(shape, whole.window, bounds, blended=whole.blended)
        return replace(part, plan=plan)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.output == "labels":
            return shape
        return (*shape[:-2], self.work.model.target.n, *shape[-2:])


def _read(work: Prediction) -> list[tuple[int, int]]:
    """Return the pixels of an image that are looked at, along each axis seen."""
    stack, _ = work.seen
    read = work.plan.read(stack.shape_seen(len(work.plan.bounds)))
    if work.rescaling is None:
        return list(read)
    letters = "ZYX"[-len(read) :]
    return [work.rescaling.of_image(*each) for each in zip(letters, read, strict=True)]


def _cuts(work: Prediction) -> tuple[tuple[int, ...], ...]:
    region, plan, grid = work.region, work.plan, work.rescaling
    cuts = []
    for axis, (first, last) in zip(region.axes, region.bounds, strict=True):
        starts = set(range(first, last))
        if axis in (seen := "ZYX"[-len(plan.bounds) :]):
            starts = {tile.core[seen.index(axis)].start for tile in plan.tiles}
            if grid:
                starts = {grid.of_image(axis, (each, each + 1))[0] for each in starts}
        inner = sorted(each for each in starts if first < each < last)
        cuts.append((first, *inner, last))
    return tuple(cuts)


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
    lengths = [tuple(b - a for a, b in pairwise(cuts)) for cuts in lazy.cuts]
    if output == "probabilities":
        lengths.insert(len(lengths) - 2, (model.target.n,))
    result = da.map_blocks(
        chunks,
        chunks=tuple(lengths),
        dtype=lazy.dtype,
        meta=np.empty((0,) * len(lengths), lazy.dtype),
        name=f"predict-{chunks.token}",
    )
    if output == "probabilities":
        return result
    return result.transpose([lazy.axes.index(axis) for axis in stack.section_axes])


def _dask_array() -> Any:
    try:
        import dask.array as da
    except ImportError as error:
        raise UNetError(
            "A lazy prediction is a dask array, but dask is not installed: "
            "pip install dask[array] (napari brings it)."
        ) from error
    return da
