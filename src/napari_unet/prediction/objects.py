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
    predicted: ArrayLike,
    *,
    names: Sequence[str] = (),
    anisotropy: float = 1.0,
    **options: Any,
) -> NDArray[np.int32]:
    """Find the objects of one image or volume and give each a number.

    With a class of borders, objects grow from where the foreground is surer than the
    border, by a watershed, so that those which touch stay apart; where no border is
    seen between them, their shape parts them at a neck. With foreground alone,
    each connected piece of it is an object, unless `split` parts it, too. A distance
    map, as regression predicts it,
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
    anisotropy : float
        How many times deeper than wide the voxels of a volume are.
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
    return number_objects(values, roles(len(values), names), config, anisotropy)


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
    values: NDArray[Any],
    channels: tuple[int, ...],
    config: ObjectConfig,
    anisotropy: float = 1.0,
) -> NDArray[np.int32]:
    """Find objects as `find_objects` does, in the channels that `roles` gives."""
    from scipy.ndimage import label  # a tenth of a second, lost where none are wanted

    if not channels:
        objects = _by_distance(values[0], config)
    elif len(channels) == 1 and not config.split:
        objects, _ = label(values[channels[0]] > config.object_threshold)
    else:
        inside = values[channels[0]]
        border = values[channels[1]] if channels[1:] else np.zeros_like(inside)
        spacing = (anisotropy, 1.0, 1.0)[-inside.ndim :]
        objects = _by_border(inside, border, config, spacing)
    return choose_objects(objects, config)


def choose_objects(objects: NDArray[Any], config: ObjectConfig) -> NDArray[np.int32]:
    """Fill holes, leave out what is not wanted, and number the rest without gaps."""
    if config.fill_holes:
        objects = _fill_holes(objects)
    sizes = np.bincount(objects.ravel())
    kept = sizes >= max(config.minimum_size, 1)
    if config.maximum_size is not None:
        kept &= sizes <= config.maximum_size
    if config.clear_border:
        for axis in range(objects.ndim):
            kept[np.take(objects, [0, -1], axis)] = False
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return np.take(numbers, objects)


def _fill_holes(objects: NDArray[Any]) -> NDArray[Any]:
    """Give an object the background that it encloses."""
    from scipy.ndimage import binary_fill_holes, find_objects

    filled = objects.copy()
    for number, box in enumerate(find_objects(objects), start=1):
        if box is not None:
            whole = binary_fill_holes(objects[box] == number)
            filled[box][whole & (filled[box] == 0)] = number
    return filled


def _by_border(
    inside: NDArray[Any],
    border: NDArray[Any],
    config: ObjectConfig,
    spacing: Sequence[float],
) -> NDArray[Any]:
    """Grow objects from the middles of what is surely inside over the borders between.

    A piece has several middles where its depth falls between them by more than the
    share `neck`, and more than a pixel, of the lesser one.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    mask = inside + border > config.object_threshold
    sure = mask & (inside - border > config.seed_threshold)
    depth = distance_transform_edt(sure, spacing)
    smooth = gaussian_filter(depth, [1 / step for step in spacing])
    height = np.where(sure, smooth, -distance_transform_edt(~sure, spacing))
    height = np.where(mask, height, height.min(initial=0))
    seeds = _maxima(height, np.maximum(1, config.neck * height))
    objects = _grow(seeds & sure, height, mask)
    return objects if config.with_border else np.where(inside > border, objects, 0)


def _by_distance(distance: NDArray[Any], config: ObjectConfig) -> NDArray[Any]:
    """Grow objects from the maxima that stand out by the threshold of seeds."""
    from scipy.ndimage import gaussian_filter

    mask = distance > config.object_threshold
    # Distances have steps of a pixel, which would pass for maxima of their own.
    smooth = gaussian_filter(distance, 1.0, output=np.float64)
    height = np.where(mask, smooth, min(config.object_threshold, smooth.min()))
    return _grow(mask & _maxima(height, config.seed_threshold), height, mask)


def _maxima(height: NDArray[Any], least: NDArray[Any] | float) -> NDArray[np.bool_]:
    """Return the maxima that stand out by at least so much (h-maxima transform)."""
    from skimage.morphology import local_maxima, reconstruction

    # What rises less above the saddles is levelled.
    levelled = reconstruction(height - least, height)
    found: NDArray[np.bool_] = local_maxima(levelled, connectivity=1)
    return found


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
