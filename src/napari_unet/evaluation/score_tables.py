"""The scores of a report as rows of text, for a page or a widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.evaluation.layout import figure
from napari_unet.evaluation.object_report import ObjectEvaluation
from napari_unet.evaluation.regression import RegressionEvaluation
from napari_unet.evaluation.report import Evaluation

if TYPE_CHECKING:
    from napari_unet.evaluation.layout import Report
    from napari_unet.evaluation.membranes import MembraneScores
    from napari_unet.evaluation.objects import ObjectScores
    from napari_unet.evaluation.overlap import OverlapScores


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores.

    Attributes
    ----------
    title : str
    columns : tuple of str
        The first names the rows.
    rows : tuple of tuple of str
        Undefined scores are dashes.
    foot : tuple of str
        Means below the rows, or nothing.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: tuple[str, ...] = ()


DEFINITIONS = {
    "IoU": "TP / (TP + FP + FN) of the pixels of a class; the mean is over the classes "
    "that occur.",
    "Dice": "2 TP / (2 TP + FP + FN), also called F1.",
    "precision": "TP / (TP + FP): how much of what was predicted is right.",
    "recall": "TP / (TP + FN): how much of the truth was found.",
    "AUC": "area under the ROC curve of a class against the others.",
    "accuracy": "share of the scored pixels whose class is right.",
    "V_rand, V_info": "foreground-restricted Rand and information scores after border "
    "thinning, mean over sections at the best threshold on P(cell) "
    "(Arganda-Carreras et al. 2015, doi 10.3389/fnana.2015.00142).",
    "AP": "TP / (TP + FP + FN) of objects, matched one to one where their IoU reaches "
    "the threshold (Data Science Bowl 2018).",
    "R²": "1 - Σ(prediction - truth)² / Σ(truth - its mean)².",
    "MAE, RMSE": "mean absolute and root mean squared difference.",
    "missed, false": "pixels only in the truth, and only in the prediction.",
    "split, merged": "true objects that hold more than half of each of several "
    "predicted ones; true objects that lie with more than half in the same predicted "
    "one (Hoover et al. 1996; specks of under a tenth do not count).",
}
"""What scores mean, in a line each."""

_OF_KIND = {
    Evaluation: ("IoU", "Dice", "precision", "recall", "accuracy", "missed, false"),
    ObjectEvaluation: ("AP", "precision", "recall", "missed, false", "split, merged"),
    RegressionEvaluation: ("R²", "MAE, RMSE"),
}


def definitions(report: Report) -> dict[str, str]:
    """Return what the scores of a report mean."""
    names = [*next(_OF_KIND[kind] for kind in _OF_KIND if isinstance(report, kind))]
    if isinstance(report, Evaluation):
        names += ["AUC"] if report.auc else []
        if report.membranes:
            names += ["V_rand, V_info", "split, merged"]
    return {name: DEFINITIONS[name] for name in DEFINITIONS if name in names}


def headline(report: Report) -> dict[str, str]:
    """Return the scores by which a prediction is judged first."""
    if isinstance(report, RegressionEvaluation):
        scores = report.regression
        return {
            "R²": figure(scores.r2),
            "MAE": f"{scores.mae:.5g}",
            "RMSE": f"{scores.rmse:.5g}",
        }
    if isinstance(report, ObjectEvaluation):
        first = report.objects.matches[0]
        return {
            f"AP at IoU {first.threshold:g}": figure(first.ap),
            "mean AP": figure(report.objects.mean_ap),
            "F1": figure(first.f1),
            "objects": f"{report.objects.predicted:,} of {report.objects.true:,}",
        }
    assert isinstance(report, Evaluation)
    found = {
        "mean IoU": figure(report.overlap.mean_iou),
        "mean Dice": figure(report.overlap.mean_dice),
        "accuracy": figure(report.overlap.accuracy),
    }
    if report.membranes:
        found["V_rand"] = figure(report.membranes.rand)
        found["V_info"] = figure(report.membranes.info)
    return found


def score_tables(report: Report) -> list[ScoreTable]:
    """Return all scores of a report as tables."""
    if isinstance(report, ObjectEvaluation):
        return [_objects(report.objects)]
    if isinstance(report, RegressionEvaluation):
        pixels = f"{report.regression.n_pixels:,}"
        row = (*headline(report).values(), pixels)
        return [ScoreTable("Values", ("R²", "MAE", "RMSE", "pixels"), (row,))]
    assert isinstance(report, Evaluation)
    tables = [_classes(report.overlap, report.auc)]
    if report.membranes:
        tables.append(_membranes(report.membranes, report.cell_value))
    return tables


def _classes(overlap: OverlapScores, auc: dict[str, float | None] | None) -> ScoreTable:
    rows = tuple(
        (
            each.name,
            *map(figure, (each.precision, each.recall, each.iou, each.dice)),
            *([figure(auc[each.name])] if auc else []),
            f"{each.support:,}",
        )
        for each in overlap.classes
    )
    absent = (*["–"] * (5 if auc else 4), "0")
    rows += tuple((name, *absent) for name in overlap.absent)
    area = ["AUC"] if auc else []
    columns = ("class", "precision", "recall", "IoU", "Dice", *area, "pixels")
    mean = ("mean", "", "", figure(overlap.mean_iou), figure(overlap.mean_dice))
    foot = (*mean, *([""] if auc else []), f"{overlap.n_pixels:,}")
    return ScoreTable("Classes", columns, rows, foot)


def _membranes(scores: MembraneScores, cell_value: int | None) -> ScoreTable:
    # Labels are the same at every threshold.
    labels = len(scores.thresholds) == 1
    at = [
        "labels" if labels else f"{each:g}"
        for each in (scores.rand_threshold, scores.info_threshold)
    ]
    return ScoreTable(
        f"Membranes (cell = {cell_value})",
        ("score", "best", "at P(cell) >"),
        (
            ("V_rand", figure(scores.rand), at[0]),
            ("V_info", figure(scores.info), at[1]),
        ),
    )


def _objects(scores: ObjectScores) -> ScoreTable:
    columns = ("IoU ≥", "AP", "precision", "recall", "F1", "TP", "FP", "FN")
    rows = tuple(
        (
            f"{each.threshold:g}",
            *map(figure, (each.ap, each.precision, each.recall, each.f1)),
            *(f"{count:,}" for count in (each.matched, each.added, each.missed)),
        )
        for each in scores.matches
    )
    return ScoreTable("Objects", columns, rows, ("mean", figure(scores.mean_ap)))
