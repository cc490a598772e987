"""The shell line, and the script, of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.config import TrainingConfig
from napari_unet.replay.words import (
    PROGRAM,
    Told,
    as_flags,
    call_lines,
    minimal,
    script_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HOW_LONG = ("steps", "epochs", "budget")  # the first one that is given counts


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes
    ----------
    pairs : sequence of (str, str)
        Files of an image and its mask.
    run : str
        Folder.
    options : mapping
        Those of `TrainingConfig` by name; where a run is resumed, those that change.
    told : Told
        What holds for all images.
    resume : bool
    """

    pairs: Sequence[tuple[str, str]]
    run: str
    options: Mapping[str, Any]
    told: Told = field(default_factory=Told)
    resume: bool = False

    def command(self) -> list[str]:
        """Return the arguments of the shell line, the program first."""
        (image, labels), *others = self.pairs
        words = [PROGRAM, "train", image, labels]
        for also in others:
            words += ["--also", *also]
        words += ["--run", self.run, *(["--resume"] if self.resume else [])]
        return [*words, *self.told.flags(), *as_flags(self._options())]

    def script(self) -> str:
        """Return the script."""
        images = [self._image(image) for image, _ in self.pairs]
        masks = [self._labels(labels) for _, labels in self.pairs]
        if len(self.pairs) > 1:
            arguments = [f"[{', '.join(each)}]" for each in (images, masks)]
        else:
            arguments = [*images, *masks]
        named = {"run": self.run, **self._options()}
        if self.resume:
            named["resume"] = True
        return script_of(call_lines("nu.train", arguments, named), self.told)

    def _options(self) -> dict[str, Any]:
        if self.resume:
            given = {k: v for k, v in self.options.items() if v is not None}
        else:
            given = {
                **minimal(TrainingConfig, self.options),
                "seed": self.options["seed"],
            }
        how = next((name for name in _HOW_LONG if given.get(name)), None)
        return {k: v for k, v in given.items() if k not in _HOW_LONG or k == how}

    def _image(self, path: str) -> str:
        return self.told.opened(path) if self.told else repr(path)

    def _labels(self, path: str) -> str:
        if self.told.axes is None:
            return repr(path)
        return Told(self.told.axes.replace("C", "")).opened(path)
