"""Where predictions go: arrays, and files that are written while the network works."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.config import PredictionConfig
from napari_unet.data.stack import Stack, as_stack
from napari_unet.data.tiff import stem
from napari_unet.errors import ConfigError, OutputExistsError
from napari_unet.events import Event, PredictionFinished
from napari_unet.model import Model
from napari_unet.prediction.engine import predict_events
from napari_unet.prediction.objects import ObjectFinder, roles
from napari_unet.prediction.section_writer import AbandonedError, SectionWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray


def predict(
    model: Model | str | Path,
    image: Stack | str | Path | ArrayLike,
    *,
    output: Literal["labels", "probabilities", "both", "objects"] = "labels",
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
    output : {"labels", "probabilities", "both", "objects"}
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
        In the values and the dtype of the mask that the model was trained on; for a
        model of regression the values as float32.
    probabilities : ndarray of float32
        The same shape with an axis for the classes before the last two, in class
        order: ``(Z, C, Y, X)``.
    objects : ndarray of int32, shape of the image without channels
        The number of the object each pixel belongs to, or 0; see `find_objects`.

    Raises
    ------
    StackFormatError
        If the image cannot be read.
    ModelError
        If the model cannot be read, or expects other channels.
    ConfigError
        If an option is out of range, it is unclear which class is an object, or
        probabilities are wanted of a model that has none.

    Examples
    --------
    >>> labels = predict("runs/membranes", image)  # doctest: +SKIP
    """
    if output not in ("labels", "probabilities", "both", "objects"):
        raise ConfigError(
            f"output is {output!r}, but it must be labels, probabilities, both or "
            "objects."
        )
    if not isinstance(model, Model):
        model = Model.load(model)
    stack = as_stack(image, axes=axes)
    config = PredictionConfig.from_dict(options)
    shape, with_classes = result_shapes(model, stack)
    sink: ArraySink | ObjectSink
    if output == "objects":
        sink = ObjectSink(
            np.empty(shape, np.int32), object_finder(model, stack, config)
        )
    else:
        wanted = output != "labels"
        check_probabilities(model, wanted=wanted)
        shares = np.empty(with_classes, np.float32) if wanted else None
        sink = ArraySink(np.empty(shape, model.target.dtype), shares)
    for event in predict_events(
        model,
        stack,
        config,
        sink,
        probabilities=output != "labels" and not model.regresses,
    ):
        on_event(event)
    labels = _in_image_order(sink.labels, stack)
    if isinstance(sink, ObjectSink) or sink.probabilities is None:
        return labels
    shares = sink.probabilities
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
    return shape, (*shape[:-2], model.target.n, *shape[-2:])


class ArraySink:
    """Stores each predicted section in arrays of `result_shapes`."""

    def __init__(
        self, labels: NDArray[Any], probabilities: NDArray[np.float32] | None
    ) -> None:
        self.labels = labels
        self.probabilities = probabilities

    def __call__(
        self, index: int, labels: NDArray[Any], probabilities: NDArray[Any] | None
    ) -> None:
        """Store section `index`."""
        _sections(self.labels)[index] = labels
        if self.probabilities is not None and probabilities is not None:
            shape = self.probabilities.shape
            self.probabilities.reshape(-1, *shape[-3:])[index] = probabilities


class ObjectSink:
    """Stores the numbered objects of each section in an array of the labels' shape."""

    def __init__(self, labels: NDArray[np.int32], finder: ObjectFinder) -> None:
        self.labels = labels
        self._finder = finder
        self._stored = 0

    def __call__(
        self, index: int, labels: NDArray[Any], probabilities: NDArray[Any] | None
    ) -> None:
        """Take section `index`; the sections come in order."""
        for plane in self._finder(objects_from(labels, probabilities)):
            _sections(self.labels)[self._stored] = plane
            self._stored += 1


def objects_from(
    labels: NDArray[Any], probabilities: NDArray[Any] | None
) -> NDArray[Any]:
    """Return what objects are found in: probabilities, else values as one channel."""
    return labels[None] if probabilities is None else probabilities


