"""Annotated sections, split without leak, and the patches drawn from them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skimage.measure import block_reduce

from napari_unet.config import read_names
from napari_unet.data.fingerprint import fingerprint
from napari_unet.data.masks.annotations import (
    as_mask,
    distance_stack,
    read_annotations,
    remark_on_objects,
)
from napari_unet.data.masks.find import IGNORE, Classes, check_pair
from napari_unet.data.masks.scale import Scale, find_scale
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.errors import TrainingError
from napari_unet.networks import measure_geometry, network_config
from napari_unet.networks.compute import layout
from napari_unet.training.augmentation import (
    Patch,
    patch_shape,
    sample,
    sampling_points,
    spacing,
    vary_intensity,
)
from napari_unet.training.defaults import complete_training
from napari_unet.training.split import (
    Split,
    describe_split,
    judge_on,
    split_images,
    train_on,
)
from napari_unet.training.weights import class_weights, has_walls, weight_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.config import NetworkConfig, TrainingConfig
    from napari_unet.data.normalisation import Normalisation
    from napari_unet.data.stack import Stack

    Pair = tuple[Stack, Stack]

ALONE = 0.1
"""Share of patches seen without the sections above and below, where there is context;
so a model can predict single sections, too."""

_LOOKED_AT = 8  # sections, to choose a loss by
_BLOCK = 8  # pixels; patches are centred on blocks that hold an annotated pixel


@dataclass(frozen=True)
class HeldOut:
    """The held-out part of one image.

    Attributes
    ----------
    image : ndarray of float16, shape (sections, C, Y, X) or (volumes, C, Z, Y, X)
        Normalised.
    labels : list of ndarray of uint8, or for regression float32, shape (Y, X)
        Section by section.
    """

    image: NDArray[np.float16]
    labels: list[NDArray[Any]]


class Dataset:
    """The annotated sections of images, in memory, normalised, as float16.

    For a 3-D network they are volumes: all sections along Z where one is annotated.
    Images may differ in size; each is normalised on its own. Patches are drawn so that
    every annotated pixel of all of them counts alike.

    Parameters
    ----------
    pairs : sequence of (Stack, Stack)
        Images with their labels.
    config : TrainingConfig
    held_out : sequence of (Stack, Stack)
        Others to judge by; nothing of `pairs` is held out then.

    Attributes
    ----------
    remark : str
        What a user should know of the masks, if anything.
    config : TrainingConfig
        Completed by the network's own options.
    target : Classes or Scale
        What is learnt: classes, or for regression values.
    counts : dict of int to int
        Pixels of each mask value; empty for regression.
    network : NetworkConfig
        The network that such data trains.
    splits : list of Split
        Of each image, those of `held_out` last.
    held_out : list of HeldOut
    normalisations : list of Normalisation
        Of each image.
    digest : str
        SHA-256 of all pixels that matter, in hexadecimal.
    prints : list of dict
        Of each image, the fingerprints of the sections that train or are held out.

    Raises
    ------
    MaskError
        If masks do not fit their images, or their values are no classes.
    TrainingError
        If the images have different numbers of channels, or a class is only held out.
    """

    remark = ""

    def __init__(
        self,
        pairs: Sequence[Pair],
        config: TrainingConfig,
        held_out: Sequence[Pair] = (),
    ) -> None:
        values = config.regresses and config.objects == "no"
        given = [
            (image, labels if values else as_mask(labels))
            for image, labels in (*pairs, *held_out)
        ]
        channels = _check_pairs(given)
        images, labels = zip(*given, strict=True)
        masks, self.target, self.counts = _find_target(labels, config)
        walls = isinstance(self.target, Classes) and has_walls(
            _some_sections(masks, self.target)
        )
        self.config = config = complete_training(config, images, walls=walls)
        if isinstance(self.target, Classes):
            self.remark = remark_on_objects(masks, self.target)
        every = list(zip(images, masks, strict=True))
        self._names = [image.name or str(i) for i, (image, _) in enumerate(every)]
        self.network = network_config(config, channels, self.target.n)
        hashed = hashlib.sha256()
        sections = [_read(*pair, self.target, hashed, self.network) for pair in every]
        self.normalisations = [each.normalise for each in sections]
        self.digest = hashed.hexdigest()
        self.splits = self._split(sections, len(held_out))
        self.prints = [
            _prints(image, split)
            for image, split in zip(sections, self.splits, strict=True)
        ]
        self.held_out = [
            _hold_out(image, split)
            for image, split in zip(sections, self.splits, strict=True)
            if split.validation
        ]
        self._keep_training(sections)

    def describe_split(self) -> tuple[str, str]:
        """Say what trains and what is held out."""
        return describe_split(self._names, self.splits)

    def _split(self, images: list[_Sections], held_out: int) -> list[Split]:
        margins = measure_geometry(self.network).radii[:-1]
        annotated = [list(image.labels) for image in images]
        shapes = [image.shape for image in images]
        known = len(images) - held_out
        share = 0 if held_out else self.config.validation
        splits = split_images(annotated[:known], shapes[:known], share, margins)
        splits = [
            split if _can_judge(image, split) else train_on(list(image.labels), shape)
            for image, split, shape in zip(images[:known], splits, shapes, strict=False)
        ]
        return [*splits, *map(judge_on, annotated[known:], shapes[known:])]

    def _keep_training(self, images: list[_Sections]) -> None:
        self._images, self._labels = [], []
        for image, split in zip(images, self.splits, strict=True):
            box = split.training_box
            for index in split.training:
                self._labels.append(image.labels[index][box])
                pixels = image.seen(index, split.validation, split.training)
                self._images.append(torch.from_numpy(pixels[:, *box]))
        self._blocks = [np.argwhere(_annotated_blocks(each)) for each in self._labels]
        self._last_block = np.cumsum([len(each) for each in self._blocks])
        self._weights: list[torch.Tensor | None] = [None] * len(self._labels)
        if isinstance(self.target, Scale):
            self._annotated = sum(int((each != IGNORE).sum()) for each in self._labels)
            if not self._annotated:
                raise TrainingError(
                    "All that is annotated is held out for validation: annotate more, "
                    "or hold out less (the option validation; 0 holds out nothing)."
                )
            return
        counts = np.zeros(self.target.n, np.int64)
        for each in self._labels:
            counts += np.bincount(each.ravel(), minlength=256)[: self.target.n]
        missing = np.flatnonzero(counts == 0)
        if missing.size:
            values = [self.target.values[index] for index in missing]
            raise TrainingError(
                f"The mask values {values} occur only in the part held out for "
                "validation: annotate them in more sections, or hold out less (the "
                "option validation; 0 holds out nothing)."
            )
        self._annotated = int(counts.sum())
        self._class_weights = class_weights(counts, bool(self.config.class_balance))

    @property
    def steps_to_cover(self) -> int:
        """How many steps judge as many pixels as are annotated: one epoch."""
        crop = measure_geometry(self.network).crop
        judged = math.prod(side - 2 * crop for side in patch_shape(self.config))
        return math.ceil(self._annotated / (self.config.batch_size * judged))

    def batch(self, step: int) -> Patch:
        """Draw the patches of a step; the same for the same seed and step.

        Returns
        -------
        Patch
            With a leading axis N; the image ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``
            in channels-last layout.
        """
        config = self.config
        generator = torch.Generator().manual_seed(step_seed(config.seed, step))
        points = sampling_points(config, config.batch_size, generator)
        patches = [self._patch(offsets, generator) for offsets in points]
        images, labels, weights = map(torch.stack, zip(*patches, strict=True))
        images = vary_intensity(images, config, generator)
        images = images.contiguous(memory_format=layout(self.network.dims))
        return Patch(images, labels, weights)

    def _patch(self, offsets: torch.Tensor, generator: torch.Generator) -> Patch:
        drawn = _draw(int(self._last_block[-1]), generator)
        number = int(np.searchsorted(self._last_block, drawn, side="right"))
        block = self._blocks[number][drawn - self._last_block[number]]  # from the end
        labels = self._labels[number]
        centre = [
            _centre(_BLOCK * int(place) + _draw(_BLOCK, generator), length, size)
            for place, length, size in zip(
                block, labels.shape, self._extent(offsets), strict=True
            )
        ]
        section = Patch(
            self._images[number], torch.from_numpy(labels), self._weight_map(number)
        )
        patch = sample(section, offsets + torch.tensor(centre))
        if self.network.context and torch.rand((), generator=generator) < ALONE:
            patch = patch._replace(image=self._alone(patch.image))
        if self.config.objects == "distance":
            patch = patch._replace(labels=self._zoomed(patch.labels, offsets))
        return patch

    def _zoomed(self, labels: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Give distances in pixels of the patch: they shrink as its objects do."""
        assert isinstance(self.target, Scale)
        zero = self.target.mean / self.target.deviation  # that far below the mean
        zoomed = (labels + zero) / spacing(offsets) - zero
        return torch.where(labels == IGNORE, labels, zoomed)

    def _alone(self, image: torch.Tensor) -> torch.Tensor:
        """Put the section in the place of its neighbours, as if it had none."""
        context = self.network.context
        alone = image.chunk(2 * context + 1)[context]
        return alone.repeat(2 * context + 1, 1, 1)

    def _extent(self, offsets: torch.Tensor) -> list[int]:
        """Return the lengths of the box that a patch should lie in."""
        if not self.config.multiscale:
            return list(offsets.shape[:-1])
        reach = offsets.flatten(0, -2).abs().amax(0)
        return [math.ceil(side) + 1 for side in 2 * reach]

    def _weight_map(self, number: int) -> torch.Tensor:
        """Compute the weights when they are first needed, and keep them."""
        weights = self._weights[number]
        if isinstance(self.target, Scale):
            return torch.ones(()).expand(self._labels[number].shape)
        if weights is None:
            weights = torch.from_numpy(
                weight_map(
                    self._labels[number],
                    self._class_weights,
                    self.config.border_weight or 0.0,
                    self.config.border_sigma,
                    self.network.anisotropy,
                )
            )
            self._weights[number] = weights
        return weights


