"""Which part of the annotated data trains, and which is held out to judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

FEW = 4
"""With fewer images than this, a block of each is held out instead of whole images;
with fewer sections in it than this, rows of each section."""

FEW_VOLUMES = 2
"""Likewise for volumes: a block of one seldom holds what all of it does."""

_NAMED = 4  # images that are named one by one


@dataclass(frozen=True)
class Split:
    """Which part of an image's annotated sections trains and which is held out.

    Attributes
    ----------
    training, validation : tuple of int
        Sections of each, or volumes; the same ones when parts of them are held out.
    training_rows, validation_rows : tuple of int
        First and last (exclusive) row of each.
    training_depth, validation_depth : tuple of int, optional
        First and last (exclusive) section of each, within a volume.
    """

    training: tuple[int, ...]
    validation: tuple[int, ...]
    training_rows: tuple[int, int]
    validation_rows: tuple[int, int]
    training_depth: tuple[int, int] | None = None
    validation_depth: tuple[int, int] | None = None

    @property
    def training_box(self) -> tuple[slice, ...]:
        """What of each section or volume trains."""
        return _box(self.training_depth, self.training_rows)

    @property
    def validation_box(self) -> tuple[slice, ...]:
        """What of each section or volume is held out."""
        return _box(self.validation_depth, self.validation_rows)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Split:
        """Build it from its fields, of which lists were made."""
        fields: dict[str, Any] = {
            name: None if each is None else tuple(each) for name, each in stored.items()
        }
        return cls(**fields)

    def describe(self) -> tuple[str, str]:
        """Say what trains and what is held out."""
        return (
            _describe(self.training, self.training_depth, self.training_rows),
            _describe(self.validation, self.validation_depth, self.validation_rows),
        )


def _box(depth: tuple[int, int] | None, rows: tuple[int, int]) -> tuple[slice, ...]:
    return (slice(*rows),) if depth is None else (slice(*depth), slice(*rows))


def _describe(
    numbers: tuple[int, ...], depth: tuple[int, int] | None, rows: tuple[int, int]
) -> str:
    if not numbers:
        return "nothing"
    place = _range("section" if depth is None else "volume", numbers[0], numbers[-1])
    if depth is not None:
        place += ", " + _range("section", depth[0], depth[1] - 1)
    return f"{place}, rows {rows[0]} to {rows[1] - 1}"


def _range(what: str, first: int, last: int) -> str:
    return f"{what} {first}" if first == last else f"{what}s {first} to {last}"


def train_on(numbers: Sequence[int], shape: tuple[int, ...]) -> Split:
    """Train on all of these sections of ``(Y,)`` or volumes of ``(Z, Y)``."""
    return _whole(tuple(numbers), (), shape)


def judge_on(numbers: Sequence[int], shape: tuple[int, ...]) -> Split:
    """Hold out all of these sections or volumes."""
    return _whole((), tuple(numbers), shape)


def _whole(
    training: tuple[int, ...], validation: tuple[int, ...], shape: tuple[int, ...]
) -> Split:
    rows, depth = (0, shape[-1]), (0, shape[0]) if len(shape) == 2 else None
    return Split(training, validation, rows, rows, depth, depth)


def split_images(
    annotated: Sequence[Sequence[int]],
    shapes: Sequence[tuple[int, ...]],
    share: float,
    margins: tuple[int, ...],
) -> list[Split]:
    """Hold out the first whole images or, of few, a block of each.

    Parameters
    ----------
    annotated : sequence of sequence of int
        Of each image, the sections, or volumes, that hold an annotated pixel.
    shapes : sequence of tuple of int
        Of each image, the rows ``(Y,)``, or the sections and rows ``(Z, Y)`` of its
        volumes.
    share : float
        Share of the images to hold out; 0 holds out nothing.
    margins : tuple of int
        How many pixels the network sees around a pixel, along each of these axes.
    """
    images = list(zip(annotated, shapes, strict=True))
    usable = [number for number, (sections, _) in enumerate(images) if sections]
    if len(usable) < _few(shapes[0]):
        return [split_image(*image, share, margins) for image in images]
    held_out = usable[: max(1, round(share * len(usable)))] if share else []
    return [
        (judge_on if number in held_out else train_on)(*image)
        for number, image in enumerate(images)
    ]


def _few(shape: tuple[int, ...]) -> int:
    return FEW if len(shape) == 1 else FEW_VOLUMES


def split_image(
    annotated: Sequence[int],
    shape: tuple[int, ...],
    share: float,
    margins: tuple[int, ...],
) -> Split:
    """Hold out one contiguous block.

    From `FEW` annotated sections on, the first of them are held out: what the model is
    for most often follows the last; so are the first of `FEW_VOLUMES` volumes. Of a
    single volume, the first sections are, if behind a margin of the receptive field
    that is used for neither, half of it is left. Else the bottom rows of each section
    are, below such a margin; where there is no room for that, nothing is held out.

    Parameters
    ----------
    annotated : sequence of int
        Sections, or volumes, that hold an annotated pixel.
    shape : tuple of int
        Rows ``(Y,)`` of a section, or sections and rows ``(Z, Y)`` of a volume.
    share : float
        Share to hold out; 0 holds out nothing.
    margins : tuple of int
        How many pixels the network sees around a pixel, along each of these axes.
    """
    numbers, every = tuple(annotated), train_on(annotated, shape)
    if share == 0 or not numbers:
        return every
    if len(numbers) >= _few(shape):
        held_out = max(1, round(share * len(numbers)))
        return _whole(numbers[held_out:], numbers[:held_out], shape)
    both = replace(every, validation=numbers)
    if len(shape) == 2:
        held_out = max(1, round(share * shape[0]))
        first = held_out + margins[0]
        if 2 * (shape[0] - first) >= shape[0]:
            return replace(
                both, training_depth=(first, shape[0]), validation_depth=(0, held_out)
            )
    height = shape[-1]
    held_out = max(1, round(share * height))
    trained = height - held_out - margins[-1]
    if trained < max(held_out, 32):
        return every
    return replace(
        both, training_rows=(0, trained), validation_rows=(height - held_out, height)
    )


def follow(split: Split, annotated: Collection[int]) -> Split:
    """Return a split after sections were annotated, or erased, since it was made.

    What is held out stays so. A section that is new trains, unless it lies among those
    that are held out, or the image as a whole is; where only a part of each section is
    held out, so is that of the new one.

    Parameters
    ----------
    split : Split
    annotated : collection of int
        All sections, or volumes, that hold an annotated pixel now.
    """
    new = sorted(set(annotated) - {*split.training, *split.validation})
    training, validation = (
        [number for number in part if number in annotated]
        for part in (split.training, split.validation)
    )
    divided = split.training_box != split.validation_box
    for number in new:
        among = split.validation and (
            split.validation[0] < number < split.validation[-1] or not split.training
        )
        if divided or among:
            validation.append(number)
        if divided or not among:
            training.append(number)
    return replace(
        split, training=tuple(sorted(training)), validation=tuple(sorted(validation))
    )


def describe_split(names: Sequence[str], splits: Sequence[Split]) -> tuple[str, str]:
    """Say what of all images trains and what is held out.

    Returns
    -------
    training, validation : str
        For one image its sections and rows; of several, the names of the images.
    """
    if len(splits) == 1:
        return splits[0].describe()
    parts = [
        [name for name, split in zip(names, splits, strict=True) if getattr(split, use)]
        for use in ("training", "validation")
    ]
    part_of = "part of " if any(s.training and s.validation for s in splits) else ""
    training, validation = (_count(part, part_of) for part in parts)
    return training, validation


def _count(names: list[str], part_of: str) -> str:
    if not names:
        return "nothing"
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{part_of}{len(names)} image{'s' if len(names) > 1 else ''} ({shown})"
