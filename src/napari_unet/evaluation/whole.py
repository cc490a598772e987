"""An evaluation from its two sides to its scores, its page and its map of errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import EvaluationConfig, whole_numbers
from napari_unet.data.masks.find import check_pair
from napari_unet.data.region import crop, find_region
from napari_unet.data.write.stack import write_stack
from napari_unet.errors import ConfigError
from napari_unet.evaluation.class_comparison import ClassComparison
from napari_unet.evaluation.comparison import Comparison, finish
from napari_unet.evaluation.object_report import ObjectComparison
from napari_unet.evaluation.pairing import named_stack, open_both
from napari_unet.evaluation.provenance import (
    Provenance,
    find_provenance,
    fingerprints,
    remarks_on_training,
)
from napari_unet.evaluation.regression import ValueComparison
from napari_unet.evaluation.report_page import Page, check_free

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_unet.data.region import Region
    from napari_unet.data.stack import Stack
    from napari_unet.evaluation.layout import Report

COMPARISONS: dict[str, type[Comparison[Any]]] = {
    each.kind: each for each in (ClassComparison, ObjectComparison, ValueComparison)
}
"""How to compare, by what is compared."""


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation gave.

    Attributes
    ----------
    comparison : Comparison
    report : Report
    page : Page
    """

    comparison: Comparison[Any]
    report: Report
    page: Page


def evaluate_wholly(
    predictions: Sequence[Stack],
    truths: Sequence[Stack],
    config: EvaluationConfig,
    *,
    kind: str = "classes",
    images: Sequence[Stack] = (),
    model: str | Path | None = None,
    region: Region | None = None,
    remarks: Sequence[str] = (),
) -> Generator[int, None, Evaluated]:
    """Score section by section: yields how many are done, returns all there is.

    Parameters
    ----------
    predictions, truths : sequence of Stack
    config : EvaluationConfig
    kind : str
        One of `COMPARISONS`.
    images : sequence of Stack
        What was predicted, one for each truth, or nothing.
    model : str or Path, optional
        The model that predicted: its page says where it comes from, and a remark
        where it was trained on what it is judged by.
    region : Region, optional
        The part of truths and images that was predicted; where they are larger.
    remarks : sequence of str
        What else a reader should know.

    Raises
    ------
    UNetError
        When the two do not fit together, there is nothing to score, or there is no
        such model.
    """
    known = find_provenance(model) if model is not None else None
    for image, truth in zip(images, truths, strict=False):
        check_pair(image, truth)
    if known is not None:
        remarks = [*remarks, *_remarks(known, truths, images, region)]
    if region is not None:
        truths = [crop(each, region) for each in truths]
        images = [crop(each, region) for each in images]
    comparison = COMPARISONS[kind](predictions, truths, config)
    if known is not None:
        comparison.name_classes(known.classes)
    report = yield from comparison.score()
    report = replace(report, remarks=(*report.remarks, *remarks))
    page = Page(comparison, report, images, known)
    return Evaluated(comparison, report, page)


def _remarks(
    known: Provenance,
    truths: Sequence[Stack],
    images: Sequence[Stack],
    region: Region | None,
) -> list[str]:
    """Say of whole sections whether they have trained the model."""
    sections = [_whole_sections(each, region) for each in truths]
    pictures = [_whole_sections(each, region) for each in images]
    prints = [
        own
        for number, truth in enumerate(sections)
        for own in fingerprints(truth, *pictures[number : number + 1])
    ]
    return remarks_on_training(known, prints)


def _whole_sections(stack: Stack, region: Region | None) -> Stack:
    if region is None:
        return stack
    kept = [
        (axis, bounds)
        for axis, bounds in zip(region.axes, region.bounds, strict=True)
        if axis not in "YX"
    ]
    return crop(
        stack,
        replace(
            region,
            axes="".join(axis for axis, _ in kept),
            bounds=tuple(bounds for _, bounds in kept),
        ),
    )


def write_errors(
    path: str | Path, comparison: Comparison[Any], *, overwrite: bool = False
) -> Path:
    """Write the map of errors as a TIFF that lies on the truth, section by section.

    Raises
    ------
    ConfigError
        If there are several pairs.
    OutputExistsError
        If there is such a file, and `overwrite` is not set.
    """
    if len(comparison.truths) > 1:
        raise ConfigError(
            f"A map of errors is written of one prediction, but there are "
            f"{len(comparison.truths)}. Evaluate one of them, or take the folders as "
            "one stack each (--as-stack)."
        )
    truth = comparison.truths[0]
    lengths = dict(zip(truth.axes, truth.shape, strict=True))
    axes = "".join(axis for axis in truth.section_axes if axis not in "YX") + "YX"
    return write_stack(
        path,
        comparison.every_error(),
        shape=[lengths[axis] for axis in axes],
        axes=axes,
        dtype=comparison.error_type,
        pixel_size=truth.pixel_size,
        unit=truth.unit,
        overwrite=overwrite,
    )


