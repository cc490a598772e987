"""Where predictions go: arrays, and files that are written while the network works."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.config import PredictionConfig
from napari_unet.data.stack import Stack, as_stack
from napari_unet.data.write import write_stack
from napari_unet.errors import ConfigError, OutputExistsError
from napari_unet.events import Event, PredictionFinished
from napari_unet.model import Model
from napari_unet.prediction.engine import predict_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

_WAITING = 2  # sections that may wait for the disk before the network has to


def predict(
    model: Model | str | Path,
    image: Stack | str | Path | ArrayLike,
    *,
    output: Literal["labels", "probabilities", "both"] = "labels",
    axes: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    **options: Any,
) -> NDArray[Any] | tuple[NDArray[Any], NDArray[np.float32]]:
    """Predict an image.

    Parameters
    ----------
    model : Model, str or Path
        A model, or its file or run folder.
    image : array, Stack, str or Path
        Pixels such as ``(Y, X)`` or ``(Z, Y, X)``, or a file; any number type, with
        the channels that the model expects.
    output : {"labels", "probabilities", "both"}
    axes : str, optional
        The axes of `image`, one letter per dimension out of ``TZCYX``; read from a
        file, and told from the shape where that is clear.
    on_event : callable
        Called with each event of `napari_unet.events` as it happens.
    **options
        Any field of `napari_unet.config.PredictionConfig`, such as ``tile=512`` or
        ``precision="fp32"``.

    Returns
    -------
    labels : ndarray, shape of the image without channels
        In the values and the dtype of the mask that the model was trained on.
    probabilities : ndarray of float32
        The same shape with an axis for the classes before the last two, in class
        order: ``(Z, C, Y, X)``.

    Raises
    ------
    StackFormatError
        If the image cannot be read.
    ModelError
        If the model cannot be read, or expects other channels.
    ConfigError
        If an option is out of range.

    Examples
    --------
    >>> labels = predict("runs/membranes", image)  # doctest: +SKIP
    """
    if output not in ("labels", "probabilities", "both"):
        raise ConfigError(
            f"output is {output!r}, but it must be labels, probabilities or both."
        )
    if not isinstance(model, Model):
        model = Model.load(model)
    stack = as_stack(image, axes=axes)
    shape, with_classes = result_shapes(model, stack)
    labels = np.empty(shape, model.classes.dtype)
    shares = None if output == "labels" else np.empty(with_classes, np.float32)
    sink = ArraySink(labels, shares)
    config = PredictionConfig.from_dict(options)
    for event in predict_events(
        model, stack, config, sink, probabilities=shares is not None
    ):
        on_event(event)
    labels = _in_image_order(labels, stack)
    if shares is None:
        return labels
    return shares if output == "probabilities" else (labels, shares)


def result_shape(stack: Stack) -> tuple[str, tuple[int, ...]]:
    """Return axes and shape of a stack's labels, rows and columns last."""
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    axes = "".join(axis for axis in stack.axes if axis not in "CSYX") + "YX"
    return axes, tuple(lengths[axis] for axis in axes)


