"""Prediction at the pixel size that a model was trained at, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.region import Region
from napari_unet.data.rescale import nearest, resample, weigh
from napari_unet.prediction.block import Block
from napari_unet.prediction.pixel_size import check_known, matched_lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from napari_unet.data.rescale import Weights
    from napari_unet.data.stack import Stack
    from napari_unet.prediction.block import Place
    from napari_unet.prediction.pixel_size import Trained


@dataclass(frozen=True, eq=False)
class Rescaling:
    """The grid of a model beside that of an image.

    Attributes
    ----------
    image : Stack
    stack : Stack
        The image on the model's grid; it is resampled where it is read.
    target : Region
        What is wanted, on the image's grid.
    region : Region
        What has to be predicted for it, on the model's.
    dims : int
        How many axes the network sees, the last ones of a region.
    """

    image: Stack
    stack: Stack
    target: Region
    region: Region
    dims: int

    def of_image(self, axis: str, bounds: tuple[int, int]) -> tuple[int, int]:
        """Return the pixels of the image of which some on the model's grid are made."""
        new, old = (
            each.shape[each.axes.index(axis)] for each in (self.stack, self.image)
        )
        index = weigh(old, new, np.array([bounds[0], bounds[1] - 1])).index
        return int(index.min()), int(index.max()) + 1

    def back(
        self, results: Iterable[Block | int], skip: Callable[[Place], bool]
    ) -> Iterator[Block | int]:
        """Put blocks back on the image's grid, as bands across the first axis seen.

        Labels are those of the nearest pixel; probabilities, values and maps are
        resampled as the image was. Memory is that of a band of tiles: a row of them
        across a section, or a layer across a volume.

        Parameters
        ----------
        results : iterable of Block and int
            Numbers are passed on.
        skip : callable
            Asked with the place of a band; when true, it is left out.
        """
        axes = [_Axis.of(self, axis) for axis in "ZYX"[-self.dims :]]
        bands: dict[tuple[int, ...], _Band] = {}
        for result in results:
            if isinstance(result, int):
                yield result
                continue
            frame = tuple(at for at in result.place if isinstance(at, int))
            band = bands.setdefault(frame, _Band(axes))
            finished = band.add(result)
            if finished is not None and not skip(finished.place):
                yield finished
            if band.is_done:
                del bands[frame]


def rescaling(model: Trained, stack: Stack, region: Region) -> Rescaling | None:
    """Return the grid at which a model is to see a region, or None if it sees it so.

    Raises
    ------
    ModelError, StackFormatError
        If the model or the image does not say how large its pixels are, or they differ
        so much that it must be an error.
    """
    check_known(model, stack)
    lengths = matched_lengths(model, stack)
    if not lengths:
        return None
    dims = model.config.dims
    grid = Rescaling(stack, resample(stack, lengths), region, region, dims)
    bounds = [
        _Axis.of(grid, axis).needed if axis in lengths else whole
        for axis, whole in zip(region.axes, region.bounds, strict=True)
    ]
    return replace(grid, region=Region(region.axes, tuple(bounds)))


@dataclass(frozen=True, eq=False)
class _Axis:
    """How the pixels of a target come from those of the model's grid, along one axis.

    Attributes
    ----------
    old : int
        Where the region on the model's grid starts.
    length : int
        How long it is there.
    weights : Weights
    nearest : ndarray of int
    """

    old: int
    length: int
    weights: Weights
    nearest: NDArray[np.intp]

    @classmethod
    def of(cls, grid: Rescaling, axis: str) -> _Axis:
        ((start, stop),) = grid.target.along(axis)
        ((old, end),) = grid.region.along(axis)
        model, image = (
            each.shape[each.axes.index(axis)] for each in (grid.stack, grid.image)
        )
        pixels = np.arange(start, stop)
        return cls(
            old,
            end - old,
            weigh(model, image, pixels),
            nearest(model, image, pixels),
        )

    @property
    def needed(self) -> tuple[int, int]:
        index = self.weights.index
        return int(index.min()), int(index.max()) + 1


class _Band:
    """Takes blocks of one section or volume, and gives what is complete of it."""

    def __init__(self, axes: list[_Axis]) -> None:
        self._axes = axes
        self._parts: dict[str, NDArray[Any]] = {}  # each (channels, rows, …)
        self._top = 0  # the row of the region at which they start
        self._filled = np.zeros(axes[0].length, np.intp)  # pixels known of each row
        self._given = 0  # rows of the target

    @property
    def is_done(self) -> bool:
        return self._given == len(self._axes[0].nearest)

    def add(self, block: Block) -> Block | None:
        """Take a block; give a band of the target if one is complete by it."""
        box = [at for at in block.place if isinstance(at, slice)]
        parts = {"labels": block.labels[None]}
        parts |= {name: each[None] for name, each in block.maps.items()}
        if block.probabilities is not None:
            parts["probabilities"] = block.probabilities
        for name, part in parts.items():
            rows = slice(box[0].start - self._top, box[0].stop - self._top)
            self._room(name, part, rows.stop)[:, rows, *box[1:]] = part
        self._filled[box[0]] += block.labels[0].size
        return self._finish(block.place)

    def _room(self, name: str, part: NDArray[Any], rows: int) -> NDArray[Any]:
        across = [axis.length for axis in self._axes[1:]]
        known = self._parts.get(name)
        if known is None:
            known = np.empty((len(part), 0, *across), part.dtype)
        if (more := rows - known.shape[1]) > 0:
            new = np.empty((len(part), more, *across), part.dtype)
            known = np.concatenate([known, new], axis=1)
        self._parts[name] = known
        return known

    def _finish(self, place: Place) -> Block | None:
        first = self._axes[0]
        across = math.prod(axis.length for axis in self._axes[1:])
        missing = np.flatnonzero(self._filled < across)
        complete = first.old + (missing[0] if missing.size else first.length)
        reach = first.weights.index.max(axis=1) + 1
        start, stop = self._given, int(np.searchsorted(reach, complete, "right"))
        if start == stop:
            return None
        parts = {
            name: self._on_target(each, slice(start, stop))
            for name, each in self._parts.items()
        }
        self._given = stop
        self._forget()
        wanted = iter(
            [slice(start, stop), *(slice(0, len(a.nearest)) for a in self._axes[1:])]
        )
        at = tuple(each if isinstance(each, int) else next(wanted) for each in place)
        labels, probabilities = parts.pop("labels")[0], parts.pop("probabilities", None)
        maps = {name: each[0] for name, each in parts.items()}
        return Block(at, labels, probabilities, maps)

    def _on_target(self, part: NDArray[Any], rows: slice) -> NDArray[Any]:
        """Return rows of the target: the nearest of whole numbers, else weighed."""
        for place, axis in enumerate(self._axes):
            chosen = slice(None) if place else rows
            first = axis.old + (0 if place else self._top)
            if part.dtype.kind == "f":
                part = axis.weights[chosen].along(place + 1, part, first)
            else:
                part = np.take(part, axis.nearest[chosen] - first, place + 1)
        return part

    def _forget(self) -> None:
        if self.is_done:
            self._parts = {}
            return
        axis = self._axes[0]
        top = int(axis.weights.index[self._given :].min()) - axis.old
        for name, part in self._parts.items():
            self._parts[name] = part[:, top - self._top :].copy()
        self._top = top
