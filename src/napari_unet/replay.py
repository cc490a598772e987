"""The shell line, and the script, that do again what was done in a window.

They name files, and only the options that are not the usual ones.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.config import (
    ClusterConfig,
    EvaluationConfig,
    ObjectConfig,
    OutputConfig,
    PredictionConfig,
    TrainingConfig,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_Options = (
    TrainingConfig
    | PredictionConfig
    | EvaluationConfig
    | OutputConfig
    | ClusterConfig
    | ObjectConfig
)
_PROGRAM = "napari-unet"
_KIND_FLAGS = {"classes": [], "objects": ["--objects"], "values": ["--regression"]}
THEN = "&&"
"""Stands between the words of two commands of which one follows the other."""

_HOW_LONG = ("steps", "epochs", "budget")  # the first one that is given counts


@dataclass(frozen=True)
class Told:
    """What has to be said of images, because their files say nothing or otherwise.

    Attributes
    ----------
    axes : str or None
        One letter per dimension.
    pixel_size : mapping of str to float, or None
        By axis; empty where the pixels are to have no size.
    unit : str or None
        That of the pixel size.
    """

    axes: str | None = None
    pixel_size: Mapping[str, float] | None = None
    unit: str | None = None

    def flags(self) -> list[str]:
        """Return it in the words of the command line."""
        flags = ["--axes", self.axes] if self.axes else []
        if self.pixel_size is not None:
            sizes = [repr(self.pixel_size[a]) for a in "ZYX" if a in self.pixel_size]
            unit = [self.unit] if self.unit and sizes else []
            flags += ["--pixel-size", ",".join(sizes + unit) or "none"]
        return flags

    def opened(self, path: str) -> str:
        """Return the Python expression that opens a file so."""
        opened = _call("nu.open_stack", path, **_given(axes=self.axes))
        if self.pixel_size is None:
            return opened
        size = f"pixel_size={dict(self.pixel_size)!r}, unit={self.unit!r}"
        return f"replace({opened}, {size})"

    def __bool__(self) -> bool:
        return self != Told()


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
        words = [_PROGRAM, "train", image, labels]
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
        return _script(_call_lines("nu.train", arguments, named), self.told)

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
        words = [_PROGRAM, "predict", self.model, self.image, "--out", self.out]
        words += [f"--{each}" for each in self.wanted]
        words += as_flags(_given(region=self._region()))
        flags = as_flags(minimal(PredictionConfig, self.options))
        return [*words, *self.told.flags(), *flags]

    def script(self) -> str:
        """Return the script."""
        image = self.told.opened(self.image) if self.told else repr(self.image)
        output = ("labels", *self.wanted) if self.wanted else None
        named = {
            "out": self.out,
            **_given(output=output, region=self._region()),
            **minimal(PredictionConfig, self.options),
        }
        lines = _call_lines("nu.predict", [repr(self.model), image], named)
        return _script(lines, self.told)

    def _region(self) -> str | None:
        if self.region is None:
            return None
        return ",".join(f"{start}:{stop}" for start, stop in self.region)


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
        words = [_PROGRAM, "batch", self.model, *self.inputs, "--out", self.out]
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
            given["truth"] = _call("Path", told["truth"])
        for name, (config, options) in self._options().items():
            if fewest := minimal(config, options):
                given[name] = _call(config.__name__, **fewest)
        arguments = [
            _call("Path", self.model),
            repr([*self.inputs]),
            _call("Path", self.out),
            *(f"{name}={value}" for name, value in given.items()),
        ]
        return "\n".join(
            [*_BATCH, *_call_lines("order = Order", arguments, {}), *_LOOP]
        )

    def _options(self) -> dict[str, tuple[type[_Options], Mapping[str, Any]]]:
        return {
            "config": (PredictionConfig, self.options),
            "files": (OutputConfig, self.files),
            "cluster": (ClusterConfig, self.cluster),
        }


_BATCH = (
    "from pathlib import Path",
    "",
    "from napari_unet.batch.run import Order, run_batch",
    "from napari_unet.config import ClusterConfig, OutputConfig, PredictionConfig",
    "",
)
_LOOP = ("for event in run_batch(order):", "    print(event)", "")


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
        words = [_PROGRAM, "evaluate", self.prediction, self.truth]
        words += _KIND_FLAGS[self.kind]
        words += as_flags({"report": self.report, **self._facts()})
        return [*words, *as_flags(minimal(EvaluationConfig, self.options))]

    def script(self) -> str:
        """Return the script."""
        kind = {} if self.kind == "classes" else {"kind": self.kind}
        options = minimal(EvaluationConfig, self.options)
        named = {**kind, **self._facts(), **options}
        files = [*map(repr, (self.report, self.prediction, self.truth))]
        return _script(_call_lines("nu.write_report", files, named), Told())

    def _facts(self) -> dict[str, Any]:
        return _given(image=self.image, model=self.model, region=self.region)


def quoted(words: Iterable[str], *, windows: bool | None = None) -> str:
    """Join the words of a shell line, so that the shell takes them apart again.

    Parameters
    ----------
    words : iterable of str
        Of one command, or of several with `THEN` in between.
    windows : bool, optional
        Whether it is for a Windows shell; by default for this computer's.
    """
    commands: list[list[str]] = [[]]
    for word in words:
        if word == THEN:
            commands.append([])
        else:
            commands[-1].append(word)
    windows = sys.platform == "win32" if windows is None else windows
    join = subprocess.list2cmdline if windows else shlex.join
    return f" {THEN} ".join(map(join, commands))


def minimal(
    config: type[_Options],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fewest options from which `config` is built again.

    Parameters
    ----------
    config : type
    options : mapping
        Every option by name.
    """
    whole = config.from_dict(dict(options)).to_dict()
    preset = _given(preset=whole.get("preset"))
    usual = config.from_dict(preset).to_dict()
    fewest = {k: v for k, v in whole.items() if v != usual[k]} | preset
    if config.from_dict(fewest).to_dict() != whole or None in fewest.values():
        # Nothing on a command line takes back what a preset says.
        usual = config().to_dict()
        fewest = {k: v for k, v in whole.items() if v != usual[k]}
        fewest.pop("preset", None)
    return fewest


def as_flags(options: Mapping[str, Any]) -> list[str]:
    """Write options as flags of the command line."""
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(flag if value else f"--no-{flag[2:]}")
        else:
            several = isinstance(value, list | tuple)
            text = ",".join(map(str, value)) if several else str(value)
            flags += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return flags


def called(function: str, arguments: Iterable[str], told: Told) -> str:
    """Write the script that calls a function of the package, ``nu``.

    Parameters
    ----------
    function : str
        Perhaps with the name of the result before it.
    arguments : iterable of str
        Python expressions.
    told : Told
        What they say of files.
    """
    return _script(_call_lines(function, arguments, {}), told)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _call(name: str, *arguments: Any, **named: Any) -> str:
    parts = [repr(each) for each in arguments]
    return f"{name}({', '.join(parts + [f'{k}={v!r}' for k, v in named.items()])})"


def _call_lines(
    name: str, arguments: Iterable[str], named: Mapping[str, Any]
) -> list[str]:
    parts = [*arguments, *(f"{key}={value!r}" for key, value in named.items())]
    return [f"{name}(", *(f"    {each}," for each in parts), ")"]


def _script(lines: Iterable[str], told: Told) -> str:
    needed = ["from dataclasses import replace", ""] * (told.pixel_size is not None)
    return "\n".join([*needed, "import napari_unet as nu", "", *lines, ""])