def _sections(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels.reshape(-1, *pixels.shape[-2:])


def object_finder(model: Model, stack: Stack, config: PredictionConfig) -> ObjectFinder:
    """Return what finds the objects in a stack that `model` predicts.

    Raises
    ------
    ConfigError
        If it is unclear which class is an object, or they cannot be of volumes.
    """
    return ObjectFinder(stack, roles(model.target.n, model.target.names), config)


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
    objects: bool = False,
    overwrite: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict a stack into ``<stem>.labels.tif`` and, as wanted, two files more.

    These are ``<stem>.prob.tif`` and ``<stem>.objects.tif``. A model of regression
    writes ``<stem>.prediction.tif`` instead of labels, its values as float32. The
    files appear when they are complete, with the image's axes, pixel size and unit.
    Memory does not grow with the number of sections, except for objects in 3
    dimensions, which need a volume.

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
    ConfigError
        If it is unclear which class is an object, they cannot be of volumes, or
        probabilities are wanted of a model that has none.
    """
    config = config or PredictionConfig()
    check_probabilities(model, wanted=probabilities)
    main = "prediction" if model.regresses else "labels"
    kinds = [main] + ["prob"] * probabilities + ["objects"] * objects
    name = stack.source.name if stack.source else stack.name
    paths = {kind: output_path(name, folder, kind) for kind in kinds}
    check_absent(list(paths.values()), overwrite=overwrite)
    finder = object_finder(model, stack, config) if objects else None
    try:
        with contextlib.ExitStack() as files:
            writers = {
                kind: files.enter_context(
                    SectionWriter(
                        path, **_file_options(model, stack, kind), overwrite=overwrite
                    )
                )
                for kind, path in paths.items()
            }

            def write(index: int, labels: Any, shares: Any) -> None:
                found = finder(objects_from(labels, shares)) if finder else ()
                planes = {main: [labels], "prob": shares, "objects": found}
                for kind, writer in writers.items():
                    for plane in planes[kind]:
                        writer.put(plane)

            finished = False
            for event in predict_events(
                model,
                stack,
                config,
                write,
                probabilities=(probabilities or objects) and not model.regresses,
                should_stop=should_stop,
            ):
                finished = isinstance(event, PredictionFinished)
                if not finished:
                    yield event
            if not finished:
                raise AbandonedError
            for writer in writers.values():  # all results appear, or none
                writer.wait()
    except AbandonedError:
        return
    written = {kind: str(path) for kind, path in paths.items()}
    order = ("labels", "prob", "objects", "prediction")
    yield PredictionFinished(*map(written.get, order))


def check_probabilities(model: Model, *, wanted: bool) -> None:
    """Raise `ConfigError` if probabilities are wanted of a model that has none."""
    if wanted and model.regresses:
        raise ConfigError(
            f"The model {model.name} was trained by regression: it predicts values and "
            "no probabilities. Leave them out."
        )


def output_path(name: str, folder: Path, kind: str) -> Path:
    """Return the file for a result, such as the labels, of an image of that name."""
    return folder / f"{stem(Path(name or 'prediction'))}.{kind}.tif"


def check_absent(paths: list[Path], *, overwrite: bool) -> None:
    """Raise `OutputExistsError` if one of `paths` is there and may not be replaced."""
    present = [str(path) for path in paths if path.exists()]
    if present and not overwrite:
        raise OutputExistsError(
            f"{' and '.join(present)} exists already: choose another folder, or say "
            "that it may be overwritten (--overwrite, overwrite=True)."
        )


def _file_options(model: Model, stack: Stack, kind: str) -> dict[str, Any]:
    """Return how a result is to be written."""
    axes, shape = result_shape(stack)
    options = {
        "shape": shape,
        "axes": axes,
        "dtype": np.int32 if kind == "objects" else model.target.dtype,
        "pixel_size": {
            axis: stack.pixel_size[axis] for axis in axes if axis in stack.pixel_size
        },
        "unit": stack.unit,
    }
    if kind != "prob":
        return options
    return {
        **options,
        "shape": (*shape[:-2], model.target.n, *shape[-2:]),
        "axes": f"{axes[:-2]}CYX",
        "dtype": "float32",
        "channel_names": [str(value) for value in model.target.values],
    }