def write_report(
    path: str | Path,
    prediction: Stack | str | Path | ArrayLike | Sequence[Stack | str | Path],
    truth: Stack | str | Path | ArrayLike | Sequence[Stack | str | Path],
    *,
    kind: str = "classes",
    image: Stack | str | Path | ArrayLike | None = None,
    model: str | Path | None = None,
    region: str | None = None,
    errors: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Report:
    """Evaluate a prediction, and write what came of it as one HTML page.

    The page holds the scores and how they are defined, pictures of the best, the
    median and the worst section with their errors, and where all of it comes from. It
    needs no other file and no network.

    Parameters
    ----------
    path : str or Path
        The page, ending in ``.html``.
    prediction, truth
        As `evaluate`, `evaluate_objects` or `evaluate_regression` take them.
    kind : {"classes", "objects", "values"}
        What is compared.
    image : Stack, str, Path or array, optional
        What was predicted, for the pictures.
    model : str or Path, optional
        Run folder or file of the model that predicted, for its provenance, and for a
        warning where it was trained on the sections it is judged by.
    region : str, optional
        The part of truth and image that was predicted, such as ``"0:10,0:512,0:512"``.
    errors : str or Path, optional
        A TIFF to write as well: 1 where something is missed, 2 false, 3 split, 4
        merged; of values the difference.
    overwrite : bool
        Whether existing files may be replaced.
    **options
        ``ignore``, ``membranes``, ``cell_value``, ``error_value``,
        ``prediction_values`` and ``object_dims``, as
        `napari_unet.config.EvaluationConfig` has them.

    Returns
    -------
    Evaluation, ObjectEvaluation or RegressionEvaluation

    Raises
    ------
    UNetError
        When the two do not fit together, something is missing, or a file exists.

    Examples
    --------
    >>> write_report("report.html", "pred.tif", "truth.tif")  # doctest: +SKIP
    """
    if kind not in COMPARISONS:
        raise ConfigError(f"kind is {kind!r}, but it is one of {sorted(COMPARISONS)}.")
    check_free(Path(path), overwrite=overwrite)
    if errors is not None:
        check_free(Path(errors), overwrite=overwrite)
    config = _config(options)
    predictions, truths = open_both(prediction, truth)
    images = [] if image is None else [named_stack(image, "The image")]
    part = None if region is None else find_region(truths[0], region)
    done = finish(
        evaluate_wholly(
            predictions,
            truths,
            config,
            kind=kind,
            images=images,
            model=model,
            region=part,
        )
    )
    if errors is not None:
        write_errors(errors, done.comparison, overwrite=overwrite)
    done.page.write(path, overwrite=overwrite)
    return done.report


def error_map(
    prediction: Stack | str | Path | ArrayLike,
    truth: Stack | str | Path | ArrayLike,
    *,
    kind: str = "classes",
    **options: Any,
) -> NDArray[Any]:
    """Return where a prediction is wrong, and how.

    Parameters
    ----------
    prediction, truth, kind, **options
        As `write_report` takes them.

    Returns
    -------
    ndarray
        Of the truth's shape without channels, rows and columns last. uint8: 0 where
        it is right or not scored, 1 missed, 2 false, 3 split, 4 merged; of values the
        difference as float32. See `napari_unet.evaluation.error_map` for what the
        four mean.

    Examples
    --------
    >>> error_map(np.array([[0, 1, 1]]), np.array([[1, 1, 0]])).tolist()
    [[1, 0, 2]]
    """
    if kind not in COMPARISONS:
        raise ConfigError(f"kind is {kind!r}, but it is one of {sorted(COMPARISONS)}.")
    predictions, truths = open_both(prediction, truth)
    comparison = COMPARISONS[kind](predictions, truths, _config(options))
    finish(comparison.score())
    stack = truths[0]
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    axes = [axis for axis in stack.section_axes if axis not in "YX"] + ["Y", "X"]
    errors = np.stack(list(comparison.every_error()))
    return errors.reshape([lengths[axis] for axis in axes])


def _config(options: dict[str, Any]) -> EvaluationConfig:
    ignore = whole_numbers(options.pop("ignore", None), "ignore")
    return EvaluationConfig.from_dict({**options, "ignore": ignore})
