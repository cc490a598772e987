"""A predicted stack and its truth, read together as class indices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.annotations import as_mask
from napari_unet.data.masks.classes import MAX_CLASSES, Classes
from napari_unet.data.masks.find import (
    check_pair,
    count_values,
    too_many_values,
    value_name,
)
from napari_unet.data.open import as_stack
from napari_unet.data.stack import Stack
from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Pair:
    """Reads sections of a prediction and of its truth.

    Attributes
    ----------
    prediction, truth : Stack
    classes : Classes
        The values that occur in either.
    channels : tuple of int or None
        The class index of each channel of a prediction of probabilities; None for one
        of labels.
    """

    prediction: Stack
    truth: Stack
    classes: Classes
    channels: tuple[int, ...] | None

    def labels(self, index: int) -> NDArray[np.integer[Any]]:
        """Return the predicted class indices of a section, (Y, X)."""
        section = self.prediction.section(index)
        if self.channels is None:
            return self.classes.encode(section[0])
        best = np.argmax(_per_class(section), axis=0)
        labels: NDArray[np.intp] = np.array(self.channels)[best]
        return labels

    def probability(self, index: int, which: int) -> NDArray[Any]:
        """Return P(class `which`) of a section, (Y, X); 0 or 1 where labels are given.

        A class without a channel has probability 0.
        """
        if self.channels is None:
            found: NDArray[np.bool_] = self.labels(index) == which
            return found
        section = _per_class(self.prediction.section(index))
        if which not in self.channels:
            return np.zeros(section.shape[1:], section.dtype)
        probability: NDArray[Any] = section[self.channels.index(which)]
        return probability

    def truth_labels(self, index: int) -> NDArray[np.uint8]:
        """Return the true class indices of a section, (Y, X)."""
        return self.classes.encode(self.truth.section(index)[0])


def named_stack(given: Stack | str | Path | ArrayLike, name: str) -> Stack:
    """Make a stack of what was given, to be called `name` if it has no name."""
    return given if isinstance(given, Stack) else as_stack(given, name=name)


def open_both(prediction: Any, truth: Any) -> tuple[list[Stack], list[Stack]]:
    """Make stacks of predictions and truths; only a list of paths or stacks is several.

    Raises
    ------
    MaskError
        Unless there is a truth for each prediction.
    """
    predictions = _named_stacks(prediction, "The prediction")
    truths = _named_stacks(truth, "The truth")
    if len(predictions) != len(truths) or not truths:
        raise MaskError(
            f"There are {len(predictions)} predictions and {len(truths)} truths: give "
            "two lists of the same length, in the same order."
        )
    return predictions, truths


def _named_stacks(given: Any, name: str) -> list[Stack]:
    several = isinstance(given, list | tuple) and all(
        isinstance(each, Stack | str | Path) for each in given
    )
    return [named_stack(each, name) for each in (given if several else [given])]


def overall_shape(stacks: Sequence[Stack]) -> tuple[int, int, int]:
    """Return the sections of all stacks, and the most rows and columns of any."""
    rows, columns = np.max([stack.section_shape for stack in stacks], axis=0).tolist()
    return sum(stack.n_sections for stack in stacks), rows, columns


def overall_name(stacks: Sequence[Stack]) -> str:
    """Return what to call several stacks together."""
    if len(stacks) == 1:
        return stacks[0].label
    first = stacks[0].source
    return str(first.parent) if first else f"{stacks[0].label} and others"


def pair_up(prediction: Stack, truth: Stack, ignore: Collection[int] = ()) -> Pair:
    """Find out what a prediction holds and which classes the two have together.

    Parameters
    ----------
    prediction : Stack
        Labels, or float probabilities; see `napari_unet.evaluation.evaluate`.
    truth : Stack
        Mask of the same sections.
    ignore : collection of int
        Mask values of pixels that are not scored.

    Raises
    ------
    MaskError
        When the two do not fit together or one of them is not what it should be.
    """
    truth = as_mask(truth)
    check_pair(prediction, truth)
    in_truth = _mask_values(truth, ignore)
    channels: tuple[int, ...] | None = None
    if _holds_probabilities(prediction):
        channels = _channel_values(prediction, sorted(in_truth))
    found = _mask_values(prediction, ignore) if channels is None else set(channels)
    values = sorted(in_truth | found)
    names = _channel_names(prediction, channels)
    classes = Classes(
        tuple(values),
        names=tuple(names.get(value, value_name(value)) for value in values),
        ignore=tuple(ignore),
        dtype="int64",
    )
    if channels is not None:
        channels = tuple(values.index(value) for value in channels)
    return Pair(prediction, truth, classes, channels)


def pair_up_all(
    predictions: Sequence[Stack], truths: Sequence[Stack], ignore: Collection[int] = ()
) -> list[Pair]:
    """Pair up several predictions and truths, with the classes of all together."""
    pairs = [
        pair_up(prediction, truth, ignore)
        for prediction, truth in zip(predictions, truths, strict=True)
    ]
    names = {
        value: name
        for pair in pairs
        for value, name in zip(pair.classes.values, pair.classes.names, strict=True)
    }
    values = tuple(sorted(names))
    classes = Classes(
        values,
        tuple(names[value] for value in values),
        ignore=tuple(ignore),
        dtype="int64",
    )
    return [_with_classes(pair, classes) for pair in pairs]


def _with_classes(pair: Pair, classes: Classes) -> Pair:
    if pair.channels is None:
        return replace(pair, classes=classes)
    values = [pair.classes.values[channel] for channel in pair.channels]
    channels = tuple(classes.values.index(value) for value in values)
    return replace(pair, classes=classes, channels=channels)


def _holds_probabilities(prediction: Stack) -> bool:
    if prediction.n_channels > 1:
        if prediction.dtype.kind != "f":
            raise MaskError(
                f"{prediction.label} has {prediction.n_channels} {prediction.dtype} "
                "values per pixel; give labels (one integer per pixel) or "
                "probabilities (one float per class)."
            )
        return True
    # Labels may come as floats; fractions tell that one channel is P(cell).
    return prediction.dtype.kind == "f" and any(
        np.mod(prediction.section(index), 1).any()
        for index in range(prediction.n_sections)
    )


def _channel_values(prediction: Stack, in_truth: list[int]) -> tuple[int, ...]:
    """Return the mask value of each channel, by its name or else by its place."""
    n_channels, names = prediction.n_channels, prediction.channel_names
    if len(set(names)) == n_channels > 1 and all(map(_is_integer, names)):
        return tuple(int(name) for name in names)
    if len(in_truth) == max(n_channels, 2):
        return tuple(in_truth)
    kind = "P(cell) alone" if n_channels == 1 else f"{n_channels} channels"
    raise MaskError(
        f"{prediction.label} holds {kind}, but the truth holds the values {in_truth}. "
        "Name the channels after the mask values of their classes, or give labels."
    )


def _is_integer(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _channel_names(
    prediction: Stack, channels: tuple[int, ...] | None
) -> dict[int, str]:
    if channels is None or len(prediction.channel_names) != len(channels):
        return {}
    return dict(zip(channels, prediction.channel_names, strict=True))


def _per_class(section: NDArray[Any]) -> NDArray[Any]:
    """Return (C, Y, X) probabilities; P(cell) alone gets 1 - P(cell) before it."""
    low, high = float(section.min()), float(section.max())
    # The slack is for rounding; NaN fails both comparisons.
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise MaskError(
            f"The probabilities go from {low:g} to {high:g}, not from 0 to 1. Is this "
            "the image, or are they logits? Give the predicted probabilities."
        )
    return section if len(section) > 1 else np.concatenate([1 - section, section])


def _mask_values(stack: Stack, ignore: Collection[int]) -> set[int]:
    """Return the values that a mask holds, without the ignored ones."""
    counts = count_values(stack)
    values = set(counts) - set(ignore)
    if len(values) > MAX_CLASSES:
        raise MaskError(too_many_values(stack.label, counts))
    return values
