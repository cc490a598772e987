"""Score a whole predicted stack against its truth, and lay the scores out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.config import EvaluationConfig, whole_numbers
from napari_unet.evaluation.comparison import finish
from napari_unet.evaluation.layout import (
    describe_errors,
    details,
    figure,
    heading,
    plain_text,
)
from napari_unet.evaluation.pairing import open_both

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike
    from rich.console import RenderableType
    from rich.table import Table

    from napari_unet.data.stack import Stack
    from napari_unet.evaluation.error_map import ErrorCounts
    from napari_unet.evaluation.membranes import MembraneScores
    from napari_unet.evaluation.overlap import OverlapScores
    from napari_unet.evaluation.section_scores import SectionScores


@dataclass(frozen=True)
class Evaluation:
    """All scores of one prediction.

    Attributes
    ----------
    prediction, truth : str
        What was compared: file, layer or array.
    shape : (int, int, int)
        Sections, and the most rows and columns of any.
    overlap : OverlapScores
        Overlap per class and over all.
    membranes : MembraneScores or None
        Rand and information scores, when they were asked for or there are two classes.
    cell_value : int or None
        The mask value that was taken for cell in `membranes`.
    auc : dict of str to float, or None
        Area under the ROC curve of each class against the others, where probabilities
        were given; None for a class that the truth holds nowhere or everywhere.
    remarks : tuple of str
        What a reader of the scores should know.
    sections : SectionScores or None
        The mean IoU of each section.
    errors : ErrorCounts or None
        What kinds of errors there are.
    suggested_values : str or None
        The option `prediction_values` that pairs up the values of both in ascending
        order; only where they have none in common, and as many.
    """

    prediction: str
    truth: str
    shape: tuple[int, int, int]
    overlap: OverlapScores
    membranes: MembraneScores | None = None
    cell_value: int | None = None
    auc: dict[str, float | None] | None = None
    remarks: tuple[str, ...] = ()
    sections: SectionScores | None = None
    errors: ErrorCounts | None = None
    suggested_values: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as JSON takes them."""
        return {
            "prediction": self.prediction,
            "truth": self.truth,
            "shape": list(self.shape),
            "overlap": self.overlap.to_dict(),
            "membranes": self.membranes.to_dict() if self.membranes else None,
            "cell_value": self.cell_value,
            "auc": self.auc,
            "remarks": list(self.remarks),
            "suggested_values": self.suggested_values,
            **details(self.sections, self.errors),
        }

    def table(self) -> RenderableType:
        """Return the scores for a rich console."""
        from rich.console import Group
        from rich.text import Text

        accuracy = (
            f"Pixel accuracy {self.overlap.accuracy:.4f} "
            f"over {self.overlap.n_pixels:,} pixels."
        )
        parts: list[RenderableType] = [
            heading(self.prediction, self.truth, self.shape),
            _overlap_table(self.overlap, self.auc),
            Text(accuracy),
        ]
        if self.membranes:
            parts += [_membrane_table(self.membranes, self.cell_value)]
        if self.errors:
            parts += [Text(describe_errors(self.errors))]
        return Group(*parts, *(Text(remark) for remark in self.remarks))

    def text(self, width: int = 88) -> str:
        """Return the table as plain text, for a file."""
        return plain_text(self.table(), width)


def _overlap_table(
    overlap: OverlapScores, auc: dict[str, float | None] | None
) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_footer=True)
    table.add_column("class", footer="mean")
    for title, mean in (
        ("IoU", f"{overlap.mean_iou:.4f}"),
        ("Dice", f"{overlap.mean_dice:.4f}"),
        ("precision", ""),
        ("recall", ""),
        *([("AUC", "")] if auc else []),
        ("pixels in truth", ""),
    ):
        table.add_column(title, footer=mean, justify="right")
    for scores in overlap.classes:
        shares = [scores.iou, scores.dice, scores.precision, scores.recall]
        shares += [auc[scores.name]] if auc else []
        cells = map(figure, shares)
        table.add_row(escape(scores.name), *cells, f"{scores.support:,}")
    return table


def _membrane_table(scores: MembraneScores, cell_value: int | None) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(f"membranes (cell = {cell_value})")
    table.add_column("score", justify="right")
    table.add_column("at P(cell) >", justify="right")
    table.add_row("Rand, V_rand", f"{scores.rand:.4f}", f"{scores.rand_threshold:g}")
    table.add_row(
        "information, V_info", f"{scores.info:.4f}", f"{scores.info_threshold:g}"
    )
    return table


def evaluate(
    prediction: Stack | str | Path | ArrayLike | Sequence[Stack | str | Path],
    truth: Stack | str | Path | ArrayLike | Sequence[Stack | str | Path],
    *,
    ignore: int | str | Iterable[int] | None = None,
    membranes: bool | None = None,
    cell_value: int | None = None,
    prediction_values: str | None = None,
) -> Evaluation:
    """Score a predicted stack, or several together, section by section.

    Parameters
    ----------
    prediction : Stack, str, Path or array
        Labels in mask values; or float probabilities with a channel per class, named
        after the mask values (else in the order of the truth's values); or float
        P(cell) without channels, for two classes. An array is one section, YX, or
        several, ZYX; give others as a `Stack`: ``Stack(array, "ZCYX")``.
    truth : Stack, str, Path or array
        Mask of the same sections. Both may be lists, of stacks of any sizes.
    ignore : int or several, optional
        Mask values of pixels that are not scored. They count as "not cell" for the
        objects of `membranes`.
    membranes : bool, optional
        Whether to compute the Rand and information scores. By default when there are
        exactly two classes and the truth holds cells.
    cell_value : int, optional
        The mask value that means cell; by default the highest.
    prediction_values : str, optional
        Values of predicted labels, each with the one that the truth has for it, such
        as ``"1=0,2=255"``.

    Raises
    ------
    MaskError
        When the two do not fit together, are no masks, or leave nothing to score.
    StackFormatError
        When a file cannot be read, or the axes of an array cannot be told.

    Examples
    --------
    >>> truth = np.array([[0, 0, 255, 255]])
    >>> evaluate(truth, truth).overlap.mean_iou
    1.0
    """
    from napari_unet.evaluation.class_comparison import ClassComparison

    config = EvaluationConfig(
        ignore=whole_numbers(ignore, "ignore"),
        membranes=membranes,
        cell_value=cell_value,
        prediction_values=prediction_values,
    )
    comparison = ClassComparison(*open_both(prediction, truth), config)
    return finish(comparison.score())
