"""The report on predicted objects: two stacks of numbers in, scores and a table out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import EvaluationConfig, whole_numbers
from napari_unet.data.masks.find import check_pair
from napari_unet.evaluation.comparison import Comparison, finish
from napari_unet.evaluation.error_map import (
    ErrorCounts,
    Overlaps,
    count_errors,
    map_errors,
)
from napari_unet.evaluation.layout import (
    describe_errors,
    details,
    figure,
    heading,
    plain_text,
)
from napari_unet.evaluation.objects import Matched, ObjectScores, match, sum_matches
from napari_unet.evaluation.pairing import open_both
from napari_unet.evaluation.section_scores import SectionScores

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
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
    remarks : tuple of str
        What a reader of the scores should know.
    sections : SectionScores or None
        The AP of each section; None where objects go through sections.
    errors : ErrorCounts or None
        What kinds of errors there are.
    """

    prediction: str
    truth: str
    shape: tuple[int, int, int]
    dims: int
    objects: ObjectScores
    remarks: tuple[str, ...] = ()
    sections: SectionScores | None = None
    errors: ErrorCounts | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as JSON takes them."""
        return {
            "prediction": self.prediction,
            "truth": self.truth,
            "shape": list(self.shape),
            "dims": self.dims,
            "objects": self.objects.to_dict(),
            "remarks": list(self.remarks),
            **details(self.sections, self.errors),
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
            *([Text(describe_errors(self.errors))] if self.errors else []),
            *(Text(remark) for remark in self.remarks),
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


class ObjectComparison(Comparison[ObjectEvaluation]):
    """Numbered objects beside the true ones."""

    kind = "objects"

    def __init__(
        self,
        predictions: Sequence[Stack],
        truths: Sequence[Stack],
        config: EvaluationConfig,
    ) -> None:
        super().__init__(predictions, truths, config)
        for pair in zip(truths, predictions, strict=True):
            check_pair(*pair)
        self._places = self.places()
        self._wrong: dict[int, tuple[set[int], set[int]]] = {}

    def score(self) -> Generator[int, None, ObjectEvaluation]:
        """Score image by image; see `Comparison.score`."""
        images: list[Matched] = []
        errors = ErrorCounts()
        done = 0
        for group in self._groups():
            pairs = [self.seen(index) for index in group]
            truth, prediction = (np.stack(each) for each in zip(*pairs, strict=True))
            images.append(match(prediction, truth))
            errors += self._compare(group, pairs)
            done += len(group)
            yield done
        own = tuple(each.ap for each in images)
        return ObjectEvaluation(
            **self.facts(),
            dims=self.config.object_dims,
            objects=sum_matches(images),
            sections=SectionScores("AP at IoU 0.5", own)
            if self.config.object_dims == 2
            else None,
            errors=errors,
        )

    def errors(self, index: int) -> NDArray[np.uint8]:
        """Return the errors of a section; see `Comparison.errors`."""
        truth, prediction = self.seen(index)
        split, merged = self._wrong.get(index, (set(), set()))
        return map_errors(prediction, truth, None, split, merged)

    def seen(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return truth and prediction, 0 where nothing is scored."""
        stack, own = self._places[index]
        truth = self.truths[stack].section(own)[0]
        prediction = self.predictions[stack].section(own)[0]
        scored = ~np.isin(truth, self.config.ignore)
        return truth * scored, prediction * scored

    def _groups(self) -> Iterator[list[int]]:
        """Yield the sections of each image: one, or those of a volume."""
        first = 0
        for stack in self.truths:
            for group in stack.seen_together(self.config.object_dims).tolist():
                yield [first + index for index in group]
            first += stack.n_sections

    def _compare(
        self, group: list[int], pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]
    ) -> ErrorCounts:
        """Find the split and merged objects of an image, and count its errors."""
        overlaps = Overlaps()
        for truth, prediction in pairs:
            overlaps.add(prediction, truth)
        every, *wrong = overlaps.wrong_objects()
        self._wrong |= dict.fromkeys(group, (wrong[0], wrong[1]))
        counts = ErrorCounts(
            objects=len(every), split=len(wrong[0]), merged=len(wrong[1])
        )
        for index in group:
            counts += count_errors(self.errors(index), self._scored(index))
        return counts

    def _scored(self, index: int) -> int:
        stack, own = self._places[index]
        truth = self.truths[stack].section(own)[0]
        return int(np.count_nonzero(~np.isin(truth, self.config.ignore)))


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
    config = EvaluationConfig(ignore=whole_numbers(ignore, "ignore"), object_dims=dims)
    comparison = ObjectComparison(*open_both(prediction, truth), config)
    return finish(comparison.score())
