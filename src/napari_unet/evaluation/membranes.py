"""Rand and information scores of membrane segmentations, as in the ISBI 2012 challenge.

Arganda-Carreras et al. (2015), "Crowdsourcing the creation of image segmentation
algorithms for connectomics", Frontiers in Neuroanatomy 9:142,
https://doi.org/10.3389/fnana.2015.00142
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ConfigError, MaskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class MembraneScores:
    """Foreground-restricted scores after border thinning; 1 is best.

    Attributes
    ----------
    rand, info : float
        V_rand and V_info: the mean over sections, at the best threshold for each.
    rand_threshold, info_threshold : float
        The threshold on P(cell) at which `rand` and `info` were reached (the lowest
        one, if several give the same score).
    thresholds : tuple of float
        The thresholds tried.
    rand_by_threshold, info_by_threshold : tuple of float
        Mean over sections at each of `thresholds`.
    n_sections : int
        Sections scored: those whose truth holds a cell.
    """

    rand: float
    rand_threshold: float
    info: float
    info_threshold: float
    thresholds: tuple[float, ...]
    rand_by_threshold: tuple[float, ...]
    info_by_threshold: tuple[float, ...]
    n_sections: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as JSON takes them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def score_membranes(
    cell_probability: Iterable[NDArray[Any]],
    truth_cells: Iterable[NDArray[Any]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> MembraneScores:
    """Score how well membranes part the cells that the truth parts.

    Both inputs are read section by section, so generators are fine. A section whose
    truth holds no cell has no score and is left out of the means.

    Parameters
    ----------
    cell_probability : iterable of (Y, X) float or bool arrays
        P(cell), 0 … 1, of each section.
    truth_cells : iterable of (Y, X) bool arrays
        Where the truth is cell; the objects are its 4-connected components.
    thresholds : sequence of float
        Where to cut P(cell); a pixel is cell where P(cell) > threshold.

    Raises
    ------
    MaskError
        When numbers or shapes of sections differ, when values are no probabilities,
        or when no section of the truth holds a cell.
    ConfigError
        When there is no threshold.
    """
    if not thresholds:
        raise ConfigError("There is no threshold to cut P(cell) at; give one or more.")
    scores = [
        score_section(probability, cells, thresholds)
        for probability, cells in _pairs(cell_probability, truth_cells)
        if cells.any()
    ]
    return mean_scores(scores, thresholds)


def mean_scores(
    scores: Sequence[list[tuple[float, float]]], thresholds: Sequence[float]
) -> MembraneScores:
    """Average what `score_section` gave for each section.

    Raises
    ------
    MaskError
        When there is none.
    """
    if not scores:
        raise MaskError(
            "No section of the truth holds a cell pixel, so there is no object to "
            "score. Check which mask value means cell."
        )
    rand, info = np.mean(scores, axis=0).T
    return MembraneScores(
        rand=float(rand.max()),
        rand_threshold=float(thresholds[rand.argmax()]),
        info=float(info.max()),
        info_threshold=float(thresholds[info.argmax()]),
        thresholds=tuple(thresholds),
        rand_by_threshold=tuple(rand.tolist()),
        info_by_threshold=tuple(info.tolist()),
        n_sections=len(scores),
    )


def _pairs(
    probabilities: Iterable[NDArray[Any]], truths: Iterable[NDArray[Any]]
) -> Iterable[tuple[NDArray[Any], NDArray[np.bool_]]]:
    for index, (probability, cells) in enumerate(zip_longest(probabilities, truths)):
        if probability is None or cells is None:
            short = "prediction" if probability is None else "truth"
            raise MaskError(
                f"The {short} has {index} sections and the other one has more; give as "
                "many sections of one as of the other."
            )
        probability, cells = np.asarray(probability), np.asarray(cells, dtype=bool)
        if probability.shape != cells.shape or cells.ndim != 2:
            raise MaskError(
                f"Section {index}: P(cell) has shape {probability.shape}, the truth "
                f"{cells.shape}; give two (Y, X) sections of one shape."
            )
        _check_probability(index, probability)
        yield probability, cells


def _check_probability(index: int, probability: NDArray[Any]) -> None:
    if not probability.size:
        return
    low, high = float(probability.min()), float(probability.max())
    # The slack is for rounding; NaN fails both comparisons.
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise MaskError(
            f"Section {index}: P(cell) goes from {low:g} to {high:g}; probabilities "
            "go from 0 to 1. Divide grey values by their maximum, or turn logits into "
            "probabilities first."
        )


def score_section(
    probability: NDArray[Any], cells: NDArray[np.bool_], thresholds: Sequence[float]
) -> list[tuple[float, float]]:
    """Return (V_rand, V_info) of a section at each threshold.

    Parameters
    ----------
    probability : (Y, X) float or bool array
        P(cell).
    cells : (Y, X) bool array
        Where the truth is cell; not nowhere.
    thresholds : sequence of float
    """
    from scipy.ndimage import label

    objects, _ = label(cells)
    # Cuts of one map are nested: those with as many pixels are the same cut. Labels
    # given as 0 and 1 are scored once this way, not once per threshold.
    by_size: dict[int, tuple[float, float]] = {}
    scores = []
    for threshold in thresholds:
        cut = probability > threshold
        size = int(np.count_nonzero(cut))
        if size not in by_size:
            by_size[size] = rand_and_info(thin_borders(cut), objects)
        scores.append(by_size[size])
    return scores


def thin_borders(cells: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Grow cells into what lies between them until only one-pixel lines are left.

    All 4-connected components of `cells` grow at the same pace through the rest of
    the image (a 4-connected watershed of a flat landscape).

    Parameters
    ----------
    cells : (Y, X) bool array

    Returns
    -------
    (Y, X) int32 array
        Objects 1, 2, …; 0 on the lines, and everywhere if there is no cell.
    """
    from scipy.ndimage import label
    from skimage.segmentation import watershed

    markers, n_objects = label(cells)
    if n_objects < 2:
        return np.full(cells.shape, n_objects, dtype=np.int32)
    flat = np.zeros(cells.shape, dtype=np.uint8)
    grown: NDArray[np.int32] = watershed(
        flat, markers, connectivity=1, watershed_line=True
    )
    return grown


