"""What is annotated of an image, read section by section."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.fingerprint import fingerprint
from napari_unet.data.masks.classes import IGNORE
from napari_unet.data.normalisation import measure_normalisation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_unet.config import NetworkConfig
    from napari_unet.data.masks.classes import Classes
    from napari_unet.data.masks.scale import Scale
    from napari_unet.data.stack import Stack
    from napari_unet.training.split import Split


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


class Sections:
    """What is annotated of one image, section by section or volume by volume.

    Parameters
    ----------
    image, masks : Stack
        The masks hold values that `target` knows.
    target : Classes or Scale
    network : NetworkConfig
        Says what is seen at once.

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
        Of the whole image.
    """

    def __init__(
        self,
        image: Stack,
        masks: Stack,
        target: Classes | Scale,
        network: NetworkConfig,
    ) -> None:
        self._image, self._masks, self._target = image, masks, target
        self._dims = network.dims
        self._together = masks.seen_together(network.dims).tolist()
        self.shape = image.shape_seen(network.dims)[:-1]
        self.normalise = measure_normalisation(image)
        self.near = (
            image.neighbours(network.context)
            if network.dims == 2
            else np.arange(len(self._together))[:, None]
        )
        self.pixels: dict[int, NDArray[np.float16]] = {}
        self.labels: dict[int, NDArray[Any]] = {}
        self._repainted: dict[int, NDArray[Any]] = {}
        self._hashes: dict[str, dict[int, bytes]] = {"image": {}, "labels": {}}
        self._prints: dict[str, dict[int, list[str]]] = {"image": {}, "labels": {}}
        for number in range(len(self._together)):
            self._read(number)

    @property
    def share_annotated(self) -> float:
        """Which part of the sections, or volumes, with annotations is annotated."""
        known = sum(int((each != IGNORE).sum()) for each in self.labels.values())
        return known / max(1, sum(each.size for each in self.labels.values()))

    def repainted(self, sections: Mapping[int, NDArray[Any]]) -> Sections:
        """Return the same with other masks ``(Y, X)`` for some sections.

        Raises
        ------
        MaskError
            If they hold values that are not known.
        """
        other = copy.copy(self)
        other.pixels, other.labels = dict(self.pixels), dict(self.labels)
        other._hashes = {name: dict(each) for name, each in self._hashes.items()}
        other._prints = {name: dict(each) for name, each in self._prints.items()}
        other._repainted = {**self._repainted, **sections}
        for number, group in enumerate(self._together):
            if sections.keys() & set(group):
                other._read(number)
        return other

    def mask(self, section: int) -> NDArray[Any]:
        """Return the mask of a section, shape (Y, X), as it is now."""
        if section in self._repainted:
            return self._repainted[section].astype(self._masks.dtype)
        mask: NDArray[Any] = self._masks.section(section)[0]
        return mask

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

    def held_out(self, split: Split) -> HeldOut:
        """Return what is not trained on."""
        box = split.validation_box
        labels = [self.labels[index][box] for index in split.validation]
        images = [
            self.seen(index, split.training, split.validation)[:, *box]
            for index in split.validation
        ]
        return HeldOut(
            np.stack(images),
            [plane for each in labels for plane in each.reshape(-1, *each.shape[-2:])],
        )

    def can_judge(self, split: Split) -> bool:
        """Whether anything is held out; in a volume, more than the background."""
        box = split.validation_box
        values = {
            each for i in split.validation for each in np.unique(self.labels[i][box])
        }
        return len(values - {IGNORE}) >= len(self.shape)

    def hash_image(self, hashed: hashlib._Hash) -> None:
        """Add what tells the image from others."""
        scale = self.normalise
        hashed.update(scale.mean.tobytes() + scale.deviation.tobytes())

    def hash(self, hashed: hashlib._Hash) -> None:
        """Add all pixels that matter."""
        self.hash_image(hashed)
        near = sorted({each for i in self.labels for each in self.near[i].tolist()})
        for name, numbers in (("labels", range(len(self._together))), ("image", near)):
            for number in numbers:
                hashed.update(self._hashes[name][number])

    def prints(self, split: Split) -> dict[str, list[str]]:
        """Return the fingerprints of what trains and of what is held out."""
        parts = (
            ("training", split.training, split.training_depth),
            ("validation", split.validation, split.validation_depth),
        )
        return {
            use: sorted(
                each
                for number in numbers
                for name in ("image", "labels")
                for each in self._prints[name][number][slice(*depth or (None,))]
                if each
            )
            for use, numbers, depth in parts
        }

    def _read(self, number: int) -> None:
        group = self._together[number]
        masks = [self.mask(index) for index in group]
        encoded = np.stack([self._target.encode(mask) for mask in masks])
        self._hashes["labels"][number] = _hash(masks)
        self.labels.pop(number, None)
        if (encoded == IGNORE).all():
            return
        for each in dict.fromkeys(self.near[number].tolist()):
            if each not in self.pixels:
                self._read_pixels(each, group if self._dims == 3 else [each])
        self.labels[number] = encoded if self._dims == 3 else encoded[0]
        self._prints["labels"][number] = [fingerprint(mask) for mask in masks]

    def _read_pixels(self, number: int, group: list[int]) -> None:
        sections = [self._image.section(index) for index in group]
        self._hashes["image"][number] = _hash(sections)
        self._prints["image"][number] = [fingerprint(each) for each in sections]
        planes = [self.normalise(plane).astype(np.float16) for plane in sections]
        self.pixels[number] = np.stack(planes, 1) if self._dims == 3 else planes[0]


def _hash(sections: list[NDArray[Any]]) -> bytes:
    return hashlib.sha256(np.stack(sections).tobytes()).digest()
