"""How far predicted values are from the true ones."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import EvaluationConfig, whole_numbers
from napari_unet.data.masks.find import check_pair
from napari_unet.data.masks.scale import Moments, is_annotated
from napari_unet.errors import MaskError
from napari_unet.evaluation.comparison import Comparison, finish
from napari_unet.evaluation.layout import details, figure, heading, plain_text
from napari_unet.evaluation.pairing import open_both
from napari_unet.evaluation.section_scores import SectionScores

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from rich.console import RenderableType

    from napari_unet.data.stack import Stack
    from napari_unet.evaluation.error_map import ErrorCounts


@dataclass(frozen=True)
class RegressionScores:
    """Scores of predicted values.

    Attributes
    ----------
    r2 : float or None
        1 - Σ(prediction - truth)² / Σ(truth - mean truth)²: 1 is perfect, 0 as good as
        the mean; None where all of the truth is one value.
    mae, rmse : float
        Mean absolute and root mean squared difference, in the unit of the values.
    n_pixels : int
        Pixels scored.
    """

    r2: float | None
    mae: float
    rmse: float
    n_pixels: int

    @property
    def score(self) -> float:
        """R², or -RMSE where that is undefined: the higher, the better."""
        return -self.rmse if self.r2 is None else self.r2


def score_regression(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]],
    ignore: tuple[int, ...] = (),
) -> RegressionScores:
    """Score predicted values, section by section, all together.

    Parameters
    ----------
    pairs : iterable of (prediction, truth)
        Arrays of one shape. Where the truth is NaN, infinite or ignored nothing is
        scored.
    ignore : tuple of int
        Values of the truth that mean "not annotated".

    Raises
    ------
    MaskError
        When shapes differ, nothing is annotated, or the prediction is no number there.

    Examples
    --------
    >>> score_regression([(np.array([1.0, 3.0]), np.array([1.0, 2.0]))]).mae
    0.5
    """
    sums = Differences()
    for prediction, truth in pairs:
        sums.add(prediction, truth, ignore)
    return sums.scores()


class Differences:
    """Sums over the scored pixels of sections, from which the scores follow."""

    def __init__(self) -> None:
        self._moments = Moments()
        self._absolute = self._squared = 0.0

    def add(
        self, prediction: NDArray[Any], truth: NDArray[Any], ignore: tuple[int, ...]
    ) -> float | None:
        """Add a section, and return its own RMSE; None where nothing is scored."""
        if prediction.shape != truth.shape:
            raise MaskError(
                f"The prediction has shape {prediction.shape}, the truth "
                f"{truth.shape}; give two arrays of one shape."
            )
        scored = is_annotated(truth, ignore)
        true = truth[scored].astype(np.float64)
        gap = np.abs(prediction[scored].astype(np.float64) - true)
        if not np.isfinite(gap).all():
            raise MaskError(
                "The prediction is NaN or infinite where the truth has a value. "
                "Check that the two belong together."
            )
        self._moments.add(true)
        self._absolute += float(gap.sum())
        squared = float(gap @ gap)
        self._squared += squared
        return math.sqrt(squared / gap.size) if gap.size else None

    def scores(self) -> RegressionScores:
        """Return the scores of all sections together."""
        moments = self._moments
        if not moments.count:
            raise MaskError(
                "There is no pixel to score: the truth is nowhere annotated. Give a "
                "truth with values, or check the ignore value."
            )
        return RegressionScores(
            r2=1 - self._squared / moments.squares if moments.squares else None,
            mae=self._absolute / moments.count,
            rmse=math.sqrt(self._squared / moments.count),
            n_pixels=moments.count,
        )


@dataclass(frozen=True)
class RegressionEvaluation:
    """All scores of one prediction of values.

    Attributes
    ----------
    prediction, truth : str
        What was compared: file, layer or array.
    shape : (int, int, int)
        Sections, rows and columns.
    regression : RegressionScores
    remarks : tuple of str
        What a reader of the scores should know.
    sections : SectionScores or None
        The RMSE of each section.
    errors : None
        Values have no kinds of errors.
    """

    prediction: str
    truth: str
    shape: tuple[int, int, int]
    regression: RegressionScores
    remarks: tuple[str, ...] = ()
    sections: SectionScores | None = None
    errors: ErrorCounts | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as JSON takes them."""
        return {
            "prediction": self.prediction,
            "truth": self.truth,
            "shape": list(self.shape),
            "regression": asdict(self.regression),
            "remarks": list(self.remarks),
            **details(self.sections, self.errors),
        }

    def table(self) -> RenderableType:
        """Return the scores for a rich console."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        scores = self.regression
        table = Table(box=box.SIMPLE_HEAD)
        for column in ("R²", "MAE", "RMSE", "pixels"):
            table.add_column(column, justify="right")
        errors = (f"{scores.mae:.5g}", f"{scores.rmse:.5g}")
        table.add_row(figure(scores.r2), *errors, f"{scores.n_pixels:,}")
        remarks = map(Text, self.remarks)
        return Group(heading(self.prediction, self.truth, self.shape), table, *remarks)

    def text(self, width: int = 88) -> str:
        """Return the table as plain text, for a file."""
        return plain_text(self.table(), width)


class ValueComparison(Comparison[RegressionEvaluation]):
    """Predicted values beside the true ones."""

    kind = "values"
    error_type = "float32"

    def __init__(
        self,
        predictions: Sequence[Stack],
        truths: Sequence[Stack],
        config: EvaluationConfig,
    ) -> None:
        super().__init__(predictions, truths, config)
        for found, true in zip(predictions, truths, strict=True):
            check_pair(true, found)
            check_pair(found, true)
        self._places = self.places()

    def score(self) -> Generator[int, None, RegressionEvaluation]:
        """Score section by section; see `Comparison.score`."""
        sums, own = Differences(), []
        for index in range(self.n_sections):
            truth, prediction = self.seen(index)
            own.append(sums.add(prediction, truth, self.config.ignore))
            yield index + 1
        return RegressionEvaluation(
            **self.facts(),
            regression=sums.scores(),
            sections=SectionScores("RMSE", tuple(own), lower_is_better=True),
        )

    def errors(self, index: int) -> NDArray[np.float32]:
        """Return prediction - truth of a section; see `Comparison.errors`."""
        truth, prediction = self.seen(index)
        gap = prediction.astype(np.float32) - truth.astype(np.float32)
        scored = is_annotated(truth, self.config.ignore)
        return np.where(scored, gap, np.float32(np.nan))

    def seen(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return truth and prediction of a section."""
        stack, own = self._places[index]
        truth, prediction = self.truths[stack], self.predictions[stack]
        return truth.section(own)[0], prediction.section(own)[0]


def evaluate_regression(
    prediction: Stack | str | Path | ArrayLike | Sequence[Stack | str | Path],
    truth: Stack | str | Path | ArrayLike | Sequence[Stack | str | Path],
    *,
    ignore: int | str | Iterable[int] | None = None,
) -> RegressionEvaluation:
    """Score a stack of predicted values against the true ones.

    Parameters
    ----------
    prediction, truth : Stack, str, Path or array
        One value per pixel, of any type. An array is one section, YX, or several, ZYX.
    ignore : int or several, optional
        Values of the truth that are not scored, besides NaN and infinity.

    Raises
    ------
    MaskError
        When the two do not fit together, or there is nothing to score.
    StackFormatError
        When a file cannot be read, or the axes of an array cannot be told.
    """
    config = EvaluationConfig(ignore=whole_numbers(ignore, "ignore"))
    comparison = ValueComparison(*open_both(prediction, truth), config)
    return finish(comparison.score())
