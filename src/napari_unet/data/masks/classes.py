"""Grey values of a mask to class indices, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

IGNORE = 255
"""Class index of pixels that are neither trained nor scored."""

MAX_CLASSES = 64
_UNKNOWN = 254


@dataclass(frozen=True)
class Classes:
    """The classes of a mask: class i has the grey value ``values[i]``.

    Attributes
    ----------
    values : tuple of int
        The mask value of each class, ascending.
    names : tuple of str
        The name of each class; the values as text by default.
    ignore : tuple of int
        Mask values that mean "not annotated".
    dtype : str
        The type of the mask, in which labels come back.

    Raises
    ------
    MaskError
        If they do not fit together.
    """

    values: tuple[int, ...]
    names: tuple[str, ...] = ()
    ignore: tuple[int, ...] = ()
    dtype: str = "uint8"

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", tuple(str(each) for each in self.values))
        if list(self.values) != sorted(set(self.values)) or not (
            1 <= self.n <= MAX_CLASSES
        ):
            raise MaskError(
                f"The class values are {self.values}, but they must be 1 to "
                f"{MAX_CLASSES} different numbers in ascending order."
            )
        if len(self.names) != self.n:
            raise MaskError(
                f"There are {self.n} classes but {len(self.names)} names {self.names}; "
                "give one name per class."
            )
        if both := sorted(set(self.values) & set(self.ignore)):
            raise MaskError(f"The value {both[0]} cannot be both a class and ignored.")
        _check_fit(self.values + self.ignore, self.dtype)

    @property
    def n(self) -> int:
        """Number of classes."""
        return len(self.values)

    def encode(self, mask: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn mask values into class indices.

        Parameters
        ----------
        mask : ndarray
            Any shape; bool, integer, or whole numbers as floats.

        Returns
        -------
        ndarray of uint8
            Same shape; `IGNORE` where the mask is not annotated.

        Raises
        ------
        MaskError
            If a value is neither a class nor ignored.
        """
        mask = np.asarray(mask)
        keys = _small_keys(mask)
        if keys is None:
            indices = _look_up(self, mask)
        else:
            indices = np.take(
                _encoding_table(self, keys.dtype.str, mask.dtype.str), keys
            )
        unknown = indices == _UNKNOWN
        if unknown.any():
            wrong = mask[unknown]
            raise MaskError(
                f"The mask holds the value {wrong[0]} at {wrong.size} pixels, which is "
                f"none of the classes {self.values}"
                + (f" or ignored values {self.ignore}" if self.ignore else "")
                + ". Use masks with the same values throughout."
            )
        return indices

    def decode(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Turn class indices back into mask values, in the type of the mask.

        Parameters
        ----------
        indices : ndarray of int
            Any shape; `IGNORE` becomes the first ignored value.

        Returns
        -------
        ndarray
            Same shape, dtype `dtype`.

        Raises
        ------
        MaskError
            If an index is not that of a class.
        """
        indices = np.asarray(indices)
        known = indices < self.n
        if self.ignore:
            known |= indices == IGNORE
        if not known.all() or (indices.dtype.kind != "u" and (indices < 0).any()):
            raise MaskError(
                f"Class indices from {indices.min()} to {indices.max()} do not belong "
                f"to {self.n} classes."
            )
        return np.take(_decoding_table(self), indices)

    def describe(self, counts: Mapping[int, int] | None = None) -> list[str]:
        """Say in one line per mask value what it becomes.

        Parameters
        ----------
        counts : mapping of int to int, optional
            Pixels of each value, as `find_classes` gives them; adds their shares.

        Returns
        -------
        list of str
            For example ``["0 → class 0 (22.1 %)", "255 → class 1 (77.9 %)"]``.
        """
        meaning = dict.fromkeys(self.ignore, "not annotated")
        for index, (value, name) in enumerate(
            zip(self.values, self.names, strict=True)
        ):
            named = "" if name == str(value) else f", {name}"
            meaning[value] = f"class {index}{named}"
        total = sum(counts.values()) if counts else 0
        lines = []
        for value in sorted(meaning):
            part = f" ({share(counts.get(value, 0), total)})" if counts else ""
            lines.append(f"{value} → {meaning[value]}{part}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        lists = {"values", "names", "ignore"}
        return {
            key: list(value) if key in lists else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Classes:
        """Build the classes from `to_dict`'s result.

        Raises
        ------
        MaskError
            If something is missing or wrong in it.
        """
        try:
            return cls(
                tuple(int(each) for each in stored["values"]),
                tuple(str(each) for each in stored["names"]),
                tuple(int(each) for each in stored["ignore"]),
                str(stored["dtype"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MaskError(
                f"The stored classes {dict(stored)} are damaged: {error!r}."
            ) from error


def share(count: int, total: int) -> str:
    """Return a number of pixels as per cent of all."""
    percent = 100 * count / max(total, 1)
    return "< 0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"


def _check_fit(values: tuple[int, ...], dtype: str) -> None:
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise MaskError(f"{dtype!r} is not the type of a mask.") from error
    with np.errstate(all="ignore"):
        stored = np.array(values).astype(kind)
    if kind.kind not in "buif" or [int(each) for each in stored] != list(values):
        raise MaskError(f"The values {values} cannot be stored as {dtype}.")


def _small_keys(mask: NDArray[Any]) -> NDArray[Any] | None:
    """Return the mask as table positions, if it has 8 or 16 bits or small values."""
    if mask.dtype.kind in "bui" and mask.dtype.itemsize <= 2:
        native = np.ascontiguousarray(mask, mask.dtype.newbyteorder("="))
        return native.view(f"u{mask.dtype.itemsize}").reshape(mask.shape)
    if mask.dtype.kind in "ui" and mask.size and 0 <= mask.min() <= mask.max() < 2**16:
        return mask.astype(np.uint16)
    return None


@lru_cache(maxsize=32)
def _encoding_table(classes: Classes, keys: str, mask: str) -> NDArray[np.uint8]:
    """Return the class index of every 8- or 16-bit pattern."""
    patterns = np.arange(2 ** (8 * np.dtype(keys).itemsize)).astype(keys)
    if np.dtype(mask).itemsize == np.dtype(keys).itemsize:
        signed = np.dtype(mask).kind == "i"
        patterns = patterns.view(f"i{patterns.itemsize}") if signed else patterns
    return _look_up(classes, patterns)


def _look_up(classes: Classes, mask: NDArray[Any]) -> NDArray[np.uint8]:
    indices = np.full(mask.shape, _UNKNOWN, np.uint8)
    for index, value in enumerate(classes.values):
        indices[mask == value] = index
    for value in classes.ignore:
        indices[mask == value] = IGNORE
    return indices


@lru_cache(maxsize=32)
def _decoding_table(classes: Classes) -> NDArray[Any]:
    table = np.zeros(256, classes.dtype)
    table[: classes.n] = classes.values
    if classes.ignore:
        table[IGNORE] = classes.ignore[0]
    return table
