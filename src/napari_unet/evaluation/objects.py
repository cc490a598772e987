"""How well predicted objects match the true ones, by the overlap of each pair."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""The overlaps from which on two objects count as the same: 0.5, 0.55, … 0.95."""


@dataclass(frozen=True)
class ObjectMatches:
    """What is right and wrong where a match needs an IoU of at least `threshold`.

    With TP the matched pairs, FP the predicted and FN the true objects left over:
    AP = TP/(TP+FP+FN), as in the Data Science Bowl 2018, StarDist (Schmidt et al. 2018)
    and Cellpose; precision = TP/(TP+FP), recall = TP/(TP+FN), F1 = 2TP/(2TP+FP+FN).

    Attributes
    ----------
    threshold : float
    matched, added, missed : int
        TP, FP and FN over all images.
    ap : float
        Of all images' objects together.
    ap_by_image : float
        The mean of the images' own AP, over those that hold an object.
    precision, recall : float or None
        None (0/0, undefined) where nothing was predicted, or nothing is there.
    f1 : float
    mean_iou : float or None
        Mean IoU of the matched pairs; None where there are none.
    """

    threshold: float
    matched: int
    added: int
    missed: int
    ap: float
    ap_by_image: float
    precision: float | None
    recall: float | None
    f1: float
    mean_iou: float | None


@dataclass(frozen=True)
class ObjectScores:
    """Object scores of a whole prediction.

    Attributes
    ----------
    predicted, true : int
        Objects in all images together.
    images : int
        Images, counted with those that hold no object.
    matches : tuple of ObjectMatches
        One per threshold.
    mean_ap : float
        Mean of `ObjectMatches.ap` over the thresholds.
    """

    predicted: int
    true: int
    images: int
    matches: tuple[ObjectMatches, ...]
    mean_ap: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as JSON takes them."""
        return {**asdict(self), "matches": [asdict(each) for each in self.matches]}


def score_objects(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]],
    thresholds: tuple[float, ...] = IOU_THRESHOLDS,
) -> ObjectScores:
    """Match the objects of each image, one to one, and score them all together.

    Parameters
    ----------
    pairs : iterable of (prediction, truth)
        Integer arrays of one shape, (Y, X) or (Z, Y, X): the object's number at each of
        its pixels, 0 elsewhere. Numbers need not be consecutive.
    thresholds : tuple of float
        IoU from which on a pair counts as matched, each above 0 and at most 1.

    Returns
    -------
    ObjectScores

    Raises
    ------
    MaskError
        When two shapes differ, an array holds no whole numbers or negative ones, or
        neither prediction nor truth holds any object.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2]])
    >>> score_objects([(truth, truth)]).mean_ap
    1.0
    """
    return sum_matches([match(*pair, thresholds) for pair in pairs], thresholds)


def sum_matches(
    images: Sequence[Matched], thresholds: tuple[float, ...] = IOU_THRESHOLDS
) -> ObjectScores:
    """Score what `match` found in each image, all together.

    Raises
    ------
    MaskError
        When there is no object at all.
    """
    predicted = np.array([each.predicted for each in images], np.int64)
    true = np.array([each.true for each in images], np.int64)
    if not (predicted.any() or true.any()):
        raise MaskError(
            "Neither the prediction nor the truth holds an object, so there is nothing "
            "to score. Give masks with one number per object, and 0 around them."
        )
    matches = tuple(
        _score(
            threshold,
            np.array([each.matched[number] for each in images]),
            predicted,
            true,
            sum(each.overlap[number] for each in images),
        )
        for number, threshold in enumerate(thresholds)
    )
    mean_ap = sum(each.ap for each in matches) / len(matches)
    totals = int(predicted.sum()), int(true.sum())
    return ObjectScores(*totals, len(images), matches, mean_ap)


@dataclass(frozen=True)
class Matched:
    """Objects of one image; per threshold the matched pairs and their summed IoU."""

    predicted: int
    true: int
    matched: list[int]
    overlap: list[float]

    @property
    def ap(self) -> float | None:
        """The AP at the first threshold; None where there is no object."""
        union = self.predicted + self.true - self.matched[0]
        return self.matched[0] / union if union else None


def match(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    thresholds: tuple[float, ...] = IOU_THRESHOLDS,
) -> Matched:
    """Match the objects of one image; see `score_objects`."""
    from scipy.sparse.csgraph import maximum_bipartite_matching

    ious = object_ious(prediction, truth)
    matched, overlap = [], []
    for threshold in thresholds:
        pairs = ious.multiply(ious >= threshold).tocsr()
        pairs.eliminate_zeros()
        # Above 0.5 no two pairs compete; below, as many as can be are matched.
        partner = maximum_bipartite_matching(pairs, perm_type="column")
        rows = np.flatnonzero(partner >= 0)
        matched.append(len(rows))
        overlap.append(float(ious[rows, partner[rows]].sum()))
    predicted, true = ious.shape
    return Matched(predicted, true, matched, overlap)


def object_ious(prediction: NDArray[Any], truth: NDArray[Any]) -> csr_array:
    """Return the IoU of each predicted with each true object, most of them 0.

    Parameters
    ----------
    prediction, truth : integer arrays of one shape
        Object numbers, 0 where there is none.

    Returns
    -------
    sparse array of float64, shape (predicted objects, true objects)
        In ascending order of the numbers.

    Raises
    ------
    MaskError
        When the shapes differ, or the numbers are no object numbers.
    """
    from scipy.sparse import coo_array

    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.shape != truth.shape:
        raise MaskError(
            f"The prediction has shape {prediction.shape}, the truth {truth.shape}; "
            "give two arrays of one shape."
        )
    predicted, predicted_sizes = _number(prediction, "prediction")
    true, true_sizes = _number(truth, "truth")
    both = (predicted > 0) & (true > 0)
    rows, columns = predicted[both] - 1, true[both] - 1
    shape = len(predicted_sizes), len(true_sizes)
    shared = coo_array((np.ones(len(rows)), (rows, columns)), shape).tocsr().tocoo()
    union = predicted_sizes[shared.row] + true_sizes[shared.col] - shared.data
    return coo_array((shared.data / union, (shared.row, shared.col)), shape).tocsr()


def _number(objects: NDArray[Any], what: str) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Give the objects numbers from 1 without gaps; return these and the sizes."""
    if objects.dtype.kind not in "iu":
        raise MaskError(
            f"The {what} holds {objects.dtype} values; give one whole number per "
            "object, and 0 where there is none."
        )
    values, numbers, sizes = np.unique(objects, return_inverse=True, return_counts=True)
    if values.size and values[0] < 0:
        raise MaskError(
            f"The {what} holds the object number {values[0]}; numbers start at 1, and "
            "0 is where there is no object."
        )
    if values.size and values[0] == 0:
        return numbers.reshape(objects.shape), sizes[1:]
    return numbers.reshape(objects.shape) + 1, sizes


def _score(
    threshold: float,
    matched: NDArray[np.int64],
    predicted: NDArray[np.int64],
    true: NDArray[np.int64],
    overlap: float,
) -> ObjectMatches:
    hits, found, there = (int(each.sum()) for each in (matched, predicted, true))
    union = predicted + true - matched
    own = matched[union > 0] / union[union > 0]
    return ObjectMatches(
        threshold=threshold,
        matched=hits,
        added=found - hits,
        missed=there - hits,
        ap=hits / (found + there - hits),
        ap_by_image=float(own.mean()),
        precision=hits / found if found else None,
        recall=hits / there if there else None,
        f1=2 * hits / (found + there),
        mean_iou=overlap / hits if hits else None,
    )