def _find_target(
    labels: Sequence[Stack], config: TrainingConfig
) -> tuple[Sequence[Stack], Classes | Scale, dict[int, int]]:
    """Return what is learnt of each image, and its classes or the scale of values."""
    how: dict[str, Any] = {
        "ignore": config.ignore,
        "zero_is_unlabelled": config.zero_is_unlabelled,
    }
    if config.objects == "distance":
        distances = [distance_stack(each, **how) for each in labels]
        return distances, find_scale(*distances), {}
    if config.regresses:
        return labels, find_scale(*labels, **how), {}
    found = read_annotations(
        labels,
        objects=config.objects,
        border_width=config.border_width,
        names=read_names(config.class_names),
        **how,
    )
    return found.masks, found.classes, found.counts


def _some_sections(
    masks: Sequence[Stack], classes: Classes
) -> Iterator[NDArray[np.uint8]]:
    """Give a few annotated sections as class indices, evenly spread over all."""
    places = [(mask, index) for mask in masks for index in range(mask.n_sections)]
    for mask, index in places[:: math.ceil(len(places) / _LOOKED_AT)]:
        labels = classes.encode(mask.section(index)[0])
        if (labels != IGNORE).any():
            yield labels


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a step's random numbers: 32 bits, all that torch heeds."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


