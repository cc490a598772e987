"""The shell line, and the script, that find unsure places again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.replay.words import PROGRAM, THEN, Told, script_calling

if TYPE_CHECKING:
    from napari_unet.replay.prediction import Prediction

_NUMBER, _SIZE = 10, 48  # of places, and of their pixels, unless it is said


@dataclass(frozen=True)
class FindUnsure:
    """A search for the places where a prediction is least sure.

    Attributes
    ----------
    source, out : str
        The file of an uncertainty or of probabilities, and the list to write.
    n, size : int
        As in `napari_unet.find_unsure`.
    axes : str or None
        Those of the source, if they have to be told.
    annotated : str or None
        A file of labels; what they hold is left out.
    unlabelled : int
        The value in them that means not annotated.
    predicted : Prediction or None
        What writes the source.
    """

    source: str
    out: str
    n: int = _NUMBER
    size: int = _SIZE
    axes: str | None = None
    annotated: str | None = None
    unlabelled: int = 0
    predicted: Prediction | None = None

    def command(self) -> list[str]:
        """Return the arguments of the shell line, the program first."""
        first = [*self.predicted.command(), THEN] if self.predicted else []
        words = [PROGRAM, "unsure", self.source, "--out", self.out]
        for name, value in self._named().items():
            words += ["-n" if name == "n" else f"--{name}", str(value)]
        return [*first, *words]

    def script(self) -> str:
        """Return the script."""
        first = self.predicted.script() if self.predicted else ""
        named = [f"{name}={value!r}" for name, value in self._named().items()]
        found = script_calling(
            "places = nu.find_unsure", [repr(self.source), *named], Told()
        )
        if first:
            found = found.partition("\n\n")[2]  # it imports already
        return f"{first}{found}for place in places:\n    print(place)\n"

    def _named(self) -> dict[str, Any]:
        given = {"n": self.n, "size": self.size, "axes": self.axes}
        usual = {"n": _NUMBER, "size": _SIZE, "axes": None}
        named: dict[str, Any] = {k: v for k, v in given.items() if v != usual[k]}
        if self.annotated:
            named["annotated"] = self.annotated
            named |= {"unlabelled": self.unlabelled} if self.unlabelled else {}
        return named
