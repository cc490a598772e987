"""What the results of an image say: measurements of its objects, and its scores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_unet.data import open_stack
from napari_unet.data.region import crop, find_region
from napari_unet.errors import MaskError
from napari_unet.evaluation import evaluate, evaluate_regression
from napari_unet.prediction.measure import measure_objects
from napari_unet.prediction.table import write_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_unet.data import Stack
    from napari_unet.data.region import Region


def measure(path: Path, objects: Path, image: Stack, region: Region, dims: int) -> int:
    """Measure the objects of an image into a table; return how many there are."""
    table = measure_objects(open_stack(objects), _part(image, region), dims=dims)
    write_table(path, table, overwrite=True)
    return len(table)


def open_truth(truth: Path, image: Stack, region: Region) -> Stack:
    """Open a mask of an image, or of a region of it, as one of the region.

    Raises
    ------
    MaskError
        If it is as large as neither.
    """
    mask, whole = open_stack(truth), find_region(image)
    its = find_region(mask)
    if its.shape == region.shape:
        return mask
    if its.shape != whole.shape:
        sizes = (" × ".join(map(str, each.shape)) for each in (its, whole))
        raise MaskError(
            f"{truth} is {next(sizes)} pixels large, but {image.label} "
            f"{next(sizes)}: give the mask of this image."
        )
    return crop(mask, replace(its, bounds=region.bounds))


def score(paths: Mapping[str, Path], mask: Stack) -> dict[str, Any]:
    """Score the results of an image by its truth."""
    if "prediction" in paths:
        return evaluate_regression(open_stack(paths["prediction"]), mask).to_dict()
    best = paths.get("probabilities") or paths["labels"]
    return evaluate(open_stack(best), mask).to_dict()


def file_names(paths: Mapping[str, Path], out: Path) -> dict[str, str]:
    """Return files by their names relative to the output folder."""
    return {name: path.relative_to(out).as_posix() for name, path in paths.items()}


def _part(image: Stack, region: Region) -> Stack:
    whole = find_region(image)
    return image if region == whole else crop(image, region)
