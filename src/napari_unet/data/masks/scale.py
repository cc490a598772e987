"""Values to regress, standardised for the network and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_unet.data.masks.classes import IGNORE
from napari_unet.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from napari_unet.data.stack import Stack


@dataclass(frozen=True)
class Scale:
    """What a network that predicts values was trained at; `Classes` for numbers.

    Attributes
    ----------
    mean, deviation : float
        Of the annotated values.
    ignore : tuple of int
        Values that mean "not annotated", besides NaN and infinity.
    """

    mean: float
    deviation: float
    ignore: tuple[int, ...] = ()

    n: ClassVar[int] = 1  # output channels of the network
    dtype: ClassVar[str] = "float32"
    values: ClassVar[tuple[int, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.deviation < math.inf):
            raise MaskError(
                f"A target with the mean {self.mean} and the standard deviation "
                f"{self.deviation} cannot be standardised."
            )

    def encode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Standardise values; those not annotated become `IGNORE`, as 255.0.

        No other value can be taken for it: none is 255 standard deviations off.
        """
        known = is_annotated(values, self.ignore)
        scaled = (values - self.mean) / self.deviation
        limited = np.clip(scaled, -IGNORE + 1, IGNORE - 1)
        encoded: NDArray[np.float32] = np.where(known, limited, IGNORE)
        return encoded.astype(np.float32)

    def decode(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn what the network says into values again."""
        values: NDArray[np.float32] = scaled * np.float32(self.deviation)
        return values + np.float32(self.mean)

    def describe(self, counts: Mapping[int, int] | None = None) -> list[str]:
        """Say what the values are like; there are none to count one by one."""
        ignored = [f"{value} → not annotated" for value in self.ignore]
        return [f"mean {self.mean:.5g}", f"deviation {self.deviation:.5g}", *ignored]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "ignore": list(self.ignore),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Scale:
        """Build the scale from `to_dict`'s result.

        Raises
        ------
        MaskError
            If something is missing or wrong in it.
        """
        try:
            ignore = tuple(int(each) for each in stored["ignore"])
            return cls(float(stored["mean"]), float(stored["deviation"]), ignore)
        except (KeyError, TypeError, ValueError) as error:
            raise MaskError(
                f"The stored scale {stored} is damaged: {error!r}."
            ) from error


def is_annotated(values: NDArray[Any], ignore: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where there is a value to learn or to score."""
    known: NDArray[np.bool_] = np.isfinite(values) & ~np.isin(values, ignore)
    return known


def find_scale(
    *targets: Stack, ignore: Collection[int] = (), zero_is_unlabelled: bool = False
) -> Scale:
    """Measure mean and standard deviation of targets, reading section by section.

    Parameters
    ----------
    *targets : Stack
        One value per pixel, of any type; NaN and infinity are not annotated.
    ignore : collection of int
        Values that mean "not annotated".
    zero_is_unlabelled : bool
        Whether 0 means "not annotated".

    Raises
    ------
    MaskError
        If nothing is annotated, or all of it with one value.
    """
    kept = tuple(sorted({*ignore} | ({0} if zero_is_unlabelled else set())))
    moments = Moments()
    for target in targets:
        if target.n_channels != 1:
            raise MaskError(
                f"{target.label} has {target.n_channels} values per pixel, but a "
                "target to regress has one. Choose one channel of it."
            )
        for index in range(target.n_sections):
            section = target.section(index)[0].astype(np.float64)
            moments.add(section[is_annotated(section, kept)])
    if not moments.deviation > 1e-12 * max(1, abs(moments.mean)):
        what = f"the one value {moments.mean:g}" if moments.count else "no value"
        raise MaskError(
            f"{targets[0].label} holds {what} in all that is annotated, so there is "
            "nothing to learn. Check that this is the target of a regression."
        )
    return Scale(moments.mean, moments.deviation, kept)


class Moments:
    """Count, mean and sum of squared deviations of values that come in parts.

    The parts are joined as by Chan, Golub and LeVeque 1983, which does not cancel.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Take more values in."""
        if not values.size:
            return
        mean = float(values.mean())
        total, shift = self.count + values.size, mean - self.mean
        self.squares += float(np.square(values - mean).sum())
        self.squares += shift**2 * self.count * values.size / total
        self.mean += shift * values.size / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Standard deviation; 0 without any value."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0
