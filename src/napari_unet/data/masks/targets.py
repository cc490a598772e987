"""What numbered objects teach a network: their borders, and the distance to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def distance_to_border(ids: NDArray[Any]) -> NDArray[np.float32]:
    """Measure how deep in its object each pixel lies.

    In pixels, not as a share of the object: so it means the same in small and large
    ones, and half the width of an object can be read from it.

    Parameters
    ----------
    ids : ndarray of int, shape (Y, X) or (Z, Y, X)
        A number per object, 0 around them. Objects may touch.

    Returns
    -------
    ndarray of float32, same shape
        Distance to the nearest pixel that is not of the same object: 1 along its edge,
        0 outside. The edge of the image is no edge of an object.
    """
    _check_numbers(ids)
    from scipy import ndimage

    distance = np.zeros(ids.shape, np.float32)
    numbers, dense = np.unique(ids, return_inverse=True)
    dense = dense.reshape(ids.shape) + (1 if numbers.size and numbers[0] > 0 else 0)
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        window = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        inside = dense[window] == number
        if inside.all():  # it fills the image: no edge is known
            distance[window] = max(ids.shape)
            continue
        depth = ndimage.distance_transform_edt(inside)
        distance[window][inside] = depth[inside]
    return distance


def with_border(ids: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Return 1 inside the objects, 2 up to `width` pixels from their edge, 0 around."""
    if width == 0:
        _check_numbers(ids)
        return (ids > 0).astype(np.uint8)
    depth = distance_to_border(ids)
    found: NDArray[np.uint8] = np.where(depth > width, 1, 2).astype(np.uint8)
    found[depth == 0] = 0
    return found


def _check_numbers(ids: NDArray[Any]) -> None:
    if ids.size and ids.min() < 0:
        raise MaskError(
            f"The objects are numbered from {ids.min()}, but numbers start at 1 and 0 "
            "is around the objects. Ignore negative values, or number them again."
        )
