"""The patches that a network is shown, drawn from what is annotated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from skimage.measure import block_reduce

from napari_unet.data.masks.classes import IGNORE
from napari_unet.data.masks.scale import Scale
from napari_unet.errors import TrainingError
from napari_unet.networks import measure_geometry
from napari_unet.networks.compute import layout
from napari_unet.training.augmentation import (
    Patch,
    patch_shape,
    sample,
    sampling_points,
    spacing,
)
from napari_unet.training.intensity import vary_intensity
from napari_unet.training.weights import class_weights, weight_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.config import NetworkConfig, TrainingConfig
    from napari_unet.data.masks.classes import Classes
    from napari_unet.training.sections import Sections
    from napari_unet.training.split import Split

ALONE = 0.1
"""Share of patches seen without the sections above and below, where there is context;
so a model can predict single sections, too."""

EVERY = slice(None)
"""All patches of a step."""

_BLOCK = 8  # pixels; patches are centred on blocks that hold an annotated pixel


@dataclass(eq=False)
class Source:
    """A section or volume that patches are drawn from.

    Attributes
    ----------
    image : Tensor of float16, shape (C, Y, X) or (C, Z, Y, X)
    labels : ndarray of uint8 or float32, shape (Y, X) or (Z, Y, X)
    whole : ndarray
        The labels with what of them is held out.
    blocks : ndarray of int, shape (blocks, 2 or 3)
        Where there is an annotated pixel.
    weights : Tensor or None
        Computed when they are first needed.
    """

    image: torch.Tensor
    labels: NDArray[Any]
    whole: NDArray[Any]
    blocks: NDArray[np.intp]
    weights: torch.Tensor | None = None


class _Place(NamedTuple):
    """Where a patch lies: in which section, around what; and what it shows of it."""

    source: Source
    centre: list[float]
    alone: bool


class Patches:
    """Draws patches so that every annotated pixel counts alike.

    Parameters
    ----------
    images : sequence of Sections
    splits : sequence of Split
        Of each image.
    config : TrainingConfig
    network : NetworkConfig
    target : Classes or Scale
    before : Patches, optional
        What of it holds still is taken over.
    unchanged : collection of int
        The images whose split is still that of `before`.

    Raises
    ------
    TrainingError
        If a class, or everything, is only held out.
    """

    def __init__(
        self,
        images: Sequence[Sections],
        splits: Sequence[Split],
        config: TrainingConfig,
        network: NetworkConfig,
        target: Classes | Scale,
        before: Patches | None = None,
        unchanged: Sequence[int] = (),
    ) -> None:
        self._config, self._network, self._target = config, network, target
        known = before.sources if before else {}
        self.sources: dict[tuple[int, int], Source] = {}
        for pair, (image, split) in enumerate(zip(images, splits, strict=True)):
            for index in split.training:
                source = known.get((pair, index)) if pair in unchanged else None
                if source is None or source.whole is not image.labels[index]:
                    source = _source(image, split, index)
                self.sources[pair, index] = source
        self._list = list(self.sources.values())
        self._last_block = np.cumsum([len(each.blocks) for each in self._list])
        self._class_weights = np.ones(1, np.float32)
        self.annotated = self._count()
        if before and not np.array_equal(before._class_weights, self._class_weights):
            for each in self._list:
                each.weights = None

    def _count(self) -> int:
        """Count the annotated pixels, and weigh the classes by them."""
        labels = [each.labels for each in self._list]
        if isinstance(self._target, Scale):
            annotated = sum(int((each != IGNORE).sum()) for each in labels)
            if not annotated:
                raise TrainingError(
                    "All that is annotated is held out for validation: annotate more, "
                    "or hold out less (the option validation; 0 holds out nothing)."
                )
            return annotated
        counts = np.zeros(self._target.n, np.int64)
        for each in labels:
            counts += np.bincount(each.ravel(), minlength=256)[: self._target.n]
        missing = np.flatnonzero(counts == 0)
        if missing.size:
            values = [self._target.values[index] for index in missing]
            raise TrainingError(
                f"The mask values {values} occur only in the part held out for "
                "validation: annotate them in more sections, or hold out less (the "
                "option validation; 0 holds out nothing)."
            )
        self._class_weights = class_weights(counts, bool(self._config.class_balance))
        return int(counts.sum())

    @property
    def steps_to_cover(self) -> int:
        """How many steps judge as many pixels as are annotated: one epoch."""
        crop = measure_geometry(self._network).crop
        judged = math.prod(side - 2 * crop for side in patch_shape(self._config))
        return math.ceil(self.annotated / (self._config.batch_size * judged))

    def batch(self, step: int, share: slice = EVERY) -> Patch:
        """Draw the patches of a step; the same for the same seed and step.

        Parameters
        ----------
        step : int
        share : slice
            Which of them are wanted; what they are does not depend on it.

        Returns
        -------
        Patch
            With a leading axis N; the image ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``
            in channels-last layout.
        """
        config = self._config
        generator = torch.Generator().manual_seed(step_seed(config.seed, step))
        points = sampling_points(config, config.batch_size, generator)
        places = [self._place(offsets, generator) for offsets in points]
        patches = list(map(self._patch, points[share], places[share]))
        images, labels, weights = map(torch.stack, zip(*patches, strict=True))
        every = images.new_zeros(config.batch_size, *images.shape[1:])
        every[share] = images
        images = vary_intensity(every, config, generator)[share]
        images = images.contiguous(memory_format=layout(self._network.dims))
        return Patch(images, labels, weights)

    def _place(self, offsets: torch.Tensor, generator: torch.Generator) -> _Place:
        drawn = _draw(int(self._last_block[-1]), generator)
        number = int(np.searchsorted(self._last_block, drawn, side="right"))
        source = self._list[number]
        block = source.blocks[drawn - self._last_block[number]]  # from the end
        centre = [
            _centre(_BLOCK * int(place) + _draw(_BLOCK, generator), length, size)
            for place, length, size in zip(
                block, source.labels.shape, self._extent(offsets), strict=True
            )
        ]
        alone = self._network.context and torch.rand((), generator=generator) < ALONE
        return _Place(source, centre, bool(alone))

    def _patch(self, offsets: torch.Tensor, place: _Place) -> Patch:
        source = place.source
        section = Patch(
            source.image, torch.from_numpy(source.labels), self._weight_map(source)
        )
        patch = sample(section, offsets + torch.tensor(place.centre))
        if place.alone:
            patch = patch._replace(image=self._alone(patch.image))
        if self._config.objects == "distance":
            patch = patch._replace(labels=self._zoomed(patch.labels, offsets))
        return patch

    def _zoomed(self, labels: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Give distances in pixels of the patch: they shrink as its objects do."""
        assert isinstance(self._target, Scale)
        zero = self._target.mean / self._target.deviation  # that far below the mean
        zoomed = (labels + zero) / spacing(offsets) - zero
        return torch.where(labels == IGNORE, labels, zoomed)

    def _alone(self, image: torch.Tensor) -> torch.Tensor:
        """Put the section in the place of its neighbours, as if it had none."""
        context = self._network.context
        alone = image.chunk(2 * context + 1)[context]
        return alone.repeat(2 * context + 1, 1, 1)

    def _extent(self, offsets: torch.Tensor) -> list[int]:
        """Return the lengths of the box that a patch should lie in."""
        if not self._config.multiscale:
            return list(offsets.shape[:-1])
        reach = offsets.flatten(0, -2).abs().amax(0)
        return [math.ceil(side) + 1 for side in 2 * reach]

    def _weight_map(self, source: Source) -> torch.Tensor:
        """Compute the weights when they are first needed, and keep them."""
        if isinstance(self._target, Scale):
            return torch.ones(()).expand(source.labels.shape)
        if source.weights is None:
            source.weights = torch.from_numpy(
                weight_map(
                    source.labels,
                    self._class_weights,
                    self._config.border_weight or 0.0,
                    self._config.border_sigma,
                    self._network.anisotropy,
                )
            )
        return source.weights


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a step's random numbers: 32 bits, all that torch heeds."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


def _source(image: Sections, split: Split, index: int) -> Source:
    box, whole = split.training_box, image.labels[index]
    pixels = image.seen(index, split.validation, split.training)
    labels = whole[box]
    annotated = block_reduce(labels != IGNORE, _BLOCK, np.any)
    return Source(
        torch.from_numpy(pixels[:, *box]), labels, whole, np.argwhere(annotated)
    )


def _draw(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _centre(place: int, length: int, size: int) -> float:
    """Return the centre of a patch around a pixel, in the section where it fits.

    The patch starts on a whole pixel: between two, even an unturned image would blur.
    """
    start = min(max(place - size // 2, 0), length - size)
    if length < size:
        start = (length - size) // 2
    return start + (size - 1) / 2
