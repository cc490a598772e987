"""How well labels overlap with the truth, per class, from a confusion matrix."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.classes import IGNORE
from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassScores:
    """Overlap of one class that occurs in the truth, the prediction or both.

    With TP, FP and FN the pixels found, added and missed: IoU = TP/(TP+FP+FN),
    Dice = 2TP/(2TP+FP+FN), precision = TP/(TP+FP), recall = TP/(TP+FN).

    Attributes
    ----------
    name : str
        Name of the class.
    iou, dice : float
        0 when the class is only in the truth or only in the prediction.
    precision : float or None
        None (0/0, undefined) when no pixel was predicted to be of this class.
    recall : float or None
        None (0/0, undefined) when no pixel of the truth is of this class.
    support : int
        Pixels of this class in the truth.
    """

    name: str
    iou: float
    dice: float
    precision: float | None
    recall: float | None
    support: int


@dataclass(frozen=True)
class OverlapScores:
    """Overlap scores of a whole prediction.

    Attributes
    ----------
    classes : tuple of ClassScores
        The classes that occur, in class order. A class that neither the truth nor the
        prediction holds is left out: it counts neither as 1 nor as 0.
    accuracy : float
        Share of the scored pixels whose class is right.
    mean_iou, mean_dice : float
        Plain means over `classes`.
    n_pixels : int
        Pixels scored, that is, all but the ignored ones.
    absent : tuple of str
        Classes that were left out.
    """

    classes: tuple[ClassScores, ...]
    accuracy: float
    mean_iou: float
    mean_dice: float
    n_pixels: int
    absent: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """The mean IoU: the higher, the better."""
        return self.mean_iou

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as JSON takes them."""
        return {
            **asdict(self),
            "classes": [asdict(scores) for scores in self.classes],
            "absent": list(self.absent),
        }


def count_confusion(
    prediction: NDArray[np.integer[Any]],
    truth: NDArray[np.integer[Any]],
    n_classes: int,
    ignore: int = IGNORE,
) -> NDArray[np.int64]:
    """Count how often each class was taken for each class.

    The counts of sections add up, so a stack of any length is scored in the memory of
    one section: ``sum(count_confusion(p, t, n) for p, t in pairs)``.

    Parameters
    ----------
    prediction, truth : integer arrays of one shape
        Class indices 0 … n_classes - 1.
    n_classes : int
        Number of classes.
    ignore : int
        Index in `truth` of pixels that are not counted, whatever was predicted there.

    Returns
    -------
    (n_classes, n_classes) int64 array
        Rows are the truth, columns the prediction.

    Raises
    ------
    MaskError
        When the shapes differ or a value is no class index.
    """
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.shape != truth.shape:
        raise MaskError(
            f"The prediction has shape {prediction.shape}, the truth {truth.shape}; "
            "give two arrays of one shape."
        )
    counted = truth != ignore
    if not counted.all():
        prediction, truth = prediction[counted], truth[counted]
    _check_indices("prediction", prediction, n_classes)
    _check_indices("truth", truth, n_classes)
    pairs = truth.ravel().astype(np.intp) * n_classes
    pairs += prediction.ravel().astype(np.intp, copy=False)
    counts = np.bincount(pairs, minlength=n_classes**2)
    return counts.astype(np.int64, copy=False).reshape(n_classes, n_classes)


def _check_indices(what: str, indices: NDArray[Any], n_classes: int) -> None:
    if indices.dtype.kind not in "iub":
        raise MaskError(
            f"The {what} holds {indices.dtype} values; give class indices, that is, "
            f"integers from 0 to {n_classes - 1}."
        )
    if indices.size and not (indices.min() >= 0 and indices.max() < n_classes):
        raise MaskError(
            f"The {what} holds values from {indices.min()} to {indices.max()}; class "
            f"indices go from 0 to {n_classes - 1}. Translate mask values into class "
            "indices first (Classes.encode)."
        )


def overlap_scores(
    confusion: NDArray[np.integer[Any]], names: Sequence[str] | None = None
) -> OverlapScores:
    """Score a confusion matrix.

    Parameters
    ----------
    confusion : (n, n) integer array
        Pixel counts; rows are the truth, columns the prediction.
    names : sequence of n str, optional
        Names of the classes; by default their indices.

    Raises
    ------
    MaskError
        When no pixel was counted: every pixel is ignored, or there is none.
    """
    n_pixels = int(confusion.sum())
    if n_pixels == 0:
        raise MaskError(
            "There is no pixel to score: every pixel of the truth is ignored. Give a "
            "truth with annotated pixels, or check the ignore value."
        )
    if names is None:
        names = [str(index) for index in range(len(confusion))]
    classes = tuple(
        _score_class(name, *counts)
        for name, *counts in zip(
            names,
            confusion.diagonal().tolist(),
            confusion.sum(axis=0).tolist(),
            confusion.sum(axis=1).tolist(),
            strict=True,
        )
        if counts[1] or counts[2]
    )
    return OverlapScores(
        classes=classes,
        accuracy=int(confusion.trace()) / n_pixels,
        mean_iou=sum(scores.iou for scores in classes) / len(classes),
        mean_dice=sum(scores.dice for scores in classes) / len(classes),
        n_pixels=n_pixels,
        absent=tuple(
            name
            for name, *counts in zip(
                names, confusion.sum(axis=0), confusion.sum(axis=1), strict=True
            )
            if not any(counts)
        ),
    )


def _score_class(name: str, hits: int, predicted: int, support: int) -> ClassScores:
    return ClassScores(
        name=name,
        iou=hits / (predicted + support - hits),
        dice=2 * hits / (predicted + support),
        precision=hits / predicted if predicted else None,
        recall=hits / support if support else None,
        support=support,
    )


def score_overlap(
    prediction: NDArray[np.integer[Any]],
    truth: NDArray[np.integer[Any]],
    n_classes: int,
    *,
    names: Sequence[str] | None = None,
    ignore: int = IGNORE,
) -> OverlapScores:
    """Score class indices against the truth in one call.

    Parameters and errors are those of `count_confusion` and `overlap_scores`.
    """
    return overlap_scores(count_confusion(prediction, truth, n_classes, ignore), names)
