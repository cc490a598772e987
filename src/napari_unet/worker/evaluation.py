"""The job that compares a prediction with its truth."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import EvaluationConfig
from napari_unet.data import Stack, open_stack
from napari_unet.data.channels import Channels
from napari_unet.data.region import Region, crop
from napari_unet.data.write.npy import create_npy
from napari_unet.evaluation.layout import describe_errors
from napari_unet.evaluation.score_tables import headline, score_tables
from napari_unet.evaluation.whole import evaluate_wholly
from napari_unet.events import EvaluationFinished, SectionsDone

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_unet.evaluation.comparison import Comparison
    from napari_unet.evaluation.whole import Evaluated
    from napari_unet.events import Event
    from napari_unet.worker.pipes import Request, Stop


class _StoppedError(Exception):
    """The evaluation was stopped while it read pixels."""


def evaluate(request: Request, stop: Stop) -> Iterator[Event]:
    """Compare what a request names; write a page and a .npy file of errors.

    ``prediction``, ``truth`` and, where there is one, ``image`` name their files, axes
    and the bounds of what is compared; see `napari_unet.plugin.evaluate.job`. The last
    event is `EvaluationFinished` only if it was not stopped.
    """
    try:
        done = yield from _score(request, stop)
        if stop():
            return
        errors = _write_errors(request["results"]["errors"], done.comparison, stop)
        page = done.page.write(request["results"]["page"], overwrite=True)
    except _StoppedError:
        return
    report = done.report
    yield EvaluationFinished(
        headline=headline(report),
        tables=[asdict(each) for each in score_tables(report)],
        remarks=list(report.remarks),
        words=describe_errors(report.errors) if report.errors else "",
        sections=report.sections.to_dict() if report.sections else None,
        scores=report.to_dict(),
        page=str(page),
        errors=errors,
    )


def _score(request: Request, stop: Stop) -> Generator[Event, None, Evaluated]:
    prediction = _open(request["prediction"], stop)
    truth = _open(request["truth"], stop, within_sections=False)
    images = []
    if side := request.get("image"):
        images = [_open(side, stop, within_sections=False)]
    scoring = evaluate_wholly(
        [prediction],
        [truth],
        EvaluationConfig.from_dict(request.get("options", {})),
        kind=request.get("kind", "classes"),
        images=images,
        model=request.get("model"),
        region=_region(request["truth"], "YX"),
        remarks=request.get("remarks", ()),
    )
    while True:
        try:
            yield SectionsDone(next(scoring), truth.n_sections)
        except StopIteration as end:
            done: Evaluated = end.value
            return done


def _open(side: dict[str, Any], stop: Stop, *, within_sections: bool = True) -> Stack:
    """Open a side of a comparison: all that is compared, or whole sections of it."""
    stacks = [open_stack(path, axes=side["axes"]) for path in side["files"]]
    stack = stacks[0]
    if (names := side.get("channels")) is not None:
        pixels: list[Any] = [each.pixels for each in stacks]
        if side.get("others_missing"):  # of two classes one was given
            given = names.index(side["given"])
            pixels = [pixels[0], pixels[0]]
            pixels[1 - given] = _Complement(pixels[given])
        stack = Stack(Channels(pixels), f"C{stack.axes}", channel_names=tuple(names))
    axes = "".join(axis for axis in stack.section_axes if axis not in "YX")
    region = _region(side, axes + "YX" * within_sections)
    if region is not None:
        stack = crop(stack, region)
    return replace(
        stack,
        pixels=_Stoppable(stack.pixels, stop),
        name=side["name"],
        source=None,
        pixel_size=side.get("pixel_size", {}),
        unit=side.get("unit"),
    )


def _region(side: dict[str, Any], axes: str) -> Region | None:
    """Return the bounds of a side along some of its axes."""
    if not side.get("bounds"):
        return None
    known = dict(zip(side["axes"], side["bounds"], strict=True))
    kept = [axis for axis in axes if axis in known]
    return Region("".join(kept), tuple((*known[axis],) for axis in kept))


def _write_errors(path: str, comparison: Comparison[Any], stop: Stop) -> str:
    truth = comparison.truths[0]
    lengths = dict(zip(truth.axes, truth.shape, strict=True))
    shape = [lengths[axis] for axis in truth.section_axes if axis not in "YX"]
    written = create_npy(path, comparison.error_type, (*shape, *truth.section_shape))
    sections = written.reshape(-1, *truth.section_shape)
    for index, errors in enumerate(comparison.every_error()):
        if stop():
            raise _StoppedError
        sections[index] = errors
    written.flush()
    return path


class _Stoppable:
    """Pixels that are no longer read once the work is to stop."""

    def __init__(self, pixels: Any, stop: Stop) -> None:
        self._pixels = pixels
        self._stop = stop
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim

    def __getitem__(self, key: Any) -> Any:
        if self._stop():
            raise _StoppedError
        return self._pixels[key]


class _Complement:
    """The probability of the other one of two classes."""

    def __init__(self, pixels: Any) -> None:
        self._pixels = pixels
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(1 - np.asarray(self._pixels[key]))
