"""Objects of a whole stack: of labels, of probabilities, or of a distance map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import ObjectConfig
from napari_unet.data.open import as_stack
from napari_unet.data.stack import Stack
from napari_unet.errors import ConfigError, StackFormatError
from napari_unet.prediction.objects import choose_objects, number_objects, roles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

REST = "rest"
"""The border is all that is not inside."""

_SLACK = 1e-3  # by which probabilities may leave 0 to 1: they are rounded


@dataclass(frozen=True)
class ObjectSource:
    """What of a stack becomes objects.

    Attributes
    ----------
    stack : Stack
        Labels (whole numbers), or probabilities or a distance map (real ones).
    inside : int or None
        Of labels the value, of probabilities the channel. With None the connected
        pieces of each value above 0 are the objects of labels, and real numbers are a
        distance map.
    border : int, "rest" or None
        The same for the border or membrane between objects, over which they grow;
        `REST` stands for all that is not inside.
    border_stack : Stack or None
        Where the border is, unless in `stack`.

    Raises
    ------
    StackFormatError
        If there are channels that cannot be, or volumes are meant and there is no Z.
    ConfigError
        If there is no such channel.
    """

    stack: Stack
    inside: int | None = None
    border: int | str | None = None
    border_stack: Stack | None = None

    def __post_init__(self) -> None:
        count = self.stack.n_channels
        if count > 1 and (self.stack.dtype.kind != "f" or self.inside is None):
            raise StackFormatError(
                f"{self.stack.label} has {count} channels of {self.stack.dtype}: say "
                "which of them is inside of objects, or give labels."
            )
        if self.stack.dtype.kind != "f":
            return
        for channel in (self.inside, self.border):
            if isinstance(channel, int) and not 0 <= channel < count:
                if channel is self.border and self.border_stack is not None:
                    continue
                raise ConfigError(
                    f"{self.stack.label} has no channel {channel}: there are {count}, "
                    "counted from 0."
                )

    def parts(self, config: ObjectConfig) -> Iterator[NDArray[np.int32]]:
        """Find the objects of each section (Y, X) or volume (Z, Y, X), in order.

        No number is given twice. Memory is that of a section or volume.
        """
        highest = 0
        for group in self.stack.seen_together(config.object_dims):
            objects = self._find(group, config)
            count = int(objects.max(initial=0))
            objects[objects > 0] += highest
            highest += count
            yield objects

    def _find(self, group: NDArray[np.intp], config: ObjectConfig) -> NDArray[np.int32]:
        planes = _read(self.stack, group)
        values = planes if self.inside is None else self._shares(planes, group)
        if config.object_dims == 2:
            values = values[:, 0]
        if self.inside is None and self.stack.dtype.kind != "f":
            return choose_objects(_pieces(values[0]), config)
        channels = () if self.inside is None else tuple(range(len(values)))
        anisotropy = self.stack.anisotropy or 1.0
        return number_objects(values, channels, config, anisotropy)

    def _shares(
        self, planes: NDArray[Any], group: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """Return inside and border, shape (1 or 2, Z, Y, X)."""
        assert self.inside is not None
        inside = _share(self.stack, planes, self.inside)
        if self.border is None:
            return inside[None]
        if isinstance(self.border, str):
            return np.stack([inside, 1 - inside])
        other = self.border_stack or self.stack
        if other is not self.stack:
            planes = _read(other, group)
        return np.stack([inside, _share(other, planes, self.border)])


def _share(stack: Stack, planes: NDArray[Any], which: int) -> NDArray[np.float32]:
    """Return how probable a class is; of labels it is certain."""
    shares: NDArray[np.float32]
    if stack.dtype.kind != "f":
        shares = (planes[0] == which).astype(np.float32)
        return shares
    shares = planes[which].astype(np.float32)
    low, high = shares.min(), shares.max()
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise StackFormatError(
            f"{stack.label} holds values from {low:g} to {high:g}, but a probability "
            "is from 0 to 1: give probabilities, or say that it is a distance map."
        )
    return shares


def _read(stack: Stack, group: NDArray[np.intp]) -> NDArray[Any]:
    """Read sections as (C, Z, Y, X)."""
    return np.stack([stack.section(index) for index in group], axis=1)


def _pieces(labels: NDArray[Any]) -> NDArray[np.int32]:
    from skimage.measure import label

    # Numbers may be as large as they like: skimage counts the pieces anew.
    pieces: NDArray[np.int32] = label(labels, background=0, connectivity=1)
    return pieces.astype(np.int32)


def label_objects(
    image: Stack | str | Path | ArrayLike,
    *,
    inside: int | str | None = None,
    border: int | str | None = None,
    **options: Any,
) -> Stack:
    """Find the objects in all of a stack of labels, probabilities or distances.

    Parameters
    ----------
    image : Stack, path or array
        Whole numbers are labels; real ones are probabilities, a channel for each
        class, or in one channel a distance map.
    inside : int or str, optional
        What becomes objects: of labels the value; of probabilities the channel, by its
        name or, from 0, its number. By default, of labels the connected pieces of each
        value above 0, and of probabilities as in `napari_unet.find_objects`.
    border : int, str or "rest", optional
        The same for the border or membrane between objects, over which they grow by a
        watershed; ``"rest"`` is all that is not inside, as membranes are where there
        is no other class than cells.
    **options
        Any field of `napari_unet.config.ObjectConfig`, such as ``split=True``.

    Returns
    -------
    Stack of int32
        The numbers of objects, none of which is given twice; 0 where there is none.
        Axes but Z, Y and X come first where objects go through sections.

    Raises
    ------
    StackFormatError
        If real numbers are no probabilities, or objects of volumes are wanted without
        a Z axis.
    ConfigError
        If there is no such class, or an option is out of range.

    Examples
    --------
    >>> mask = np.array([[255, 255, 0, 255]], np.uint8)
    >>> np.asarray(label_objects(mask, minimum_size=1))
    array([[1, 1, 0, 2]], dtype=int32)
    """
    stack = as_stack(image)
    config = ObjectConfig.from_dict(options)
    source = source_of(stack, inside, border)
    parts = np.stack([*source.parts(config)])
    axes, shape = axes_of(stack, config)
    sizes = {axis: n for axis, n in stack.pixel_size.items() if axis in axes}
    return Stack(
        parts.reshape(shape), axes, pixel_size=sizes, unit=stack.unit, name=stack.name
    )


def axes_of(stack: Stack, config: ObjectConfig) -> tuple[str, tuple[int, ...]]:
    """Return axes and shape of the objects, in the order in which they are found."""
    inner = "ZYX"[-config.object_dims :]
    outer = [axis for axis in stack.section_axes if axis not in "YX" + inner]
    axes = "".join(outer) + inner
    return axes, tuple(stack.shape[stack.axes.index(axis)] for axis in axes)


def source_of(
    stack: Stack, inside: int | str | None, border: int | str | None
) -> ObjectSource:
    """Find the classes that are meant; see `label_objects`.

    Raises
    ------
    ConfigError
        If there is no such class.
    """
    if inside is None and border is not None:
        raise ConfigError("A border is given; say, too, what is inside of objects.")
    if inside is None and stack.dtype.kind == "f" and stack.n_channels > 1:
        channels = roles(stack.n_channels, stack.channel_names)
        return ObjectSource(stack, channels[0], channels[1] if channels[1:] else None)
    known = None if inside is None else _number_of(inside, stack)
    between = border if border in (None, REST) else _number_of(border, stack)
    return ObjectSource(stack, known, between)


def _number_of(which: int | str, stack: Stack) -> int:
    names = [name.lower() for name in stack.channel_names]
    if str(which).lower() in names:
        return names.index(str(which).lower())
    try:
        return int(which)
    except ValueError:
        known = f"there are {', '.join(names)}" if names else "it has no names"
        raise ConfigError(
            f"{stack.label} has no class {which!r}: {known}. Give its value or number."
        ) from None