def rand_and_info(
    segments: NDArray[np.integer[Any]], objects: NDArray[np.integer[Any]]
) -> tuple[float, float]:
    """Compare a segmentation with the objects of the truth, on the objects' pixels.

    With p_ij the share of the truth's n foreground pixels that is in object i and in
    segment j, and a_i and b_j the sums of p_ij over j and over i:
    V_rand = 2 Σ p_ij² / (Σ a_i² + Σ b_j²) and V_info = 2 I / (H_T + H_S). Each pixel on
    a line of the segmentation is a segment of its own.

    Parameters
    ----------
    segments : (Y, X) integer array
        Segments 1, 2, …; 0 on the lines between them.
    objects : (Y, X) integer array
        Objects of the truth 1, 2, …; 0 is not scored. At least one object.

    Returns
    -------
    (float, float)
        V_rand and V_info. V_info is 1 if both are one and the same single object.
    """
    from scipy.sparse import coo_array

    foreground = objects > 0
    object_of, segment_of = objects[foreground], segments[foreground]
    n = object_of.size
    inside = segment_of > 0
    n_line = n - int(np.count_nonzero(inside))
    objects_hit, segments_hit = object_of[inside], segment_of[inside]
    a = np.bincount(object_of) / n
    b = np.bincount(segments_hit, minlength=1) / n
    # A sparse table: noise gives tens of thousands of segments.
    pairs = (np.ones(n - n_line), (objects_hit, segments_hit))
    joint = coo_array(pairs, shape=(a.size, b.size)).tocsr().data / n

    # A line pixel adds one share of 1/n to b and one to the joint distribution.
    line_squares, line_entropy = n_line / n**2, n_line * np.log(n) / n
    joint_squares = np.sum(joint**2) + line_squares
    squares = np.sum(a**2) + np.sum(b**2) + line_squares
    h_truth = _entropy(a)
    h_segments = _entropy(b) + line_entropy
    information = h_truth + h_segments - (_entropy(joint) + line_entropy)
    both = h_truth + h_segments
    # Entropies that should be 0 come out as rounding noise, of either sign.
    v_info = 2 * information / both if both > 1e-12 else 1.0
    return float(2 * joint_squares / squares), float(v_info)


def _entropy(shares: NDArray[np.float64]) -> float:
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log(shares)))
