"""Overlap per class, the ISBI membrane scores, objects, and the reports on them."""

from napari_unet.evaluation.curves import curves_picture
from napari_unet.evaluation.membranes import (
    THRESHOLDS,
    MembraneScores,
    score_membranes,
)
from napari_unet.evaluation.object_report import ObjectEvaluation, evaluate_objects
from napari_unet.evaluation.objects import ObjectScores, score_objects
from napari_unet.evaluation.overlap import (
    ClassScores,
    OverlapScores,
    count_confusion,
    overlap_scores,
    score_overlap,
)
from napari_unet.evaluation.picture import comparison_picture
from napari_unet.evaluation.regression import (
    RegressionEvaluation,
    RegressionScores,
    evaluate_regression,
    score_regression,
)
from napari_unet.evaluation.report import Evaluation, evaluate
from napari_unet.evaluation.whole import error_map, write_report

__all__ = [
    "THRESHOLDS",
    "ClassScores",
    "Evaluation",
    "MembraneScores",
    "ObjectEvaluation",
    "ObjectScores",
    "OverlapScores",
    "RegressionEvaluation",
    "RegressionScores",
    "comparison_picture",
    "count_confusion",
    "curves_picture",
    "error_map",
    "evaluate",
    "evaluate_objects",
    "evaluate_regression",
    "overlap_scores",
    "score_membranes",
    "score_objects",
    "score_overlap",
    "score_regression",
    "write_report",
]
