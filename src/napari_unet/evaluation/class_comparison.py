"""Predicted classes beside the true ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import read_values, write_values
from napari_unet.data.masks.classes import IGNORE
from napari_unet.errors import MaskError
from napari_unet.evaluation.auc import area_under_curve, count_shares
from napari_unet.evaluation.comparison import Comparison
from napari_unet.evaluation.error_map import (
    ErrorCounts,
    Overlaps,
    count_errors,
    map_class_errors,
    map_errors,
)
from napari_unet.evaluation.membranes import (
    THRESHOLDS,
    mean_scores,
    score_section,
)
from napari_unet.evaluation.overlap import count_confusion, overlap_scores
from napari_unet.evaluation.pairing import pair_up_all
from napari_unet.evaluation.report import Evaluation
from napari_unet.evaluation.section_scores import SectionScores
from napari_unet.evaluation.translation import translated

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.config import EvaluationConfig
    from napari_unet.data.stack import Stack
    from napari_unet.evaluation.pairing import Pair


class ClassComparison(Comparison[Evaluation]):
    """Labels, or probabilities of classes, beside a mask."""

    kind = "classes"

    def __init__(
        self,
        predictions: Sequence[Stack],
        truths: Sequence[Stack],
        config: EvaluationConfig,
    ) -> None:
        self._meant = read_values(config.prediction_values)
        if self._meant:
            predictions = [translated(each, self._meant) for each in predictions]
        super().__init__(predictions, truths, config)
        self._pairs = pair_up_all(predictions, truths, config.ignore)
        self._places = [(self._pairs[pair], index) for pair, index in self.places()]
        self.classes = classes = self._pairs[0].classes
        self._cell = self._class_of(config.cell_value, "cell")
        self._scores_cells = (
            classes.n == 2 if config.membranes is None else config.membranes
        )
        self._foreground: tuple[int, ...] = tuple(range(1, classes.n))
        if config.error_value is not None:
            self._foreground = (self._class_of(config.error_value, "error"),)
        elif classes.n == 2:
            self._foreground = (self._cell,)

    def name_classes(self, names: Mapping[int, str]) -> None:
        """Call mask values by the names that a model knows them by."""
        known = zip(self.classes.values, self.classes.names, strict=True)
        called = tuple(names.get(value, name) for value, name in known)
        self.classes = replace(self.classes, names=called)

    def score(self) -> Generator[int, None, Evaluation]:
        """Score section by section; see `Comparison.score`."""
        n = self.classes.n
        confusion = np.zeros((n, n), np.int64)
        areas = [np.zeros((2, 1), np.int64)] * n
        cells: list[list[tuple[float, float]]] = []
        own: list[float | None] = []
        errors = ErrorCounts()
        for number, (pair, index) in enumerate(self._places):
            counts = _count(pair, index)
            confusion += counts
            own.append(_mean_iou(counts, self.classes.names))
            if self._has_probabilities:
                areas = _add_shares(areas, pair, index)
            if self._scores_cells and counts[self._cell].any():
                cells.append(self._score_cells(pair, index))
            errors += self._count_errors(number)
            yield number + 1
        found = bool(cells) or bool(self.config.membranes)
        suggested = self._suggest_values(confusion)
        return Evaluation(
            **self.facts(),
            overlap=overlap_scores(confusion, self.classes.names),
            membranes=mean_scores(cells, self._thresholds) if found else None,
            cell_value=self.classes.values[self._cell] if found else None,
            auc=self._areas(areas) if self._has_probabilities else None,
            remarks=(
                *_on_translation(self._meant),
                *_remarks(confusion, self.classes.names, suggested),
            ),
            suggested_values=suggested,
            sections=SectionScores("mean IoU", tuple(own)),
            errors=errors,
        )

    def errors(self, index: int) -> NDArray[np.uint8]:
        """Return the errors of a section; see `Comparison.errors`."""
        truth, prediction = self.seen(index)
        scored = truth != IGNORE
        errors = map_class_errors(prediction, truth, scored, self._foreground)
        if self._scores_cells and self._foreground == (self._cell,):
            found, true = self._cells(truth, prediction)
            _, split, merged = self._wrong_cells(found, true, scored)
            return map_errors(found, true, scored, split, merged)
        return errors

    def seen(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return truth and prediction of a section as class indices."""
        pair, own = self._places[index]
        return pair.truth_labels(own), pair.labels(own)

    @property
    def _has_probabilities(self) -> bool:
        return all(pair.channels for pair in self._pairs)

    @property
    def _thresholds(self) -> tuple[float, ...]:
        # Labels are the same at every threshold.
        return THRESHOLDS if any(pair.channels for pair in self._pairs) else (0.5,)

    def _class_of(self, value: int | None, what: str) -> int:
        values = self.classes.values
        if value is None:
            return len(values) - 1
        if value not in values:
            raise MaskError(
                f"The {what} value {value} is not among the classes {list(values)}; "
                "name one of them."
            )
        return values.index(value)

    def _score_cells(self, pair: Pair, index: int) -> list[tuple[float, float]]:
        probability = pair.probability(index, self._cell)
        return score_section(
            probability, pair.truth_labels(index) == self._cell, self._thresholds
        )

    def _cells(
        self, truth: NDArray[Any], prediction: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give numbers to the 4-connected cells of the prediction and the truth."""
        from scipy.ndimage import label

        return label(prediction == self._cell)[0], label(truth == self._cell)[0]

    @staticmethod
    def _wrong_cells(
        found: NDArray[Any], true: NDArray[Any], scored: NDArray[np.bool_]
    ) -> tuple[set[int], set[int], set[int]]:
        overlaps = Overlaps()
        overlaps.add(found * scored, true * scored)
        return overlaps.wrong_objects()

    def _count_errors(self, number: int) -> ErrorCounts:
        truth, prediction = self.seen(number)
        scored = truth != IGNORE
        pixels = map_class_errors(prediction, truth, scored, self._foreground)
        counts = count_errors(pixels, int(np.count_nonzero(scored)))
        if not self._scores_cells:
            return counts
        found, true = self._cells(truth, prediction)
        every, split, merged = self._wrong_cells(found, true, scored)
        return counts + ErrorCounts(
            objects=len(every), split=len(split), merged=len(merged)
        )

    def _suggest_values(self, confusion: NDArray[np.int64]) -> str | None:
        """Pair up values in ascending order, if the two have as many and none common.

        Nobody but the user knows whether that is meant.
        """
        values = self.classes.values
        found, true = (
            [
                each
                for each, n in zip(values, confusion.sum(axis=axis), strict=True)
                if n
            ]
            for axis in (0, 1)
        )
        if self._has_probabilities or {*found} & {*true} or len(found) != len(true):
            return None
        return write_values(dict(zip(found, true, strict=True)))

    def _areas(self, counts: list[NDArray[np.int64]]) -> dict[str, float | None]:
        """Return the area under the ROC curve of each class against the others."""
        areas = map(area_under_curve, counts)
        return dict(zip(self.classes.names, areas, strict=True))


def _count(pair: Pair, index: int) -> NDArray[np.int64]:
    labels, truth = pair.labels(index), pair.truth_labels(index)
    unlabelled = (labels == IGNORE) & (truth != IGNORE)
    if unlabelled.any():
        raise MaskError(
            f"Section {index} of {pair.prediction.label} holds the ignored value "
            f"{pair.classes.ignore[0]} at {np.count_nonzero(unlabelled)} pixels that "
            "are annotated. A prediction needs a class there; check the ignore value."
        )
    return count_confusion(labels, truth, pair.classes.n)


def _mean_iou(counts: NDArray[np.int64], names: Sequence[str]) -> float | None:
    return overlap_scores(counts, names).mean_iou if counts.any() else None


def _add_shares(
    counts: list[NDArray[np.int64]], pair: Pair, index: int
) -> list[NDArray[np.int64]]:
    truth = pair.truth_labels(index)
    scored = truth != IGNORE
    return [
        known
        + count_shares(pair.probability(index, number)[scored], truth[scored] == number)
        for number, known in enumerate(counts)
    ]


def _on_translation(meant: Mapping[int, int]) -> list[str]:
    if not meant:
        return []
    pairs = ", ".join(f"{own} for {value}" for own, value in meant.items())
    return [f"Of the prediction these values were taken: {pairs}."]


def _remarks(
    confusion: NDArray[np.int64], names: tuple[str, ...], suggested: str | None
) -> tuple[str, ...]:
    """Say which classes only one of the two holds."""
    truth, found = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    sides = list(zip(names, truth, found, strict=True))
    extra = [name for name, true, predicted in sides if predicted and not true]
    never = [name for name, true, predicted in sides if true and not predicted]
    remarks = []
    if extra:
        remarks.append(
            f"The prediction holds {', '.join(extra)}, which the scored truth never "
            "does. If the two masks use different values for the same class, give "
            f"prediction_values, such as {suggested or '1=0,2=255'}."
        )
    if never:
        remarks.append(
            f"The truth holds {', '.join(never)}, which the prediction never does."
        )
    return tuple(remarks)
