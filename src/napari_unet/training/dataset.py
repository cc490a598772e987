"""Annotated sections, split without leak, and the patches drawn from them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from skimage.measure import block_reduce

from napari_unet.data.masks import IGNORE, Classes, check_pair, find_classes
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.errors import TrainingError
from napari_unet.networks import measure_geometry, network_config
from napari_unet.training.augmentation import (
    Patch,
    sample,
    sampling_points,
    vary_intensity,
)
from napari_unet.training.defaults import complete_training
from napari_unet.training.weights import class_weights, weight_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.config import TrainingConfig
    from napari_unet.data.stack import Stack

FEW_SECTIONS = 4
"""With fewer sections than this, rows of each are held out instead of sections."""

_BLOCK = 8  # pixels; patches are centred on blocks that hold an annotated pixel


@dataclass(frozen=True)
class Split:
    """Which part of the annotated sections trains and which is held out.

    Attributes
    ----------
    training, validation : tuple of int
        Sections of each; the same ones when rows are held out.
    training_rows, validation_rows : tuple of int
        First and last (exclusive) row of each.
    """

    training: tuple[int, ...]
    validation: tuple[int, ...]
    training_rows: tuple[int, int]
    validation_rows: tuple[int, int]

    def describe(self) -> tuple[str, str]:
        """Say what trains and what is held out."""
        training = _describe(self.training, self.training_rows)
        if not self.validation:
            return training, "nothing"
        return training, _describe(self.validation, self.validation_rows)


def _describe(sections: tuple[int, ...], rows: tuple[int, int]) -> str:
    first, last = sections[0], sections[-1]
    place = f"section {first}" if first == last else f"sections {first} to {last}"
    return f"{place}, rows {rows[0]} to {rows[1] - 1}"


def split_sections(
    annotated: list[int], height: int, share: float, margin: int
) -> Split:
    """Hold out one contiguous block.

    From `FEW_SECTIONS` annotated sections on, the first of them are held out: what the
    model is for most often follows the last. With fewer, the bottom rows of each are,
    below a margin of the receptive field that is used for neither; where no room for
    that is left, nothing is held out.

    Parameters
    ----------
    annotated : list of int
        Sections that hold an annotated pixel.
    height : int
        Rows of a section.
    share : float
        Share to hold out; 0 holds out nothing.
    margin : int
        How many pixels the network sees around a pixel.
    """
    sections, rows = tuple(annotated), (0, height)
    if share == 0:
        return Split(sections, (), rows, rows)
    if len(sections) >= FEW_SECTIONS:
        held_out = max(1, round(share * len(sections)))
        return Split(sections[held_out:], sections[:held_out], rows, rows)
    held_out = max(1, round(share * height))
    trained = height - held_out - margin
    if trained < max(held_out, 32):
        return Split(sections, (), rows, rows)
    return Split(sections, sections, (0, trained), (height - held_out, height))


class Dataset:
    """The annotated sections of an image, in memory, normalised, as float16.

    Parameters
    ----------
    image, labels : Stack
        Of the same sections.
    config : TrainingConfig

    Attributes
    ----------
    classes : Classes
    counts : dict of int to int
        Pixels of each mask value.
    split : Split
    validation_image : ndarray of float16, shape (sections, C, Y, X)
    validation_labels : list of ndarray of uint8, shape (Y, X)
    digest : str
        SHA-256 of all pixels that matter, in hexadecimal.
    """

    def __init__(self, image: Stack, labels: Stack, config: TrainingConfig) -> None:
        check_pair(image, labels)
        self.config = config = complete_training(config)
        self.classes, self.counts = find_classes(
            labels,
            ignore=config.ignore,
            zero_is_unlabelled=config.zero_is_unlabelled,
        )
        pixels, indices, self.digest = _read(image, labels, self.classes)
        self.split = self._split(indices, image.section_shape[0], image.n_channels)
        rows = slice(*self.split.validation_rows)
        self.validation_image = (
            np.stack([pixels[index][:, rows] for index in self.split.validation])
            if self.split.validation
            else np.empty(0, np.float16)
        )
        self.validation_labels = [
            indices[index][rows] for index in self.split.validation
        ]
        self._keep_training(pixels, indices)

    def _split(
        self, indices: dict[int, NDArray[np.uint8]], height: int, channels: int
    ) -> Split:
        margin = measure_geometry(network_config(self.config, channels, 2)).radius
        split = split_sections(list(indices), height, self.config.validation, margin)
        rows = slice(*split.validation_rows)
        scored = any((indices[i][rows] != IGNORE).any() for i in split.validation)
        if scored:
            return split
        return split_sections(list(indices), height, 0, margin)

    def _keep_training(
        self,
        pixels: dict[int, NDArray[np.float16]],
        indices: dict[int, NDArray[np.uint8]],
    ) -> None:
        rows = slice(*self.split.training_rows)
        kept = [i for i in self.split.training if (indices[i][rows] != IGNORE).any()]
        self._labels = [indices[i][rows] for i in kept]
        self._images = [torch.from_numpy(pixels[i][:, rows]) for i in kept]
        self._blocks = [np.argwhere(_annotated_blocks(each)) for each in self._labels]
        self._weights: list[torch.Tensor | None] = [None] * len(kept)
        counts = np.zeros(self.classes.n, np.int64)
        for each in self._labels:
            counts += np.bincount(each.ravel(), minlength=256)[: self.classes.n]
        missing = np.flatnonzero(counts == 0)
        if missing.size:
            values = [self.classes.values[index] for index in missing]
            raise TrainingError(
                f"The mask values {values} occur only in the part held out for "
                "validation: annotate them in more sections, or hold out less (the "
                "option validation; 0 holds out nothing)."
            )
        self._annotated = int(counts.sum())
        self._class_weights = class_weights(counts, bool(self.config.class_balance))

    @property
    def steps_to_cover(self) -> int:
        """How many steps show as many pixels as are annotated: one epoch."""
        assert self.config.patch_size is not None
        shown = self.config.batch_size * self.config.patch_size**2
        return math.ceil(self._annotated / shown)

    def batch(self, step: int) -> Patch:
        """Draw the patches of a step; the same for the same seed and step.

        Returns
        -------
        Patch
            With a leading axis N; the image ``(N, C, Y, X)`` in channels-last layout.
        """
        config = self.config
        generator = torch.Generator().manual_seed(step_seed(config.seed, step))
        points = sampling_points(config, config.batch_size, generator)
        patches = [self._patch(offsets, generator) for offsets in points]
        images, labels, weights = map(torch.stack, zip(*patches, strict=True))
        images = vary_intensity(images, config, generator)
        return Patch(
            images.contiguous(memory_format=torch.channels_last), labels, weights
        )

    def _patch(self, offsets: torch.Tensor, generator: torch.Generator) -> Patch:
        number = _draw(len(self._images), generator)
        labels = self._labels[number]
        blocks = self._blocks[number]
        block = blocks[_draw(len(blocks), generator)]
        centre = [
            _centre(
                _BLOCK * int(place) + _draw(_BLOCK, generator), length, len(offsets)
            )
            for place, length in zip(block, labels.shape, strict=True)
        ]
        section = Patch(
            self._images[number], torch.from_numpy(labels), self._weight_map(number)
        )
        return sample(section, offsets + torch.tensor(centre))

    def _weight_map(self, number: int) -> torch.Tensor:
        """Compute a section's weights when they are first needed, and keep them."""
        weights = self._weights[number]
        if weights is None:
            weights = torch.from_numpy(
                weight_map(
                    self._labels[number],
                    self._class_weights,
                    self.config.border_weight or 0.0,
                    self.config.border_sigma,
                )
            )
            self._weights[number] = weights
        return weights


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a step's random numbers: 32 bits, all that torch heeds."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


def _read(
    image: Stack, labels: Stack, classes: Classes
) -> tuple[dict[int, NDArray[np.float16]], dict[int, NDArray[np.uint8]], str]:
    """Read the annotated sections: pixels, class indices, and a hash of it all."""
    normalise = measure_normalisation(image)
    digest = hashlib.sha256(normalise.mean.tobytes() + normalise.deviation.tobytes())
    pixels, indices = {}, {}
    for index in range(labels.n_sections):
        mask = labels.section(index)
        encoded = classes.encode(mask[0])
        digest.update(mask.tobytes())
        if (encoded == IGNORE).all():
            continue
        section = image.section(index)
        digest.update(section.tobytes())
        pixels[index] = normalise(section).astype(np.float16)
        indices[index] = encoded
    return pixels, indices, digest.hexdigest()


def _annotated_blocks(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    blocks: NDArray[np.bool_] = block_reduce(labels != IGNORE, _BLOCK, np.any)
    return blocks


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
