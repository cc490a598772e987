"""How much each pixel counts in the loss (Ronneberger et al. 2015, equation 2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.measure import label

from napari_unet.data.masks.find import IGNORE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

LARGEST_CLASS_WEIGHT = 10.0
"""Bound on a rare class's weight: beyond it a few pixels would steer the training."""


def class_weights(
    counts: Sequence[int] | NDArray[np.integer[Any]], balance: bool
) -> NDArray[np.float32]:
    """Return the weight w_c of each class.

    Parameters
    ----------
    counts : sequence of int
        Annotated pixels of each class.
    balance : bool
        Whether all classes weigh the same in all, however many pixels they have.

    Returns
    -------
    ndarray of float32, shape (classes,)
        1 everywhere without balance. With it inversely proportional to the counts,
        with a mean of 1 over the pixels.
    """
    pixels = np.asarray(counts, dtype=np.float64)
    if not balance:
        return np.ones(len(pixels), np.float32)
    weights = pixels.sum() / (len(pixels) * np.maximum(pixels, 1))
    bounded: NDArray[np.float32] = np.minimum(weights, LARGEST_CLASS_WEIGHT, dtype="f4")
    return bounded


def has_walls(sections: Iterable[NDArray[np.uint8]]) -> bool:
    """Whether one class is walls between many regions of the other, as membranes are.

    They are where no region of the more common class holds half of it, in most of the
    sections. One region holds 6-12 % of it in sections of neural tissue, 60-90 % among
    the vessels of a retina, and all of it around nuclei or mitochondria.

    Parameters
    ----------
    sections : iterable of ndarray of uint8, shape (Y, X)
        Class indices. Where anything is not annotated, what divides it is unknown, and
        the answer is no; so it is for other than 2 classes.
    """
    found = [_is_divided(each) for each in sections]
    return 2 * sum(found) > len(found)


def _is_divided(labels: NDArray[np.uint8]) -> bool:
    counts = np.bincount(labels.ravel(), minlength=2)
    if len(counts) > 2 or not counts.all():
        return False
    regions = label(labels == counts.argmax(), connectivity=1)
    largest = np.bincount(regions.ravel())[1:].max()
    return bool(2 * largest < counts.max())


def weight_map(
    labels: NDArray[np.uint8],
    weights: NDArray[np.float32],
    border_weight: float,
    sigma: float,
    anisotropy: float = 1.0,
) -> NDArray[np.float16]:
    """Compute w(x) = w_c(x) + w_0 exp(-(d_1(x) + d_2(x))² / 2σ²).

    d_1 and d_2 are the distances of a pixel to the nearest and to the second nearest
    object of another class than its own; the objects of a class are its 4-connected
    components, 6-connected in a volume. So the gaps between cells count more whichever
    value, 0 or 255, the gap has in the mask.

    Where voxels are at least twice as deep as wide, the border term is that of each
    section by itself: the gaps that people draw lie in the section, and the next one is
    further away than they are wide. Else distances are those in space.

    Parameters
    ----------
    labels : ndarray of uint8, shape (Y, X) or (Z, Y, X)
        Class indices, `IGNORE` where not annotated.
    weights : ndarray of float32, shape (classes,)
        The weight w_c of each class.
    border_weight : float
        w_0; 0 leaves the second term out.
    sigma : float
        σ in pixels.
    anisotropy : float
        How many times deeper than wide a voxel is; only a volume heeds it.

    Returns
    -------
    ndarray of float16, of the shape of `labels`
        0 where not annotated.
    """
    table = np.zeros(256, np.float32)
    table[: len(weights)] = weights
    total = table[labels]
    if border_weight > 0:
        spacing = (anisotropy, 1.0, 1.0)[-labels.ndim :]
        if labels.ndim == 3 and anisotropy >= 2:
            gap = np.stack([_two_nearest(each, spacing[1:], sigma) for each in labels])
        else:
            gap = _two_nearest(labels, spacing, sigma)
        closeness = border_weight * np.exp(-np.square(gap) / (2 * sigma**2))
        total += np.where(labels == IGNORE, 0, closeness)
    return total.astype(np.float16)


def _two_nearest(
    labels: NDArray[np.uint8], spacing: tuple[float, ...], sigma: float
) -> NDArray[np.float32]:
    """Return d_1 + d_2 of each pixel, infinite where d_2 is more than 4σ."""
    reach = math.ceil(4 * sigma)
    nearest = np.full(labels.shape, np.inf, np.float32)
    second = nearest.copy()
    regions = label(labels, connectivity=1, background=-1)
    for index, box in enumerate(ndimage.find_objects(regions), start=1):
        # The term vanishes beyond 4σ, so only the surroundings of a region matter.
        window = tuple(
            slice(max(side.start - around, 0), side.stop + around)
            for side, around in zip(
                box, (math.ceil(reach / step) for step in spacing), strict=True
            )
        )
        inside = regions[window] == index
        own = labels[window][inside][0]
        if own == IGNORE:
            continue
        distance = ndimage.distance_transform_edt(~inside, spacing).astype(np.float32)
        distance[(labels[window] == own) | (distance > reach)] = np.inf
        np.minimum(
            second[window],
            np.maximum(nearest[window], distance),
            out=second[window],
        )
        np.minimum(nearest[window], distance, out=nearest[window])
    return nearest + second
