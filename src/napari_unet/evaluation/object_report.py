"""The report on predicted objects: two stacks of numbers in, scores and a table out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import whole_numbers
from napari_unet.data.masks.find import check_pair
from napari_unet.evaluation.layout import figure, heading, plain_text
from napari_unet.evaluation.objects import ObjectScores, score_objects
from napari_unet.evaluation.pairing import (
    open_both,
    overall_name,
    overall_shape,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from rich.console import RenderableType
    from rich.table import Table

    from napari_unet.data.stack import Stack


@dataclass(frozen=True)
class ObjectEvaluation:
    """All scores of one prediction of objects.

    Attributes
    ----------
    prediction, truth : str
        What was compared: file, layer or array.
    shape : (int, int, int)
        Sections, rows and columns.
    dims : int
        2 where each section has its own objects, 3 where they go through sections.
    objects : ObjectScores
    """

    prediction: str
    truth: str
    shape: tuple[int, int, int]
    dims: int
    objects: ObjectScores

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as JSON takes them."""
        return {
            "prediction": self.prediction,
            "truth": self.truth,
            "shape": list(self.shape),
            "dims": self.dims,
            "objects": self.objects.to_dict(),
        }

    def table(self) -> RenderableType:
        """Return the scores for a rich console."""
        from rich.console import Group
        from rich.text import Text

        counts = (
            f"{self.objects.predicted:,} objects predicted, {self.objects.true:,} in "
            f"the truth; mean AP {self.objects.mean_ap:.4f}."
        )
        return Group(
            heading(self.prediction, self.truth, self.shape),
            _matches_table(self.objects),
            Text(counts),
        )

    def text(self, width: int = 88) -> str:
        """Return the table as plain text, for a file."""
        return plain_text(self.table(), width)


def _matches_table(scores: ObjectScores) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=0)  # fits 80 characters
    columns = ("IoU ≥", "AP", "by image", "precision", "recall", "F1", "mean IoU")
    for column in (*columns, "TP", "FP", "FN"):
        least = 9 if column == "precision" else 7
        table.add_column(column, justify="right", min_width=least)
    for each in scores.matches:
        shares = (
            *(each.ap, each.ap_by_image, each.precision, each.recall),
            *(each.f1, each.mean_iou),
        )
        counts = (each.matched, each.added, each.missed)
        cells = *map(figure, shares), *(f"{count:,}" for count in counts)
        table.add_row(f"{each.threshold:g}", *cells)
    return table


def evaluate_objects(
    prediction: Stack | str | Path | ArrayLike | Sequence[Stack | str | Path],
    truth: Stack | str | Path | ArrayLike | Sequence[Stack | str | Path],
    *,
    dims: int = 2,
    ignore: int | str | Iterable[int] | None = None,
) -> ObjectEvaluation:
    """Score predicted objects against the true ones.

    Parameters
    ----------
    prediction, truth : Stack, str, Path or array
        One whole number per object and 0 around them, such as the ``.objects.tif`` of a
        prediction. An array is one section, YX, or several, ZYX.
    dims : int
        2 where each section has its own objects, 3 where they go through the sections
        of a volume, which is then held in memory.
    ignore : int or several, optional
        Numbers in the truth of pixels that are not scored; what was predicted there
        does not count.

    Raises
    ------
    MaskError
        When the two do not fit together, hold no objects, or no numbers of objects.
    StackFormatError
        When a file cannot be read, or is no volume and `dims` is 3.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2, 2]])
    >>> evaluate_objects(truth, truth).objects.mean_ap
    1.0
    """
    predictions, truths = open_both(prediction, truth)
    ignored = whole_numbers(ignore, "ignore")
    for pair in zip(truths, predictions, strict=True):
        check_pair(*pair)
    images = (
        zip(_images(found, dims), _images(true, dims), strict=True)
        for found, true in zip(predictions, truths, strict=True)
    )
    scored = (_without(*pair, ignored) for pair in chain.from_iterable(images))
    return ObjectEvaluation(
        prediction=overall_name(predictions),
        truth=overall_name(truths),
        shape=overall_shape(truths),
        dims=dims,
        objects=score_objects(scored),
    )


def _images(stack: Stack, dims: int) -> Iterator[NDArray[Any]]:
    for sections in stack.seen_together(dims):
        yield np.stack([stack.section(int(index))[0] for index in sections])


def _without(
    prediction: NDArray[Any], truth: NDArray[Any], ignored: tuple[int, ...]
) -> tuple[NDArray[Any], NDArray[Any]]:
    if not ignored:
        return prediction, truth
    scored = ~np.isin(truth, ignored)
    return prediction * scored, truth * scored
