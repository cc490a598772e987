"""The shell line, and the script, of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.config import ClusterConfig, OutputConfig, PredictionConfig
from napari_unet.replay.words import PROGRAM, as_flags, call, call_lines, minimal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.config import Config

_BATCH = (
    "from pathlib import Path",
    "",
    "from napari_unet.batch.run import Order, run_batch",
    "from napari_unet.config import ClusterConfig, OutputConfig, PredictionConfig",
    "",
)
_LOOP = ("for event in run_batch(order):", "    print(event)", "")


@dataclass(frozen=True)
class Batch:
    """A prediction of many images.

    Attributes
    ----------
    model : str
        A run folder or model file.
    inputs : sequence of str
        Files, folders, patterns or CSV tables.
    out : str
        The output folder.
    options : mapping
        Those of `PredictionConfig` by name.
    files : mapping
        Those of `OutputConfig` by name.
    cluster : mapping
        Those of `ClusterConfig` by name.
    wanted : sequence of str
        What is written besides labels: ``"probabilities"``, ``"objects"``.
    told : mapping
        Of ``truth``, ``axes``, ``table``, ``overwrite`` and ``retry_failed`` those that
        are not usual.
    """

    model: str
    inputs: Sequence[str]
    out: str
    options: Mapping[str, Any]
    files: Mapping[str, Any] = field(default_factory=dict)
    cluster: Mapping[str, Any] = field(default_factory=dict)
    wanted: Sequence[str] = ()
    told: Mapping[str, Any] = field(default_factory=dict)

    def command(self) -> list[str]:
        """Return the arguments of the shell line, the program first."""
        words = [PROGRAM, "batch", self.model, *self.inputs, "--out", self.out]
        words += [f"--{each}" for each in self.wanted]
        words += as_flags(self.told)
        for config, options in self._options().values():
            words += as_flags(minimal(config, options))
        return words

    def script(self) -> str:
        """Return the script."""
        told = dict.fromkeys(self.wanted, True) | dict(self.told)
        given = {name: repr(value) for name, value in told.items()}
        if "truth" in told:
            given["truth"] = call("Path", told["truth"])
        for name, (config, options) in self._options().items():
            if fewest := minimal(config, options):
                given[name] = call(config.__name__, **fewest)
        arguments = [
            call("Path", self.model),
            repr([*self.inputs]),
            call("Path", self.out),
            *(f"{name}={value}" for name, value in given.items()),
        ]
        return "\n".join([*_BATCH, *call_lines("order = Order", arguments, {}), *_LOOP])

    def _options(self) -> dict[str, tuple[type[Config], Mapping[str, Any]]]:
        return {
            "config": (PredictionConfig, self.options),
            "files": (OutputConfig, self.files),
            "cluster": (ClusterConfig, self.cluster),
        }
