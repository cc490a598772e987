"""The shell line, and the script, of a prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.config import PredictionConfig
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
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Prediction:
    """A prediction.

    Attributes
    ----------
    model, image, out : str
        A run folder or model file, a file, and the folder for the results.
    options : mapping
        Those of `PredictionConfig` by name.
    wanted : sequence of str
        What is predicted besides labels: ``"probabilities"``, ``"objects"``.
    region : sequence of (int, int), or None
        A part of the image.
    told : Told
    """

    model: str
    image: str
    out: str
    options: Mapping[str, Any]
    wanted: Sequence[str] = ()
    region: Sequence[Sequence[int]] | None = None
    told: Told = field(default_factory=Told)

    def command(self) -> list[str]:
        """Return the arguments of the shell line, the program first."""
        words = [PROGRAM, "predict", self.model, self.image, "--out", self.out]
        words += [f"--{each}" for each in self.wanted]
        words += as_flags(given_only(region=self._region()))
        flags = as_flags(minimal(PredictionConfig, self.options))
        return [*words, *self.told.flags(), *flags]

    def script(self) -> str:
        """Return the script."""
        image = self.told.opened(self.image) if self.told else repr(self.image)
        output = ("labels", *self.wanted) if self.wanted else None
        named = {
            "out": self.out,
            **given_only(output=output, region=self._region()),
            **minimal(PredictionConfig, self.options),
        }
        lines = call_lines("nu.predict", [repr(self.model), image], named)
        return script_of(lines, self.told)

    def _region(self) -> str | None:
        if self.region is None:
            return None
        return ",".join(f"{start}:{stop}" for start, stop in self.region)
