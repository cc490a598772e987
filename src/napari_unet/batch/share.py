"""What a worker of a cluster does: a share of the blocks of one image."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numcodecs import Blosc

from napari_unet.batch.inputs import Item
from napari_unet.batch.item import Task, keep_small, open_item
from napari_unet.config import OutputConfig, PredictionConfig
from napari_unet.data import open_stack
from napari_unet.data.normalisation import Normalisation
from napari_unet.model import Model
from napari_unet.prediction.block import Block
from napari_unet.prediction.to_files import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_unet.prediction.block import Place
    from napari_unet.prediction.engine import Prediction

    Key = tuple[int | tuple[int, int], ...]

SHARE = 2**24
"""Pixels, halo included, that a share has at least where an image is large enough."""


@dataclass(frozen=True)
class Recipe:
    """All a worker must know of an image to compute it as any other worker would.

    Attributes
    ----------
    image, axes, region : str or None
    options : dict
        Of a `PredictionConfig`, with the precision that was settled.
    normalisation : dict
        Of the whole image.
    plan : dict
        The window, batch and blending of its tiles.
    probabilities : bool
        Whether blocks are to have them.
    """

    image: str
    axes: str | None
    region: str | None
    options: dict[str, Any]
    normalisation: dict[str, Any]
    plan: dict[str, Any]
    probabilities: bool


@dataclass(frozen=True)
class Share:
    """Some blocks of an image.

    Attributes
    ----------
    frames : (int, int)
        Of which sections or volumes: the first, and the one after the last.
    places : frozenset or None
        Keys of the blocks (see `key_of`); None for all.
    """

    frames: tuple[int, int]
    places: frozenset[Key] | None = None

    def holds(self, key: Key) -> bool:
        """Whether a block belongs to it, or is part of one cut for memory."""
        if self.places is None or key in self.places:
            return True
        return any(all(map(_inside, key, place)) for place in self.places)


@dataclass(frozen=True)
class Packed:
    """A block on its way: arrays by name, each as type, shape and compressed bytes."""

    place: Place
    arrays: dict[str, tuple[str, tuple[int, ...], bytes]]


def _inside(part: int | tuple[int, int], whole: int | tuple[int, int]) -> bool:
    if isinstance(part, int) or isinstance(whole, int):
        return part == whole
    return whole[0] <= part[0] and part[1] <= whole[1]


def key_of(place: Place) -> Key:
    """Return a place as what can be in a set."""
    return tuple(
        (each.start, each.stop) if isinstance(each, slice) else each for each in place
    )


def model_bytes(content: bytes) -> bytes:
    """Hold a model file on a worker, from where the others get it."""
    return content


def measure_share(
    model: bytes, item: dict[str, Any], options: dict[str, Any], axes: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read all of an image: how it is normalised, and what tells its content."""
    config = PredictionConfig.from_dict(options)
    found = Item(item["name"], Path(item["image"]), None, item["region"])
    task = Task(_load(model), config, OutputConfig(), [], Path(), axes=axes)
    opened = open_item(task, found)
    return opened.normalise.to_dict(), asdict(opened.image)


def compute_share(model: bytes, recipe: Recipe, share: Share) -> list[Packed]:
    """Compute a share of an image's blocks."""
    work = _prepare(_digest(model), json.dumps(asdict(recipe)), _Holder(model))
    blocks = work.blocks(
        probabilities=recipe.probabilities,
        skip=lambda place: not share.holds(key_of(place)),
        frames=slice(*share.frames),
    )
    return [pack(block) for block in blocks if not isinstance(block, int)]


def cut(work: Prediction, skip: Callable[[Place], bool]) -> Iterator[Share]:
    """Cut what is to be computed of an image into shares of about equal cost.

    Sections are kept together where they are small; of large ones a share has some of
    the blocks. Where batches of windows go across sections, shares begin with one.
    """
    tiles, batch = len(work.plan.tiles), work.plan.batch
    frames = work.frames
    if work.rescaling is not None:  # its blocks are bands of all that is seen
        yield Share((0, frames))
        return
    cost = tiles * math.prod(work.plan.window)
    together = max(1, SHARE // cost)
    step = batch // math.gcd(batch, tiles)  # as many whole batches end with a section
    together = -(-together // step) * step
    for first in range(0, frames, together):
        last = min(first + together, frames)
        places = _places(work, skip, first, last)
        if not places:
            continue
        count = max(1, -(-cost * (last - first) // SHARE)) if together == 1 else 1
        size = -(-len(places) // count)
        if not work.plan.blended:
            size = -(-size // batch) * batch
        for start in range(0, len(places), size):
            yield Share((first, last), frozenset(places[start : start + size]))


def _places(
    work: Prediction, skip: Callable[[Place], bool], first: int, last: int
) -> list[Any]:
    """List the blocks of some sections that are not there yet, in order."""
    found: dict[Any, None] = {}

    def note(place: Place) -> bool:
        if not skip(place):
            found[key_of(place)] = None
        return True  # nothing is computed here

    for _ in work.blocks(skip=note, frames=slice(first, last)):
        pass
    return list(found)


def pack(block: Block) -> Packed:
    """Compress a block."""
    arrays = {"labels": block.labels, **block.maps}
    if block.probabilities is not None:
        arrays["probabilities"] = block.probabilities
    codec = Blosc(cname="zstd", clevel=1, shuffle=Blosc.SHUFFLE)
    return Packed(
        block.place,
        {
            name: (
                str(array.dtype),
                array.shape,
                codec.encode(np.ascontiguousarray(array)),
            )
            for name, array in arrays.items()
        },
    )


def unpack(packed: Packed) -> Block:
    """Return the block that was packed."""
    arrays = {
        name: np.frombuffer(Blosc().decode(content), dtype).reshape(shape)
        for name, (dtype, shape, content) in packed.arrays.items()
    }
    labels, probabilities = arrays.pop("labels"), arrays.pop("probabilities", None)
    return Block(packed.place, labels, probabilities, arrays)


class _Holder:
    """The bytes of a model beside its checksum, by which alone it is known."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Holder)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=2)  # a worker has the same bytes for all shares
def _digest(model: bytes) -> str:
    return hashlib.blake2b(model, digest_size=16).hexdigest()


def _load(model: bytes) -> Model:
    return _load_once(_digest(model), _Holder(model))


@lru_cache(maxsize=2)
def _load_once(digest: str, holder: _Holder) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{digest}.safetensors"
        path.write_bytes(holder.content)
        return Model.load(path)


@lru_cache(maxsize=4)
def _prepare(digest: str, recipe: str, holder: _Holder) -> Prediction:
    """Make an image ready; the network is folded once for all that are alike."""
    known = Recipe(**json.loads(recipe))
    model = _load(holder.content)
    stack = keep_small(open_stack(known.image, axes=known.axes))
    options = json.dumps(known.options)
    job = Job(
        model,
        stack,
        PredictionConfig.from_dict(known.options),
        [],
        known.region,
        _PREDICTORS.get((digest, options)),
        Normalisation.from_dict(known.normalisation),
    )
    work = job.prepare(**known.plan)
    _PREDICTORS.clear()  # one is enough: a batch has one model
    _PREDICTORS[digest, options] = work.predictor
    return work


_PREDICTORS: dict[tuple[str, str], Any] = {}
