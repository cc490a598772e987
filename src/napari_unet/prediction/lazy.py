"""Prediction only where it is asked for, one box at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.data.region import Region
from napari_unet.prediction.block import with_classes
from napari_unet.prediction.output import check_probabilities
from napari_unet.prediction.rescaling import rescaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.stack import Stack
    from napari_unet.prediction.engine import Prediction

Output = Literal["labels", "probabilities"]


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
        labels, probabilities = self.both(region, stack)
        return labels if probabilities is None else probabilities

    def both(
        self, region: Region, stack: Stack | None = None
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Predict the labels of a box, and its probabilities if those are the output.

        The parameters, and both results, are those of a call. To decode the labels
        takes next to nothing of the time.
        """
        target = self.work.model.target
        labels = np.empty(region.shape, target.dtype)
        probabilities = None
        if wanted := self.output == "probabilities":
            *before, rows, columns = region.shape
            probabilities = np.empty((*before, target.n, rows, columns), np.float32)
        part = self._part(region, stack or self.work.stack)
        for block in part.blocks(probabilities=wanted):
            if isinstance(block, int):
                continue
            labels[block.place] = target.decode(block.labels)
            if probabilities is not None and block.probabilities is not None:
                shares = block.probabilities
                if shares.ndim == 4:
                    shares = np.moveaxis(shares, 0, -3)
                probabilities[with_classes(block.place)] = shares
        return labels, probabilities

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
