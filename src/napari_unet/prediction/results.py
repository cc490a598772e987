"""What the results of a prediction are, how they look, and where they are written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.read.tiff import stem
from napari_unet.data.write.layout import Layout
from napari_unet.data.write.stack import stored_type
from napari_unet.errors import ConfigError, OutputExistsError, StackFormatError
from napari_unet.prediction.memory import known_memory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from napari_unet.config import OutputConfig, PredictionConfig
    from napari_unet.data.region import Region
    from napari_unet.data.stack import Stack
    from napari_unet.model import Model
    from napari_unet.prediction.engine import Prediction

_KINDS = {"probabilities": "prob"}  # in the names of files; other results as they are
_TIFF = (".tif", ".tiff")
_FREE = ("memory", "device")  # options that are no part of what a prediction is


def list_results(
    model: Model, config: PredictionConfig, wanted: tuple[bool, bool, bool]
) -> list[str]:
    """Return the names of the results: labels, probabilities and objects if `wanted`.

    Raises
    ------
    ConfigError
        If probabilities are wanted of a model that has none.
    """
    labels, probabilities, objects = wanted
    check_probabilities(model, wanted=probabilities)
    names = {
        "prediction" if model.regresses else "labels": labels,
        "probabilities": probabilities,
        "objects": objects,
        "uncertainty": config.uncertainty != "none",
    }
    return [name for name, each in names.items() if each]


def check_probabilities(model: Model, *, wanted: bool) -> None:
    """Raise `ConfigError` if probabilities are wanted of a model that has none."""
    if wanted and model.regresses:
        raise ConfigError(
            f"The model {model.name} was trained by regression: it predicts values and "
            "no probabilities. Leave them out."
        )


def lay_out(name: str, model: Model, stack: Stack, region: Region) -> Layout:
    """Return what a result looks like.

    The channels of probabilities are named after the mask values of their classes, by
    which `napari_unet.evaluate` knows them.
    """
    axes, shape = region.axes, region.shape
    channels: tuple[str, ...] = ()
    dtype = {"labels": model.target.dtype, "objects": "int32"}.get(name, "float32")
    if name == "probabilities":
        axes, shape = f"{axes[:-2]}CYX", (*shape[:-2], model.target.n, *shape[-2:])
        channels = tuple(map(str, model.target.values))
    sizes = {
        axis: stack.pixel_size[axis] for axis in region.axes if axis in stack.pixel_size
    }
    starts = {
        axis: start for axis, (start, _) in zip(region.axes, region.bounds, strict=True)
    }
    return Layout(axes, shape, dtype, sizes, stack.unit, channels, starts)


def as_ngff(name: str, layout: Layout, model: Model) -> Layout:
    """Return the layout as OME-Zarr has it: whole numbers, and names of classes."""
    if name == "probabilities":
        return replace(layout, channel_names=tuple(model.target.names))
    if name == "labels":
        whole = {"b": "uint8", "f": "int32"}
        kind = np.dtype(layout.dtype).kind
        return replace(layout, dtype=whole.get(kind, layout.dtype))
    return layout


def find_store(name: str, out: Path, files: OutputConfig) -> Path | None:
    """Return the OME-Zarr store for an image of that name; None where TIFF is due.

    Raises
    ------
    ConfigError
        If `out` is a TIFF file, but the format is OME-Zarr.
    """
    if out.suffix.lower() == ".zarr":
        return out
    if files.format != "ome-zarr":
        return None
    if out.suffix.lower() in _TIFF:
        raise ConfigError(
            f"The format is ome-zarr, but {out} is a TIFF file: give a folder, or a "
            "name ending in .zarr."
        )
    return out / f"{_stem(name)}.prediction.zarr"


def find_tiffs(name: str, out: Path, results: Sequence[str]) -> dict[str, Path]:
    """Return the TIFF file of each result: in the folder `out`, or `out` itself.

    Raises
    ------
    ConfigError
        If `out` is one file, and there are several results.
    """
    if out.suffix.lower() not in _TIFF:
        kinds = {each: _KINDS.get(each, each) for each in results}
        return {each: out / f"{_stem(name)}.{kind}.tif" for each, kind in kinds.items()}
    if len(results) > 1:
        raise ConfigError(
            f"{out} is one file, but there are {len(results)} results: "
            f"{', '.join(results)}. Give a folder, or the name of a .zarr store."
        )
    return {results[0]: out}


def check_free(paths: Iterable[Path], stack: Stack, *, overwrite: bool) -> None:
    """Raise an error unless results may be written to all of `paths`.

    Raises
    ------
    OutputExistsError
        If one of them is there, and `overwrite` is false.
    ConfigError
        If one of them is the image, holds it or is a file of it; or is a folder where
        a file is to be written, or the other way round.
    """
    present = [path for path in paths if path.exists()]
    for path in present:
        if stack.source and _share_pixels(path, stack.source):
            raise ConfigError(
                f"{path} would replace the image {stack.source} or a part of it: write "
                "the result somewhere else."
            )
        if path.is_dir() == (path.suffix.lower() in _TIFF):
            found, wanted = ("folder", "file")[:: 1 if path.is_dir() else -1]
            raise ConfigError(
                f"{path} is a {found}, but the result is a {wanted}: choose another "
                "name."
            )
    if present and not overwrite:
        raise OutputExistsError(
            f"{' and '.join(map(str, present))} exists already: choose another folder, "
            "or say that it may be overwritten (--overwrite, overwrite=True)."
        )


def _share_pixels(path: Path, image: Path) -> bool:
    """Whether one lies in the other, or they are the same."""
    here, there = path.resolve(), image.resolve()
    linked = image.exists() and path.samefile(image)
    return linked or here.is_relative_to(there) or there.is_relative_to(here)


def check_values(model: Model) -> None:
    """Raise `StackFormatError` if a TIFF file cannot hold the values of the labels."""
    values = np.array(model.target.values)
    kind = stored_type(model.target.dtype)
    if not np.array_equal(values.astype(kind), values):
        raise StackFormatError(
            f"The labels have the values {values.tolist()}, which {kind} in a TIFF "
            "file cannot hold: write OME-Zarr (--format ome-zarr)."
        )


def check_memory(layouts: Iterable[Layout]) -> None:
    """Raise `ConfigError` if results do not fit in the memory that is free."""
    needed, free = sum(layout.nbytes for layout in layouts), known_memory()
    if free is not None and needed > free:
        raise ConfigError(
            f"The result takes {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB of "
            "memory are free: say by out= where to write it, such as a name ending in "
            ".zarr, or predict a region."
        )


def describe_purpose(
    work: Prediction, config: PredictionConfig, names: Collection[str]
) -> dict[str, Any]:
    """Return what tells a prediction from any other, as plain values.

    Mean and deviation of the image stand for its pixels.
    """
    options = {
        name: each for name, each in config.to_dict().items() if name not in _FREE
    }
    return {
        "model": _fingerprint(work.model),
        "image": [work.stack.axes, list(work.stack.shape), str(work.stack.dtype)],
        "pixel_size": dict(work.stack.pixel_size),
        "mean": work.normalise.mean.ravel().tolist(),
        "deviation": work.normalise.deviation.ravel().tolist(),
        "region": ",".join(f"{start}:{stop}" for start, stop in work.region.bounds),
        "results": list(names),
        **options,
    }


def _fingerprint(model: Model) -> str:
    """Return a checksum of all that matters for what a model predicts."""
    found = hashlib.sha256()
    known = [model.config.to_dict(), model.target.to_dict()]
    found.update(json.dumps(known, sort_keys=True).encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _stem(name: str) -> str:
    return stem(Path(name or "prediction"))
