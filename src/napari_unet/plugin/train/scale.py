"""The axis of a plot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Scale:
    """Where a value lies between the ends of an axis, 0 to 1.

    Attributes
    ----------
    low, high : float
        The ends; their logarithms if it is logarithmic.
    log : bool
    """

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, values: Sequence[float], *, log: bool) -> Scale:
        """Return an axis with round ends that holds all values."""
        if not log:
            return cls(0.0, nice_ceiling(max(values, default=1)), log)
        powers = [math.log10(each) for each in values if 0 < each < math.inf] or [0]
        low, high = math.floor(min(powers)), math.ceil(max(powers))
        return cls(low, max(high, low + 1), log)

    def share(self, value: float) -> float:
        """Return how far along the axis a value is."""
        if self.log:
            value = math.log10(value) if value > 0 else self.low
        return (value - self.low) / (self.high - self.low)

    def value(self, share: float) -> float:
        """Return the value so far along the axis."""
        value = self.low + share * (self.high - self.low)
        return float(10**value) if self.log else value


def nice_ceiling(value: float) -> float:
    """Round up to 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten."""
    if not 0 < value < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    factors = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return power * next(each for each in factors if each * power >= value)
