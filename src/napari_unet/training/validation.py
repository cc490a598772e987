"""The score of a network on what was held out from its training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import PredictionConfig
from napari_unet.data.masks import IGNORE
from napari_unet.data.stack import Stack
from napari_unet.evaluation.overlap import (
    OverlapScores,
    count_confusion,
    overlap_scores,
)
from napari_unet.prediction.engine import Predictor, predict_sections

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from napari_unet.config import NetworkConfig, TrainingConfig
    from napari_unet.training.dataset import Dataset


def score_held_out(
    network: nn.Module, shape: NetworkConfig, config: TrainingConfig, data: Dataset
) -> tuple[float, OverlapScores]:
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
        Plain cross-entropy, the mean over the annotated pixels.
    scores : OverlapScores
    """
    compute = PredictionConfig(config.device, config.precision)
    # What is held out has the channels of its context already.
    seen = replace(shape, channels=shape.inputs, context=0)
    predictor = Predictor(network, seen, compute)
    confusion = np.zeros((data.classes.n, data.classes.n), np.int64)
    surprise, pixels = 0.0, 0
    for part in data.held_out:
        stack = Stack(part.image, "ZCYX" if shape.dims == 2 else "TCZYX")
        plan = predictor.plan(stack.shape_seen(shape.dims), None)
        for result in predict_sections(
            predictor, stack, _as_float32, plan, probabilities=True
        ):
            if isinstance(result, int):
                continue
            assert result.probabilities is not None
            truth = part.labels[result.index]
            confusion += count_confusion(result.labels, truth, len(confusion))
            rows, columns = np.nonzero(truth != IGNORE)
            found = result.probabilities[truth[rows, columns], rows, columns]
            surprise -= float(np.log(np.maximum(found, 1e-7)).sum())
            pixels += len(rows)
    return surprise / pixels, overlap_scores(confusion, data.classes.names)


def _as_float32(section: NDArray[Any]) -> NDArray[np.float32]:
    return section.astype(np.float32)