def _check_pairs(pairs: Sequence[Pair]) -> int:
    """Check that images and masks fit; return the number of channels."""
    first, _ = pairs[0]
    for image, labels in pairs:
        check_pair(image, labels)
        if image.n_channels != first.n_channels:
            raise TrainingError(
                f"{image.label} has {image.n_channels} channel(s), but {first.label} "
                f"has {first.n_channels}. All images of a training have the same "
                "channels: convert some of them, or train on the others alone."
            )
    return first.n_channels


@dataclass(frozen=True)
class _Sections:
    """What is annotated of one image, section by section or volume by volume.

    Attributes
    ----------
    pixels : dict of int to ndarray of float16
        By number: sections, those above and below annotated ones as well; or volumes.
    labels : dict of int to ndarray
        Of those that are annotated.
    near : ndarray of int, shape (sections or volumes, n)
        Which of `pixels` the network sees at once, side by side.
    shape : tuple of int
    normalise : Normalisation
    prints : dict of int to list of str
        By number, the fingerprints of all that was read of image and labels.
    """

    pixels: dict[int, NDArray[np.float16]]
    labels: dict[int, NDArray[Any]]
    near: NDArray[np.intp]
    shape: tuple[int, ...]
    normalise: Normalisation
    prints: dict[int, list[str]]

    def seen(
        self, index: int, others: tuple[int, ...], own: tuple[int, ...]
    ) -> NDArray[np.float16]:
        """Return what the network sees with `index`, one part of the split only.

        A section of the other part is not looked at: the one in the middle stands in.
        """
        barred = set(others) - set(own)
        around = [index if i in barred else i for i in self.near[index].tolist()]
        if len(around) == 1:
            return self.pixels[index]
        return np.concatenate([self.pixels[each] for each in around])