def result_shapes(
    model: Model, stack: Stack
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of a stack's labels and of its probabilities."""
    _, shape = result_shape(stack)
    return shape, (*shape[:-2], model.classes.n, *shape[-2:])


class ArraySink:
    """Stores each predicted section in arrays of `result_shapes`."""

    def __init__(
        self, labels: NDArray[Any], probabilities: NDArray[np.float32] | None
    ) -> None:
        self._labels = labels.reshape(-1, *labels.shape[-2:])
        self._probabilities = (
            None
            if probabilities is None
            else probabilities.reshape(-1, *probabilities.shape[-3:])
        )

    def __call__(
        self, index: int, labels: NDArray[Any], probabilities: NDArray[Any] | None
    ) -> None:
        """Store section `index`."""
        self._labels[index] = labels
        if self._probabilities is not None and probabilities is not None:
            self._probabilities[index] = probabilities


def _in_image_order(labels: NDArray[Any], stack: Stack) -> NDArray[Any]:
    axes, _ = result_shape(stack)
    return labels.transpose([axes.index(axis) for axis in stack.section_axes])


def predict_to_files(
    model: Model,
    stack: Stack,
    folder: Path,
    config: PredictionConfig | None = None,
    *,
    probabilities: bool = False,
    overwrite: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict a stack into ``<stem>.labels.tif`` and ``<stem>.prob.tif``.

    The files appear when they are complete, with the image's axes, pixel size and
    unit. Memory does not grow with the number of sections.

    Yields
    ------
    PredictionStarted, TilesDone, PredictionFinished
        The last one names the files; without it nothing was written.

    Raises
    ------
    OutputExistsError
        Before anything is computed, if a file is there and `overwrite` is false.
    ModelError
        If the stack does not have the channels that the model expects.
    """
    paths = output_paths(stack.source.name if stack.source else stack.name, folder)
    if not probabilities:
        paths = paths[:1]
    check_absent(paths, overwrite=overwrite)
    try:
        with contextlib.ExitStack() as files:
            writers = [
                files.enter_context(_SectionWriter(path, **how, overwrite=overwrite))
                for path, how in zip(paths, _file_options(model, stack), strict=False)
            ]

            def write(index: int, labels: Any, shares: Any) -> None:
                for writer, planes in zip(writers, ([labels], shares), strict=False):
                    for plane in planes:
                        writer.put(plane)

            finished = False
            for event in predict_events(
                model,
                stack,
                config or PredictionConfig(),
                write,
                probabilities=probabilities,
                should_stop=should_stop,
            ):
                finished = isinstance(event, PredictionFinished)
                if not finished:
                    yield event
            if not finished:
                raise _AbandonedError
            for writer in writers:  # both results appear, or none
                writer.wait()
    except _AbandonedError:
        return
    yield PredictionFinished(*map(str, paths))


def output_paths(name: str, folder: Path) -> list[Path]:
    """Return the files for labels and for probabilities of an image of that name."""
    stem = name or "prediction"
    for ending in (".tiff", ".tif", ".png", ".npy", ".stk", ".ome"):
        if stem.lower().endswith(ending):
            stem = stem[: -len(ending)]
    return [folder / f"{stem}.{kind}.tif" for kind in ("labels", "prob")]


def check_absent(paths: list[Path], *, overwrite: bool) -> None:
    """Raise `OutputExistsError` if one of `paths` is there and may not be replaced."""
    present = [str(path) for path in paths if path.exists()]
    if present and not overwrite:
        raise OutputExistsError(
            f"{' and '.join(present)} exists already: choose another folder, or say "
            "that it may be overwritten (--overwrite, overwrite=True)."
        )


def _file_options(model: Model, stack: Stack) -> list[dict[str, Any]]:
    """Return how labels and probabilities are to be written."""
    axes, shape = result_shape(stack)
    size = {axis: stack.pixel_size[axis] for axis in axes if axis in stack.pixel_size}
    labels = {
        "shape": shape,
        "axes": axes,
        "dtype": model.classes.dtype,
        "pixel_size": size,
        "unit": stack.unit,
    }
    probabilities = {
        **labels,
        "shape": (*shape[:-2], model.classes.n, *shape[-2:]),
        "axes": f"{axes[:-2]}CYX",
        "dtype": "float32",
        "channel_names": [str(value) for value in model.classes.values],
    }
    return [labels, probabilities]


class _AbandonedError(Exception):
    """The prediction was stopped; what is written so far is to vanish."""


class _SectionWriter:
    """A TIFF file that planes are put into; it compresses them in its own thread."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._queue: queue.Queue[NDArray[Any] | None] = queue.Queue(_WAITING)
        self._count = math.prod(options["shape"][:-2])
        self._written = threading.Event()
        self._abandoned = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._writing = self._pool.submit(write_stack, path, self._planes(), **options)

    def __enter__(self) -> _SectionWriter:
        return self

    def put(self, plane: NDArray[Any] | None) -> None:
        """Add a plane; waits while the disk is behind.

        Raises
        ------
        Exception
            Whatever ended the writing early, such as a full disk.
        """
        while True:
            try:
                self._queue.put(plane, timeout=0.2)
                return
            except queue.Full:
                if self._writing.done():
                    self._writing.result()

    def wait(self) -> None:
        """Wait until all planes are written and the file lacks only its name.

        Raises
        ------
        Exception
            Whatever ended the writing early.
        """
        while not self._written.wait(timeout=0.2):
            if self._writing.done():
                self._writing.result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file, or remove it when an error ended the prediction."""
        try:
            if error is None:
                self.put(None)
                self._writing.result()
        finally:  # a second Ctrl-C, too, must not leave a thread that waits for ever
            self._abandoned.set()
            self._pool.shutdown()

    def _planes(self) -> Iterator[NDArray[Any]]:
        for _ in range(self._count):
            plane = self._get()
            assert plane is not None
            yield plane
        self._written.set()
        self._get()

    def _get(self) -> NDArray[Any] | None:
        while not self._abandoned.is_set():
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=0.2)
        raise _AbandonedError
