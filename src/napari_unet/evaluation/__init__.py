"""Overlap scores per class, the ISBI membrane scores, and the report on a stack."""

from napari_unet.evaluation.membranes import (
    THRESHOLDS,
    MembraneScores,
    score_membranes,
)
from napari_unet.evaluation.overlap import (
    ClassScores,
    OverlapScores,
    count_confusion,
    overlap_scores,
    score_overlap,
)
from napari_unet.evaluation.picture import comparison_picture
from napari_unet.evaluation.report import Evaluation, evaluate

__all__ = [
    "THRESHOLDS",
    "ClassScores",
    "Evaluation",
    "MembraneScores",
    "OverlapScores",
    "comparison_picture",
    "count_confusion",
    "evaluate",
    "overlap_scores",
    "score_membranes",
    "score_overlap",
]
