"""Which part of the annotated data trains, and which is held out to judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW = 4
"""With fewer images than this, a block of each is held out instead of whole images;
with fewer sections in it than this, rows of each section."""

_NAMED = 4  # images that are named one by one


@dataclass(frozen=True)
class Split:
    """Which part of an image's annotated sections trains and which is held out.

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
        return (
            _describe(self.training, self.training_rows),
            _describe(self.validation, self.validation_rows),
        )


def _describe(sections: tuple[int, ...], rows: tuple[int, int]) -> str:
    if not sections:
        return "nothing"
    first, last = sections[0], sections[-1]
    place = f"section {first}" if first == last else f"sections {first} to {last}"
    return f"{place}, rows {rows[0]} to {rows[1] - 1}"


def train_on(sections: Sequence[int], height: int) -> Split:
    """Train on all of these sections."""
    return Split(tuple(sections), (), (0, height), (0, height))


def judge_on(sections: Sequence[int], height: int) -> Split:
    """Hold out all of these sections."""
    return Split((), tuple(sections), (0, height), (0, height))


def split_images(
    annotated: Sequence[Sequence[int]],
    heights: Sequence[int],
    share: float,
    margin: int,
) -> list[Split]:
    """Hold out the first whole images or, of few, a block of each.

    Parameters
    ----------
    annotated : sequence of sequence of int
        Of each image, the sections that hold an annotated pixel.
    heights : sequence of int
        Rows of each image.
    share : float
        Share of the images to hold out; 0 holds out nothing.
    margin : int
        How many pixels the network sees around a pixel.
    """
    images = list(zip(annotated, heights, strict=True))
    usable = [number for number, (sections, _) in enumerate(images) if sections]
    if len(usable) < FEW:
        return [split_sections(*image, share, margin) for image in images]
    held_out = usable[: max(1, round(share * len(usable)))] if share else []
    return [
        (judge_on if number in held_out else train_on)(*image)
        for number, image in enumerate(images)
    ]


def split_sections(
    annotated: Sequence[int], height: int, share: float, margin: int
) -> Split:
    """Hold out one contiguous block.

    From `FEW` annotated sections on, the first of them are held out: what the model is
    for most often follows the last. With fewer, the bottom rows of each are, below a
    margin of the receptive field that is used for neither; where no room for that is
    left, nothing is held out.

    Parameters
    ----------
    annotated : sequence of int
        Sections that hold an annotated pixel.
    height : int
        Rows of a section.
    share : float
        Share to hold out; 0 holds out nothing.
    margin : int
        How many pixels the network sees around a pixel.
    """
    sections, rows = tuple(annotated), (0, height)
    if share == 0 or not sections:
        return train_on(sections, height)
    if len(sections) >= FEW:
        held_out = max(1, round(share * len(sections)))
        return Split(sections[held_out:], sections[:held_out], rows, rows)
    held_out = max(1, round(share * height))
    trained = height - held_out - margin
    if trained < max(held_out, 32):
        return train_on(sections, height)
    return Split(sections, sections, (0, trained), (height - held_out, height))


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
    part_of = "part of " if set(parts[0]) & set(parts[1]) else ""
    training, validation = (_count(part, part_of) for part in parts)
    return training, validation


def _count(names: list[str], part_of: str) -> str:
    if not names:
        return "nothing"
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{part_of}{len(names)} image{'s' if len(names) > 1 else ''} ({shown})"
