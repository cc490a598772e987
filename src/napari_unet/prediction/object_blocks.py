"""Objects of a prediction that comes block by block."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.write.layout import Gathering
from napari_unet.errors import StackFormatError
from napari_unet.prediction.block import with_classes
from napari_unet.prediction.objects import number_objects, roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_unet.config import ObjectConfig
    from napari_unet.data.region import Region
    from napari_unet.data.write.layout import Index
    from napari_unet.model import Model
    from napari_unet.prediction.block import Block, Place


class ObjectBlocks:
    """Finds the objects of each section or volume when its last block has come.

    In two dimensions each section has its own objects; in three those of a volume go
    through its sections, which takes memory for it. No number is given twice. A region
    has the objects that are in it: what goes beyond its border is cut there.

    Parameters
    ----------
    model : Model
    region : Region
    config : ObjectConfig

    Attributes
    ----------
    count : int
        Number of sections or volumes.
    known : mapping of int to int
        Of those whose objects are there already, the highest number so far.
    highest : int
        The highest number given so far.

    Raises
    ------
    ConfigError
        If it is unclear which class is an object.
    StackFormatError
        If objects of volumes are wanted of sections.
    """

    def __init__(self, model: Model, region: Region, config: ObjectConfig) -> None:
        if config.object_dims == 3 and "Z" not in region.axes:
            raise StackFormatError(
                f"The image has the axes {region.axes} and no Z, but objects of "
                "volumes are wanted: find objects in 2 dimensions (object_dims), or "
                "say which axis is Z."
            )
        self._target = model.target
        self._channels = roles(self._target.n, self._target.names)
        self._config = config
        depth, width = (model.pixel_size.get(axis) for axis in "ZX")
        self._anisotropy = depth / width if depth and width else 1.0
        inner = "ZYX"[-config.object_dims :]
        self._edges = [
            length if axis in inner else 1
            for axis, length in zip(region.axes, region.shape, strict=True)
        ]
        self._outer = [
            number for number, axis in enumerate(region.axes) if axis not in inner
        ]
        self._counts = [region.shape[number] for number in self._outer]
        shape, chunk = (
            (*each[:-2], self._target.n, *each[-2:])
            for each in (region.shape, self._edges)
        )
        self._gathering = Gathering(shape, chunk, "float32")
        self._whole: dict[int, NDArray[Any]] = {}
        self._following = 0
        self.count = math.prod(self._counts)
        self.known: Mapping[int, int] = {}
        self.highest = 0

    def knows(self, place: Place) -> bool:
        """Whether all objects are known of what a block reaches into."""
        ranges = []
        for axis in self._outer:
            part = place[axis]
            whole = slice(part, part + 1) if isinstance(part, int) else part
            ranges.append(range(whole.start, whole.stop))
        numbers = map(self._number, itertools.product(*ranges))
        return all(number in self.known for number in numbers)

    def place(self, number: int) -> Place:
        """Return where the objects of a section or volume belong."""
        place: list[int | slice] = [slice(0, edge) for edge in self._edges]
        outer = np.unravel_index(number, self._counts) if self._counts else ()
        for axis, index in zip(self._outer, outer, strict=True):
            place[axis] = int(index)
        return tuple(place)

    def add(self, block: Block) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Take a block; give each image that is whole now, in order, and its objects.

        Those that are known are left out.
        """
        values = block.probabilities
        if values is None:
            values = self._target.decode(block.labels)[None]
        pieces = self._gathering.add(
            with_classes(block.place), np.moveaxis(values, 0, -3), self._is_wanted
        )
        for index, whole in pieces:
            self._whole[self._number_of(index)] = whole
        while (number := self._following) in self.known or number in self._whole:
            self._following += 1
            if number in self.known:
                self.highest = self.known[number]
            else:
                yield number, self._find(self._whole.pop(number))

    def _find(self, whole: NDArray[Any]) -> NDArray[np.int32]:
        # (…, classes, Y, X) with axes of length 1 for all that is looped over
        values = np.moveaxis(whole, -3, 0).squeeze(tuple(n + 1 for n in self._outer))
        objects = number_objects(values, self._channels, self._config, self._anisotropy)
        count = int(objects.max(initial=0))
        objects[objects > 0] += self.highest
        self.highest += count
        return objects

    def _is_wanted(self, index: Index) -> bool:
        return self._number_of(index) not in self.known

    def _number_of(self, chunk: Index) -> int:
        return self._number(chunk[axis] for axis in self._outer)

    def _number(self, outer: Iterable[int]) -> int:
        counts = self._counts
        return int(np.ravel_multi_index(tuple(outer), counts)) if counts else 0
