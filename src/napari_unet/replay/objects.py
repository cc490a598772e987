"""The shell line, and the script, that find or measure the objects of a window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.config import ObjectConfig
from napari_unet.replay.words import PROGRAM, Told, as_flags, minimal, script_calling

if TYPE_CHECKING:
    from collections.abc import Mapping

_WRITE = """\
nu.write_stack(
    {out!r},
    np.asarray(found).reshape(-1, *found.shape[-2:]),
    shape=found.shape,
    axes=found.axes,
    dtype=found.dtype,
    pixel_size=found.pixel_size,
    unit=found.unit,
)
"""


@dataclass(frozen=True)
class FindObjects:
    """Objects found in a file of labels, probabilities or distances.

    Attributes
    ----------
    source, out : str
        Two files.
    inside, border : int, str or None
        As in `napari_unet.label_objects`.
    options : mapping
        Those of `ObjectConfig` by name.
    told : Told
    """

    source: str
    out: str
    inside: int | str | None
    border: int | str | None
    options: Mapping[str, Any]
    told: Told = field(default_factory=Told)

    def command(self) -> list[str]:
        """Return the arguments of the shell line, the program first."""
        words = [PROGRAM, "objects", self.source, "--out", self.out]
        flags = as_flags({**self._classes(), **minimal(ObjectConfig, self.options)})
        return [*words, *self.told.flags(), *flags]

    def script(self) -> str:
        """Return the script."""
        image = self.told.opened(self.source) if self.told else repr(self.source)
        named = {**self._classes(), **minimal(ObjectConfig, self.options)}
        given = [image, *(f"{name}={value!r}" for name, value in named.items())]
        resized = ["from dataclasses import replace", ""]
        return "\n".join(
            [
                *(resized if self.told.pixel_size is not None else []),
                "import numpy as np",
                "",
                "import napari_unet as nu",
                "",
                "found = nu.label_objects(",
                *(f"    {each}," for each in given),
                ")",
                _WRITE.format(out=self.out),
            ]
        )

    def _classes(self) -> dict[str, int | str]:
        both = {"inside": self.inside, "border": self.border}
        return {name: each for name, each in both.items() if each is not None}


@dataclass(frozen=True)
class MeasureObjects:
    """Objects of a file, measured into a table.

    Attributes
    ----------
    objects, out : str
        Two files.
    image : str or None
        Where the objects are, for intensities.
    dims : int
        2 to measure in each section, 3 as volumes.
    told : Told
        What holds for both; no axes.
    """

    objects: str
    out: str
    image: str | None
    dims: int = 2
    told: Told = field(default_factory=Told)

    def command(self) -> list[str]:
        """Return the arguments of the shell line, the program first."""
        files = [self.objects, *([self.image] if self.image else [])]
        words = [PROGRAM, "measure", *files, "--out", self.out]
        dims = {} if self.dims == 2 else {"object_dims": self.dims}
        return [*words, *self.told.flags(), *as_flags(dims)]

    def script(self) -> str:
        """Return the script."""
        files = [self.objects, *([self.image] if self.image else [])]
        given = [self.told.opened(each) if self.told else repr(each) for each in files]
        given += [] if self.dims == 2 else [f"dims={self.dims}"]
        write = f"nu.write_table({self.out!r}, table)"
        return (
            script_calling("table = nu.measure_objects", given, self.told)
            + f"{write}\n"
        )
