"""How far predicted values are from the true ones."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import whole_numbers
from napari_unet.data.masks.find import check_pair
from napari_unet.data.masks.scale import Moments, is_annotated
from napari_unet.errors import MaskError
from napari_unet.evaluation.layout import figure, heading, plain_text
from napari_unet.evaluation.pairing import (
    open_both,
    overall_name,
    overall_shape,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from rich.console import RenderableType

    from napari_unet.data.stack import Stack


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
    moments = Moments()
    absolute = squared = 0.0
    for prediction, truth in pairs:
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
        moments.add(true)
        absolute += float(gap.sum())
        squared += float(gap @ gap)
    if not moments.count:
        raise MaskError(
            "There is no pixel to score: the truth is nowhere annotated. Give a truth "
            "with values, or check the ignore value."
        )
    return RegressionScores(
        r2=1 - squared / moments.squares if moments.squares else None,
        mae=absolute / moments.count,
        rmse=math.sqrt(squared / moments.count),
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
    """

    prediction: str
    truth: str
    shape: tuple[int, int, int]
    regression: RegressionScores

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as JSON takes them."""
        return asdict(self)

    def table(self) -> RenderableType:
        """Return the scores for a rich console."""
        from rich import box
        from rich.console import Group
        from rich.table import Table

        scores = self.regression
        table = Table(box=box.SIMPLE_HEAD)
        for column in ("R²", "MAE", "RMSE", "pixels"):
            table.add_column(column, justify="right")
        errors = (f"{scores.mae:.5g}", f"{scores.rmse:.5g}")
        table.add_row(figure(scores.r2), *errors, f"{scores.n_pixels:,}")
        return Group(heading(self.prediction, self.truth, self.shape), table)

    def text(self, width: int = 88) -> str:
        """Return the table as plain text, for a file."""
        return plain_text(self.table(), width)


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
    predictions, truths = open_both(prediction, truth)
    for found, true in zip(predictions, truths, strict=True):
        check_pair(true, found)
        check_pair(found, true)
    pairs = (
        (found.section(index)[0], true.section(index)[0])
        for found, true in zip(predictions, truths, strict=True)
        for index in range(true.n_sections)
    )
    ignored = whole_numbers(ignore, "ignore")
    return RegressionEvaluation(
        prediction=overall_name(predictions),
        truth=overall_name(truths),
        shape=overall_shape(truths),
        regression=score_regression(pairs, ignored),
    )
