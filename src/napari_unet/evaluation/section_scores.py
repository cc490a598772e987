"""One score of each section, and which sections show what a prediction is like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SectionScores:
    """One score of each section.

    Attributes
    ----------
    name : str
        Which score, such as ``"mean IoU"``.
    values : tuple of float or None
        None where a section holds nothing to score.
    lower_is_better : bool
    """

    name: str
    values: tuple[float | None, ...]
    lower_is_better: bool = False

    def ranked(self) -> list[int]:
        """Return the scored sections, the worst first."""
        scored = [i for i, value in enumerate(self.values) if value is not None]
        sign = -1 if self.lower_is_better else 1
        return sorted(scored, key=lambda i: sign * (self.values[i] or 0.0))

    def examples(self) -> dict[str, int]:
        """Return the best, the median and the worst section, no section twice."""
        ranked = self.ranked()
        if not ranked:
            return {}
        median = ranked[(len(ranked) - 1) // 2]
        found = {"best": ranked[-1], "median": median, "worst": ranked[0]}
        if len(ranked) == 1:
            return {"only": ranked[0]}
        if len(ranked) == 2:
            del found["median"]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON takes them."""
        return {
            "score": self.name,
            "values": list(self.values),
            "lower_is_better": self.lower_is_better,
        }
