"""The shell line, and the script, of a comparison with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.config import EvaluationConfig
from napari_unet.replay.words import (
    PROGRAM,
    Told,
    as_flags,
    call_lines,
    given_only,
    minimal,
    script_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_KIND_FLAGS = {"classes": [], "objects": ["--objects"], "values": ["--regression"]}


@dataclass(frozen=True)
class Evaluation:
    """A comparison of a prediction with its truth.

    Attributes
    ----------
    prediction, truth, report : str
        Two files, and the page to write.
    kind : str
        ``"classes"``, ``"objects"`` or ``"values"``.
    options : mapping
        Those of `EvaluationConfig` by name.
    image, model, region : str or None
        What was predicted, by what, and which part.
    """

    prediction: str
    truth: str
    report: str
    kind: str
    options: Mapping[str, Any]
    image: str | None = None
    model: str | None = None
    region: str | None = None

    def command(self) -> list[str]:
        """Return the arguments of the shell line, the program first."""
        words = [PROGRAM, "evaluate", self.prediction, self.truth]
        words += _KIND_FLAGS[self.kind]
        words += as_flags({"report": self.report, **self._facts()})
        return [*words, *as_flags(minimal(EvaluationConfig, self.options))]

    def script(self) -> str:
        """Return the script."""
        kind = {} if self.kind == "classes" else {"kind": self.kind}
        options = minimal(EvaluationConfig, self.options)
        named = {**kind, **self._facts(), **options}
        files = [*map(repr, (self.report, self.prediction, self.truth))]
        return script_of(call_lines("nu.write_report", files, named), Told())

    def _facts(self) -> dict[str, Any]:
        return given_only(image=self.image, model=self.model, region=self.region)
