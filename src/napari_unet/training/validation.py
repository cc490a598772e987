"""The score of a network on what was held out from its training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import PredictionConfig
from napari_unet.data.masks.find import IGNORE, Classes
from napari_unet.data.masks.scale import Scale
from napari_unet.data.stack import Stack
from napari_unet.evaluation.overlap import (
    OverlapScores,
    count_confusion,
    overlap_scores,
)
from napari_unet.evaluation.regression import RegressionScores, score_regression
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.sections import predict_sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import nn

    from napari_unet.config import NetworkConfig, TrainingConfig
    from napari_unet.prediction.sections import SectionPrediction
    from napari_unet.training.dataset import Dataset


_BINS = 100  # of probabilities: a threshold is found to two digits


@dataclass(frozen=True)
class HeldOutScores(OverlapScores):
    """The overlap of what was held out.

    Attributes
    ----------
    best_threshold : float or None
        Of two classes, the probability of the second above which the mean IoU is
        highest.
    """

    best_threshold: float | None = None


def score_held_out(
    network: nn.Module, shape: NetworkConfig, config: TrainingConfig, data: Dataset
) -> tuple[float, HeldOutScores | RegressionScores]:
    """Predict the held-out part as a whole, and score it.

    Parameters
    ----------
    network : torch.nn.Module
    shape : NetworkConfig
        What describes it.
    config : TrainingConfig
    data : Dataset
        With a held-out part.

    Returns
    -------
    loss : float
        Plain cross-entropy, or for regression the squared difference in standard
        deviations, the mean over the annotated pixels.
    scores : HeldOutScores or RegressionScores
    """
    compute = PredictionConfig(device=config.device, precision=config.precision)
    # What is held out has the channels of its context already.
    seen = replace(shape, channels=shape.inputs, context=0)
    predictor = Predictor(network, seen, compute)
    if isinstance(data.target, Scale):
        return _score_values(predictor, data, data.target)
    return _score_classes(predictor, data, data.target)


def _score_classes(
    predictor: Predictor, data: Dataset, classes: Classes
) -> tuple[float, HeldOutScores]:
    confusion = np.zeros((classes.n, classes.n), np.int64)
    histogram = np.zeros((2, _BINS), np.int64)
    surprise, pixels = 0.0, 0
    for result, truth in _predicted(predictor, data, probabilities=True):
        assert result.probabilities is not None
        confusion += count_confusion(result.labels, truth, len(confusion))
        rows, columns = np.nonzero(truth != IGNORE)
        found = result.probabilities[truth[rows, columns], rows, columns]
        surprise -= float(np.log(np.maximum(found, 1e-7)).sum())
        pixels += len(rows)
        if classes.n == 2:
            second = result.probabilities[1, rows, columns]
            histogram += _count_shares(second, truth[rows, columns])
    scores = overlap_scores(confusion, classes.names)
    threshold = best_threshold(histogram) if classes.n == 2 else None
    return surprise / pixels, HeldOutScores(**vars(scores), best_threshold=threshold)


def _count_shares(second: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.int64]:
    """Count probabilities by the class that is true, shape (2, `_BINS`)."""
    bins = np.minimum((second * _BINS).astype(np.intp), _BINS - 1)
    counts = np.bincount(truth.astype(np.intp) * _BINS + bins, minlength=2 * _BINS)
    return counts.astype(np.int64, copy=False).reshape(2, _BINS)


def best_threshold(histogram: NDArray[np.int64]) -> float | None:
    """Return the threshold of the highest mean IoU, of several that nearest to 0.5.

    Parameters
    ----------
    histogram : ndarray, shape (2, bins)
        Pixels by true class and by the probability of the second one.

    Returns
    -------
    float or None
        None where one of the classes does not occur.
    """
    if not histogram.any(axis=1).all():
        return None
    below = histogram.cumsum(axis=1)[:, :-1]  # by threshold: bin 1, 2 …
    total = histogram.sum(axis=1, keepdims=True)
    rights = np.stack([below[0], total[1] - below[1]])
    wrong = below[1] + (total[0] - below[0])
    score = (rights / (rights + wrong)).mean(axis=0)
    best = np.flatnonzero(np.isclose(score, score.max(), rtol=0, atol=1e-12)) + 1
    bins = histogram.shape[1]
    return float(best[np.abs(best - bins / 2).argmin()] / bins)


def _score_values(
    predictor: Predictor, data: Dataset, scale: Scale
) -> tuple[float, RegressionScores]:
    scores = score_regression(
        (
            scale.decode(result.labels),
            np.where(truth == IGNORE, np.nan, scale.decode(truth)),
        )
        for result, truth in _predicted(predictor, data, probabilities=False)
    )
    return (scores.rmse / scale.deviation) ** 2, scores


def _predicted(
    predictor: Predictor, data: Dataset, *, probabilities: bool
) -> Iterator[tuple[SectionPrediction, NDArray[Any]]]:
    """Predict the held-out sections; give each with its truth."""
    dims = predictor.config.dims
    for part in data.held_out:
        stack = Stack(part.image, "ZCYX" if dims == 2 else "TCZYX")
        plan = predictor.plan(stack.shape_seen(dims), None)
        for result in predict_sections(
            predictor, stack, _as_float32, plan, probabilities=probabilities
        ):
            if not isinstance(result, int):
                yield result, part.labels[result.index]


def _as_float32(section: NDArray[Any]) -> NDArray[np.float32]:
    return section.astype(np.float32)
