"""The places of an image where a network is least sure, to annotate them next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import entr

from napari_unet.data.open import as_stack
from napari_unet.errors import ConfigError, StackFormatError
from napari_unet.events import PlacesFound, SectionsDone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from napari_unet.data.stack import Stack
    from napari_unet.events import Event

SIZE = 48
"""Rows and columns of a place by default: what a person looks at at once."""

_APART = 2  # sections, where the voxels' proportions are not known
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Place:
    """A place worth annotating.

    Attributes
    ----------
    position : tuple of int
        Its middle: an index into the labels of the image.
    score : float
        The mean uncertainty around it, 0 to 1, the middle counting most.
    """

    position: tuple[int, ...]
    score: float


def find_unsure(
    uncertainty: Stack | str | Path | ArrayLike,
    n: int = 10,
    *,
    size: int = SIZE,
    axes: str | None = None,
    annotated: Stack | str | Path | ArrayLike | None = None,
    unlabelled: int = 0,
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[Place]:
    """Find the places of an image where annotating is likely to teach the most.

    This is uncertainty sampling (Lewis and Gale 1994,
    https://doi.org/10.1007/978-1-4471-2099-5_1) of places instead of pixels, spread out
    so that they do not all show the same. It reads section by section.

    Parameters
    ----------
    uncertainty : array, Stack, str or Path
        How unsure each pixel is, such as ``(Y, X)`` or ``(Z, Y, X)``; or probabilities
        with a channel for each class, of which the entropy is taken.
    n : int
        How many at most.
    size : int
        Rows and columns of a place: as far apart are the middles of two in a section.
        Those in sections nearby are, too.
    axes : str, optional
        The axes of `uncertainty`, one letter per dimension out of ``TZCYX``.
    annotated : array, Stack, str or Path, optional
        Labels of the same pixels. Those annotated are no longer unsure.
    unlabelled : int
        The value in `annotated` that means not annotated.
    on_event : callable
        Told of the progress.

    Returns
    -------
    list of Place
        The most unsure first.

    Raises
    ------
    ConfigError
        If `n` or `size` is too small.
    StackFormatError
        If the axes cannot be told, `annotated` has another shape, or probabilities are
        outside of 0 to 1.
    """
    known = as_stack(uncertainty, axes=axes)
    labels = None
    if annotated is not None:
        labels = as_stack(annotated, axes=known.section_axes)
    places: list[Place] = []
    for event in unsure_events(
        known, n, size=size, annotated=labels, unlabelled=unlabelled
    ):
        on_event(event)
        if isinstance(event, PlacesFound):
            places = places_of(event)
    return places


def unsure_events(
    uncertainty: Stack,
    n: int = 10,
    *,
    size: int = SIZE,
    annotated: Stack | None = None,
    unlabelled: int = 0,
    put: Callable[[int, NDArray[np.float32]], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Find unsure places; see `find_unsure`.

    Parameters
    ----------
    put : callable, optional
        Given the number and the uncertainty of each section, (Y, X).
    should_stop : callable
        Asked before every section.

    Yields
    ------
    SectionsDone, PlacesFound
        No `PlacesFound` if it was stopped.
    """
    _check(uncertainty, n, size, annotated)
    found: list[tuple[int, int, int, float]] = []
    for index in range(uncertainty.n_sections):
        if should_stop():
            return
        unsure = section_uncertainty(uncertainty.section(index))
        if put is not None:
            put(index, unsure)
        known = None
        if annotated is not None:
            known = annotated.section(index)[0] != unlabelled
        found += [(index, *each) for each in _maxima(unsure, known, n, size)]
        yield SectionsDone(index + 1, uncertainty.n_sections)
    chosen = _spread(uncertainty, found, n, size)
    yield PlacesFound(
        [list(_position(uncertainty, *each[:3])) for each in chosen],
        [each[3] for each in chosen],
    )


def places_of(event: PlacesFound) -> list[Place]:
    """Return what an event tells of."""
    pairs = zip(event.positions, event.scores, strict=True)
    return [Place(tuple(position), score) for position, score in pairs]


def section_uncertainty(section: NDArray[Any]) -> NDArray[np.float32]:
    """Return how unsure each pixel of a section is.

    Parameters
    ----------
    section : ndarray, shape (C, Y, X)
        Of several channels these are the probabilities of the classes.

    Returns
    -------
    ndarray of float32, shape (Y, X)
        Of probabilities the entropy: -Σ p log p / log(classes).

    Raises
    ------
    StackFormatError
        If there are several channels with values outside of 0 to 1.
    """
    values: NDArray[np.float32] = np.nan_to_num(section.astype(np.float32))
    if len(values) == 1:
        return values.reshape(values.shape[1:])
    if values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        raise StackFormatError(
            f"There are {len(values)} channels with values from {values.min():g} to "
            f"{values.max():g}, but probabilities are from 0 to 1. Give the "
            "probabilities or the uncertainty of a prediction."
        )
    surprise: NDArray[np.float32] = entr(values.clip(0, 1)).sum(axis=0)
    surprise /= np.log(len(values))
    return surprise


def _check(uncertainty: Stack, n: int, size: int, annotated: Stack | None) -> None:
    if n < 1 or size < 2:
        raise ConfigError(
            f"n is {n} and size {size}, but there must be at least one place of at "
            "least 2 pixels."
        )
    wanted = [
        length
        for axis, length in zip(uncertainty.axes, uncertainty.shape, strict=True)
        if axis not in "CS"
    ]
    if annotated is not None and list(annotated.shape) != wanted:
        raise StackFormatError(
            f"{annotated.label} has the shape {annotated.shape}, but the annotations "
            f"of {uncertainty.label} must have {tuple(wanted)}."
        )


def _maxima(
    unsure: NDArray[np.float32], known: NDArray[np.bool_] | None, n: int, size: int
) -> list[tuple[int, int, float]]:
    """Return row, column and score of the places of a section, at least `size` apart.

    The blur's window has `size` pixels; what is annotated adds nothing to it.
    """
    if known is not None:
        unsure = np.where(known, np.float32(0), unsure)
    score = gaussian_filter(unsure, size / 4, truncate=2, mode="constant")
    if known is not None:
        score[known] = 0
    found = []
    for _ in range(n):
        row, column = np.unravel_index(int(score.argmax()), score.shape)
        best = float(score[row, column])
        if best <= 0:
            break
        found.append((int(row), int(column), best))
        around = (slice(max(0, at - size + 1), at + size) for at in (row, column))
        score[tuple(around)] = 0
    return found


def _spread(
    stack: Stack, found: list[tuple[int, int, int, float]], n: int, size: int
) -> list[tuple[int, int, int, float]]:
    """Choose n places of all sections, none near another of a section nearby.

    A section's second place is worth half of its score, its third a third, so that
    different sections are seen.
    """
    apart = _APART
    if stack.anisotropy is not None:
        apart = max(1, round(size / stack.anisotropy))
    left = sorted(found, key=lambda each: -each[3])
    chosen: list[tuple[int, int, int, float]] = []
    taken: dict[int, int] = {}  # by section
    while left and len(chosen) < n:
        best = max(left, key=lambda each: each[3] / (1 + taken.get(each[0], 0)))
        chosen.append(best)
        taken[best[0]] = taken.get(best[0], 0) + 1
        left = [each for each in left if not _near(stack, each, best, size, apart)]
    return sorted(chosen, key=lambda each: -each[3])


def _near(stack: Stack, one: Any, other: Any, size: int, apart: int) -> bool:
    """Whether two places show nearly the same."""
    here, there = (_looped(stack, each[0]) for each in (one, other))
    if any(abs(a - b) >= apart for a, b in zip(here, there, strict=True)):
        return False
    return all(abs(one[i] - other[i]) < size for i in (1, 2))


def _looped(stack: Stack, section: int) -> tuple[int, ...]:
    """Return a section's place along the axes that are looped over."""
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    shape = [lengths[axis] for axis in stack.section_axes if axis not in "YX"]
    return tuple(int(each) for each in np.unravel_index(section, shape))


def _position(stack: Stack, section: int, row: int, column: int) -> tuple[int, ...]:
    """Return the index of a pixel into the labels of a stack."""
    looped = iter(_looped(stack, section))
    known = {"Y": row, "X": column}
    return tuple(
        known[axis] if axis in known else next(looped) for axis in stack.section_axes
    )
