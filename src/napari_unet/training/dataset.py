"""Annotated sections, split without leak: what trains and what judges."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.annotations import STROKES, remark_on_objects
from napari_unet.data.masks.find import IGNORE, Classes, check_pair
from napari_unet.data.stack import Stack
from napari_unet.errors import TrainingError
from napari_unet.networks import measure_geometry, network_config
from napari_unet.training.defaults import complete_training
from napari_unet.training.patches import EVERY, Patches
from napari_unet.training.sections import HeldOut, Sections
from napari_unet.training.split import (
    Split,
    describe_split,
    follow,
    judge_on,
    split_images,
    train_on,
)
from napari_unet.training.target import (
    find_target,
    learnt_of,
    only_renamed,
    readable,
    shows_walls,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.config import TrainingConfig
    from napari_unet.training.augmentation import Patch
    from napari_unet.training.pairs import Pair
    from napari_unet.training.target import Target

HELD_OUT = 0.1
"""Share of the annotations that judges, where nobody says and they are not few."""


@dataclass(frozen=True)
class Kept:
    """What stays as it was when a run is gone on with.

    Attributes
    ----------
    target : Classes or Scale
    splits : list of Split
        Of each image.
    """

    target: Target
    splits: list[Split]


@dataclass(frozen=True)
class Taken:
    """What came in with sections that were annotated anew.

    Attributes
    ----------
    training, held_out : int
        Pixels with another meaning than before, in the part for each use.
    """

    training: int
    held_out: int


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
        *,
        kept: Kept | None = None,
    ) -> None:
        given = [(image, readable(labels, config)) for image, labels in pairs]
        given += [(image, readable(labels, config)) for image, labels in held_out]
        channels = _check_pairs(given)
        images, self._given = map(list, zip(*given, strict=True))
        masks, self.target, self.counts = find_target(self._given, config)
        if kept is not None and not only_renamed(kept.target, self.target):
            self.target = kept.target
        walls = shows_walls(masks, self.target)
        self.config = config = complete_training(config, images, walls=walls)
        if isinstance(self.target, Classes):
            self.remark = remark_on_objects(masks, self.target)
        self._names = [image.name or str(i) for i, image in enumerate(images)]
        self.network = network_config(config, channels, self.target.n)
        self._sections = [
            Sections(*pair, self.target, self.network)
            for pair in zip(images, masks, strict=True)
        ]
        self.normalisations = [each.normalise for each in self._sections]
        self.splits = self._split(len(held_out), kept.splits if kept else [])
        parts = zip(self._sections, self.splits, strict=True)
        self._held = {
            pair: image.held_out(split)
            for pair, (image, split) in enumerate(parts)
            if split.validation
        }
        self.patches = self._patches(self._sections, self.splits)

    @property
    def held_out(self) -> list[HeldOut]:
        """What judges, of each image that has such a part."""
        return list(self._held.values())

    @property
    def digest(self) -> str:
        """SHA-256 of all pixels that matter, in hexadecimal."""
        hashed = hashlib.sha256()
        for each in self._sections:
            each.hash(hashed)
        return hashed.hexdigest()

    @property
    def image_digest(self) -> str:
        """SHA-256 of what tells the images from others, whatever their labels."""
        hashed = hashlib.sha256()
        for each in self._sections:
            each.hash_image(hashed)
        return hashed.hexdigest()

    @property
    def prints(self) -> list[dict[str, list[str]]]:
        """The fingerprints of the sections that train or are held out, by image."""
        parts = zip(self._sections, self.splits, strict=True)
        return [image.prints(split) for image, split in parts]

    @property
    def steps_to_cover(self) -> int:
        """How many steps judge as many pixels as are annotated: one epoch."""
        return self.patches.steps_to_cover

    def batch(self, step: int, share: slice = EVERY) -> Patch:
        """Draw the patches of a step; see `Patches.batch`."""
        return self.patches.batch(step, share)

    def describe_split(self) -> tuple[str, str]:
        """Say what trains and what is held out."""
        return describe_split(self._names, self.splits)

    def take(self, pair: int, sections: Mapping[int, NDArray[Any]]) -> Taken:
        """Take in sections that were annotated anew; only these are computed again.

        What is held out stays so, and what is painted there only judges.

        Parameters
        ----------
        pair : int
            Which of the images.
        sections : mapping of int to ndarray, shape (Y, X)
            By their number, in the values of the mask as it was given.

        Raises
        ------
        MaskError
            If there are values that the training does not know.
        TrainingError
            If nothing would be left of a class, or nothing to judge by. All stays as
            it was then, as it does after the other one.
        """
        before, split = self._sections[pair], self.splits[pair]
        after = before.repainted(self._as_masks(pair, sections))
        follows = follow(split, after.labels)
        if split.validation and not follows.validation:
            raise TrainingError(
                "Nothing would be left of the annotations that the training is judged "
                "by. Paint on them again, or start a new run."
            )
        images = [*self._sections[:pair], after, *self._sections[pair + 1 :]]
        splits = [*self.splits[:pair], follows, *self.splits[pair + 1 :]]
        same = [i for i in range(len(splits)) if splits[i] == self.splits[i]]
        patches = self._patches(images, splits, same)
        taken = _compare(before, after, (split, follows))
        if taken.held_out or follows != split:
            self._held |= {pair: after.held_out(follows)} if follows.validation else {}
        self._sections, self.splits, self.patches = images, splits, patches
        return taken

    def _as_masks(
        self, pair: int, sections: Mapping[int, NDArray[Any]]
    ) -> dict[int, NDArray[Any]]:
        """Make of some sections of labels what the training makes of all of them."""
        painted = Stack(
            np.stack(list(sections.values())), "TYX", source=self._given[pair].source
        )
        if painted.section_shape != self._given[pair].section_shape:
            raise TrainingError(
                f"The labels are {painted.section_shape} pixels large now, but were "
                f"{self._given[pair].section_shape}. Start a new run with them."
            )
        masks = learnt_of(painted, self.config)
        return {
            section: masks.section(place)[0] for place, section in enumerate(sections)
        }

    def _patches(
        self,
        images: Sequence[Sections],
        splits: Sequence[Split],
        same: Sequence[int] = (),
    ) -> Patches:
        before = self.patches if same else None
        return Patches(
            images, splits, self.config, self.network, self.target, before, same
        )

    def _share_to_judge(self) -> float:
        """Return the share to hold out, and remember it.

        With few strokes, those held out and those beside them, which the network would
        see, are missed more than the score of so few.
        """
        share = self.config.validation
        if share is None:
            few = all(each.share_annotated <= STROKES for each in self._sections)
            share = 0.0 if few and not self.config.heeds_progress else HELD_OUT
            self.config = replace(self.config, validation=share)
        return share

    def _split(self, held_out: int, kept: Sequence[Split]) -> list[Split]:
        """Follow a split of all images, or make one; the last ones may only judge."""
        images = self._sections
        if len(kept) == len(images):
            parts = zip(kept, images, strict=True)
            return [follow(split, each.labels) for split, each in parts]
        margins = measure_geometry(self.network).radii[:-1]
        annotated = [list(image.labels) for image in images]
        shapes = [image.shape for image in images]
        known = len(images) - held_out
        share = 0 if held_out else self._share_to_judge()
        splits = split_images(annotated[:known], shapes[:known], share, margins)
        splits = [
            split if image.can_judge(split) else train_on(list(image.labels), shape)
            for image, split, shape in zip(images[:known], splits, shapes, strict=False)
        ]
        return [*splits, *map(judge_on, annotated[known:], shapes[known:])]


def _compare(before: Sections, after: Sections, splits: Sequence[Split]) -> Taken:
    """Count the pixels whose label is another one now."""
    changed = {"training": 0, "validation": 0}
    for use in changed:
        box = getattr(splits[0], f"{use}_box")
        for index in {index for split in splits for index in getattr(split, use)}:
            old, new = before.labels.get(index), after.labels.get(index)
            if old is not None and new is not None:
                changed[use] += int((old[box] != new[box]).sum())
            elif (only := new if old is None else old) is not None:
                changed[use] += int((only[box] != IGNORE).sum())
    return Taken(changed["training"], changed["validation"])


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
