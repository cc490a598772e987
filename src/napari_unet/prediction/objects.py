"""From probabilities, or a distance map, to numbered objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import ObjectConfig
from napari_unet.errors import ConfigError, StackFormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


ROLES = ("background", "foreground", "border")
"""What the classes are, in this order, where their names do not say it."""


def find_objects(
    predicted: ArrayLike, *, names: Sequence[str] = (), **options: Any
) -> NDArray[np.int32]:
    """Find the objects of one image or volume and give each a number.

    With a class of borders, objects grow from where the foreground is surer than the
    border, by a watershed, so that those which touch stay apart. With foreground alone,
    each connected piece of it is an object. A distance map, as regression predicts it,
    has a maximum in each object, from which it grows.

    Parameters
    ----------
    predicted : array of float
        Probabilities, (classes, Y, X) or (classes, Z, Y, X), of background, foreground
        and, where there is one, border; or with one channel, the distance of each pixel
        to the border of its object, (1, Y, X) or (1, Z, Y, X), 0 or less outside.
    names : sequence of str
        Names of the classes; those called background, foreground and border are used,
        in any order.
    **options
        Any field of `napari_unet.config.ObjectConfig`, such as ``minimum_size=20``.

    Returns
    -------
    array of int32, (Y, X) or (Z, Y, X)
        The number of the object each pixel belongs to, from 1 without gaps; 0 where
        there is none.

    Raises
    ------
    StackFormatError
        If the array has other dimensions.
    ConfigError
        If it cannot be told which class is which, or an option is out of range.

    Examples
    --------
    >>> inside = np.array([[0.9, 0.8, 0.1, 0.7]])
    >>> find_objects([1 - inside, inside], minimum_size=1)
    array([[1, 1, 0, 2]], dtype=int32)
    """
    values = np.asarray(predicted)
    if values.ndim not in (3, 4):
        raise StackFormatError(
            f"Objects are found in one image (classes, Y, X) or volume (classes, Z, Y, "
            f"X) at a time, but the shape is {values.shape}."
        )
    config = ObjectConfig.from_dict({"object_dims": values.ndim - 1, **options})
    return number_objects(values, roles(len(values), names), config)


def roles(count: int, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Return the channels of foreground and border; none for a distance map.

    Raises
    ------
    ConfigError
        If neither the names nor the number of classes tell them.
    """
    known = [name.lower() for name in names]
    if "foreground" in known:
        return tuple(known.index(role) for role in ROLES[1:] if role in known)
    if 1 <= count <= len(ROLES):
        return tuple(range(1, count))
    raise ConfigError(
        f"There are {count} classes ({', '.join(names) or 'without names'}), so it is "
        "unclear which of them are objects: give probabilities of background, "
        "foreground and border, or name the classes so."
    )


def number_objects(
    values: NDArray[Any], channels: tuple[int, ...], config: ObjectConfig
) -> NDArray[np.int32]:
    """Find objects as `find_objects` does, in the channels that `roles` gives."""
    from scipy.ndimage import label  # a tenth of a second, lost where none are wanted

    if not channels:
        objects = _by_distance(values[0], config)
    elif len(channels) == 1:
        objects, _ = label(values[channels[0]] > config.object_threshold)
    else:
        objects = _by_border(values[channels[0]], values[channels[1]], config)
    return _drop_small(objects, config.minimum_size)


def _by_border(
    inside: NDArray[Any], border: NDArray[Any], config: ObjectConfig
) -> NDArray[Any]:
    """Grow objects from where they are surely inside over the borders between them."""
    surplus = inside - border
    mask = inside + border > config.object_threshold
    return _grow(mask & (surplus > config.seed_threshold), surplus, mask)


def _by_distance(distance: NDArray[Any], config: ObjectConfig) -> NDArray[Any]:
    """Grow objects from the maxima that stand out by the threshold of seeds."""
    from scipy.ndimage import gaussian_filter
    from skimage.morphology import local_maxima, reconstruction

    mask = distance > config.object_threshold
    # Distances have steps of a pixel, which would pass for maxima of their own.
    smooth = gaussian_filter(distance, 1.0, output=np.float64)
    height = np.where(mask, smooth, min(config.object_threshold, smooth.min()))
    # The h-maxima transform: what rises less than h above the saddles is levelled.
    levelled = reconstruction(height - config.seed_threshold, height)
    return _grow(mask & local_maxima(levelled, connectivity=1), height, mask)


def _grow(
    seeds: NDArray[np.bool_], height: NDArray[Any], mask: NDArray[np.bool_]
) -> NDArray[Any]:
    """Flood `mask` from the seeds, high places first; a piece without one is one."""
    from scipy.ndimage import label
    from skimage.segmentation import watershed

    markers, count = label(seeds)
    pieces, n_pieces = label(mask)
    seeded = np.zeros(n_pieces + 1, bool)
    seeded[pieces[seeds]] = True
    markers += np.where(seeded[pieces] | ~mask, 0, pieces + count)
    objects: NDArray[Any] = watershed(-height, markers, mask=mask)
    return objects


def _drop_small(objects: NDArray[Any], minimum: int) -> NDArray[np.int32]:
    """Remove objects of fewer pixels, and number the others without gaps."""
    kept = np.bincount(objects.ravel()) >= max(minimum, 1)
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return np.take(numbers, objects)
