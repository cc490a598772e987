"""Where a prediction is wrong, and how: missed, false, split or merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MISSED, FALSE, SPLIT, MERGED = 1, 2, 3, 4

KINDS = {MISSED: "missed", FALSE: "false", SPLIT: "split", MERGED: "merged"}
"""What the values of an error map are called; 0 is right or not scored."""

COLOURS = {MISSED: "#56B4E9", FALSE: "#D55E00", SPLIT: "#F0E442", MERGED: "#CC79A7"}
"""Sky blue, vermillion, yellow and reddish purple: colours that eyes with any colour
vision tell apart, on grey as well (Okabe and Ito 2008)."""

MEANING = {
    MISSED: "in the truth, not predicted",
    FALSE: "predicted, not in the truth",
    SPLIT: "a true object that was cut into several",
    MERGED: "true objects that were joined into one",
}

LEAST = 0.1
"""Share of a true object that a piece of it has at least."""


@dataclass(frozen=True)
class ErrorCounts:
    """What an error map holds.

    Attributes
    ----------
    missed, false : int
        Pixels that are only in the truth, and only in the prediction.
    scored : int
        Pixels that were compared.
    objects : int or None
        Objects of the truth; None where no objects were compared.
    split, merged : int
        True objects that are cut into several, and that are joined with others.
    """

    missed: int = 0
    false: int = 0
    scored: int = 0
    objects: int | None = None
    split: int = 0
    merged: int = 0

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        """Count what two maps hold together."""
        known = [each for each in (self.objects, other.objects) if each is not None]
        return ErrorCounts(
            self.missed + other.missed,
            self.false + other.false,
            self.scored + other.scored,
            sum(known) if known else None,
            self.split + other.split,
            self.merged + other.merged,
        )


class Overlaps:
    """How many pixels each predicted object shares with each true one.

    Sections are added one by one, so a volume of objects takes the memory of one
    section and of its table of pairs.
    """

    def __init__(self) -> None:
        self._pairs: dict[tuple[int, int], int] = {}

    def add(self, prediction: NDArray[Any], truth: NDArray[Any]) -> None:
        """Count the pixels of a section, (Y, X) object numbers with 0 around them."""
        found, founds = np.unique(prediction, return_inverse=True)
        true, trues = np.unique(truth, return_inverse=True)
        keys = founds.ravel() * true.size + trues.ravel()
        for key, count in zip(*np.unique(keys, return_counts=True), strict=True):
            pair = int(found[key // true.size]), int(true[key % true.size])
            self._pairs[pair] = self._pairs.get(pair, 0) + int(count)

    def wrong_objects(self) -> tuple[set[int], set[int], set[int]]:
        """Return the numbers of all true objects, of those split and those merged.

        A part of a true object is a predicted object that lies in it with more than
        half of its pixels; with two parts or more it is split. True objects that lie
        in the same predicted object with more than half of their pixels are merged.
        That is over- and under-segmentation after Hoover et al. (1996), IEEE TPAMI
        18:673-689, for a tolerance of just over 0.5, at which nothing belongs to two
        objects. As in Caicedo et al. (2019), Cytometry A 95:952-965, specks do not
        count: a part has at least a tenth (`LEAST`) of the true object, and merged
        objects have at least a tenth of the largest that is merged with them.

        An object may be both split and merged.
        """
        found_sizes = self._sizes(0)
        true_sizes = self._sizes(1)
        parts: dict[int, list[int]] = {}
        inside: dict[int, list[int]] = {}
        for (found, true), count in self._pairs.items():
            if not (found and true):
                continue
            if 2 * count > found_sizes[found] and count >= LEAST * true_sizes[true]:
                parts.setdefault(true, []).append(found)
            if 2 * count > true_sizes[true]:
                inside.setdefault(found, []).append(true)
        split = {true for true, found in parts.items() if len(found) > 1}
        merged: set[int] = set()
        for together in inside.values():
            largest = max(true_sizes[each] for each in together)
            large = {each for each in together if true_sizes[each] >= LEAST * largest}
            merged |= large if len(large) > 1 else set()
        return set(true_sizes) - {0}, split, merged

    def _sizes(self, which: int) -> Mapping[int, int]:
        sizes: dict[int, int] = {}
        for pair, count in self._pairs.items():
            sizes[pair[which]] = sizes.get(pair[which], 0) + count
        return sizes


def map_errors(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    scored: NDArray[np.bool_] | None = None,
    split: set[int] | None = None,
    merged: set[int] | None = None,
) -> NDArray[np.uint8]:
    """Mark the errors of a section.

    Pixel by pixel, what is only in the truth is missed and what is only predicted is
    false; there it is that walls are too many or too few. Where both hold an object,
    the pixels of true objects that are merged, or else split, are marked as such.

    Parameters
    ----------
    prediction, truth : (Y, X) arrays
        Object numbers, 0 where there is none; or bool.
    scored : (Y, X) bool array, optional
        Where the truth is annotated; elsewhere there are no errors.
    split, merged : set of int
        Numbers of true objects, as `Overlaps.wrong_objects` finds them.

    Returns
    -------
    (Y, X) uint8 array
        0 or one of `KINDS`.

    Raises
    ------
    MaskError
        When the shapes differ.

    Examples
    --------
    >>> map_errors(np.array([[0, 1, 1]]), np.array([[1, 1, 0]])).tolist()
    [[1, 0, 2]]
    """
    if prediction.shape != truth.shape:
        raise MaskError(
            f"The prediction has shape {prediction.shape}, the truth {truth.shape}; "
            "give two arrays of one shape."
        )
    found, true = prediction != 0, truth != 0
    errors = np.zeros(truth.shape, np.uint8)
    errors[true & ~found] = MISSED
    errors[found & ~true] = FALSE
    for kind, wrong in ((SPLIT, split), (MERGED, merged)):
        if wrong:
            errors[found & true & np.isin(truth, list(wrong))] = kind
    if scored is not None:
        errors[~scored] = 0
    return errors


def map_class_errors(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    scored: NDArray[np.bool_],
    foreground: tuple[int, ...],
) -> NDArray[np.uint8]:
    """Mark the pixels of wrong class in a section.

    Parameters
    ----------
    prediction, truth : (Y, X) arrays
        Class indices.
    scored : (Y, X) bool array
    foreground : tuple of int
        The classes that can be missed: a pixel is missed where the truth is one of
        them and the prediction another class, and false where only the prediction is
        one of them. With all but the background given, each wrong pixel is either.
    """
    in_truth, found = (np.isin(each, foreground) for each in (truth, prediction))
    wrong = scored & (prediction != truth)
    errors = np.zeros(truth.shape, np.uint8)
    errors[wrong & found] = FALSE
    errors[wrong & in_truth] = MISSED
    return errors


def count_errors(errors: NDArray[np.uint8], scored: int) -> ErrorCounts:
    """Count the missed and false pixels of a map of which `scored` were compared."""
    counts = np.bincount(errors.ravel(), minlength=5)
    return ErrorCounts(int(counts[MISSED]), int(counts[FALSE]), scored)