def _read(
    image: Stack,
    labels: Stack,
    target: Classes | Scale,
    hashed: hashlib._Hash,
    network: NetworkConfig,
) -> _Sections:
    """Read what is annotated: pixels and class indices; all goes into the hash."""
    normalise = measure_normalisation(image)
    hashed.update(normalise.mean.tobytes() + normalise.deviation.tobytes())
    dims, together = network.dims, labels.seen_together(network.dims)
    near = (
        image.neighbours(network.context)
        if dims == 2
        else np.arange(len(together))[:, None]
    )
    pixels: dict[int, NDArray[np.float16]] = {}
    indices = {}
    prints: dict[int, list[str]] = {}
    for number, group in enumerate(together.tolist()):
        masks = [labels.section(index)[0] for index in group]
        encoded = np.stack([target.encode(mask) for mask in masks])
        hashed.update(np.stack(masks).tobytes())
        if (encoded == IGNORE).all():
            continue
        for each in dict.fromkeys(near[number].tolist()):
            if each not in pixels:
                seen = group if dims == 3 else [each]
                sections = [image.section(index) for index in seen]
                hashed.update(np.stack(sections).tobytes())
                prints.setdefault(each, []).extend(map(fingerprint, sections))
                planes = [normalise(plane).astype(np.float16) for plane in sections]
                pixels[each] = np.stack(planes, 1) if dims == 3 else planes[0]
        indices[number] = encoded if dims == 3 else encoded[0]
        prints.setdefault(number, []).extend(map(fingerprint, masks))
    return _Sections(
        pixels, indices, near, image.shape_seen(dims)[:-1], normalise, prints
    )


def _prints(image: _Sections, split: Split) -> dict[str, list[str]]:
    """Return the fingerprints of what trains and of what is held out."""
    parts = (
        ("training", split.training, split.training_depth),
        ("validation", split.validation, split.validation_depth),
    )
    return {
        use: sorted(
            each
            for number in numbers
            # Of a section, or of each in a volume: first the image, then the labels.
            for each in np.reshape(image.prints[number], (2, -1))[
                :, slice(*depth or (None,))
            ].flat
            if each
        )
        for use, numbers, depth in parts
    }


def _hold_out(image: _Sections, split: Split) -> HeldOut:
    box = split.validation_box
    labels = [image.labels[index][box] for index in split.validation]
    return HeldOut(
        np.stack(
            [
                image.seen(index, split.training, split.validation)[:, *box]
                for index in split.validation
            ]
        ),
        [plane for each in labels for plane in each.reshape(-1, *each.shape[-2:])],
    )


def _can_judge(image: _Sections, split: Split) -> bool:
    """Whether anything is annotated there; in a volume, more than the background."""
    box = split.validation_box
    values = {
        each for i in split.validation for each in np.unique(image.labels[i][box])
    }
    return len(values - {IGNORE}) >= len(image.shape)


def _annotated_blocks(labels: NDArray[Any]) -> NDArray[np.bool_]:
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
