"""The call: from an image and a model to arrays, or to files opened again."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import OutputConfig, PredictionConfig
from napari_unet.data.open import as_stack, open_stack
from napari_unet.errors import ConfigError
from napari_unet.events import Event, PredictionFinished
from napari_unet.model import Model
from napari_unet.prediction.results import (
    check_memory,
    check_probabilities,
    list_results,
)
from napari_unet.prediction.stores import ArrayStore
from napari_unet.prediction.to_files import Job, predict_to_files, run, write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_unet.data.stack import Stack
    from napari_unet.prediction.to_files import Part

    Result = NDArray[Any] | Stack

__all__ = ["check_probabilities", "predict", "predict_to_files"]

_RESULTS = ("labels", "probabilities", "objects")


def predict(
    model: Model | str | Path,
    image: Stack | str | Path | ArrayLike,
    *,
    output: str | Sequence[str] = "labels",
    axes: str | None = None,
    region: Part = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    **options: Any,
) -> Result | tuple[Result, ...]:
    """Predict an image, or a region of it.

    Parameters
    ----------
    model : Model, str or Path
        A model, or its file or run folder.
    image : array, Stack, str or Path
        Pixels such as ``(Y, X)`` or ``(Z, Y, X)``, or a file; any number type, with
        the channels that the model expects. A dask or zarr array stays lazy.
    output : {"labels", "probabilities", "both", "objects"} or a sequence of them
        What is returned; both are labels and probabilities.
    axes : str, optional
        The axes of `image`, one letter per dimension out of ``TZCYX``; read from a
        file, and told from the shape where that is clear.
    region : str or sequence of (start, stop), optional
        What of the image is predicted, among its real surroundings; as for
        `napari_unet.data.region.find_region`, such as ``"0:10,0:512,0:512"``.
    out : str or Path, optional
        Where to write results that need not fit in memory, while they are computed: a
        folder for TIFF files such as ``<stem>.labels.tif``, the name of one ``.tif``
        file, or of an OME-Zarr store ending in ``.zarr``. A prediction into a store
        that was interrupted goes on when it is called again.
    overwrite : bool
        Whether results that are there may be replaced.
    on_event : callable
        Called with each event of `napari_unet.events` as it happens.
    **options
        Any field of `napari_unet.config.PredictionConfig`, such as ``tile=512`` or
        ``precision="fp32"``, and of `napari_unet.config.OutputConfig`.

    Returns
    -------
    labels : ndarray, shape of the image or region without channels
        In the values and the dtype of the mask that the model was trained on; for a
        model of regression the values as float32.
    probabilities : ndarray of float32
        The same shape with an axis for the classes before the last two, in class
        order: ``(Z, C, Y, X)``.
    objects : ndarray of int32, shape of the image or region without channels
        The number of the object each pixel belongs to, or 0; see `find_objects`. Those
        of sections take memory for a section, those of volumes for a volume.
    uncertainty : ndarray of float32, shape of the labels
        Last, where the option ``uncertainty`` asks for it.

    With `out` each of them is a `Stack` instead, whose pixels are read from the file
    when they are asked for, its ``axes`` saying their order.

    Raises
    ------
    StackFormatError
        If the image cannot be read.
    ModelError
        If the model cannot be read, or expects other channels.
    ConfigError
        If an option is out of range, it is unclear which class is an object,
        probabilities are wanted of a model that has none, or the result does not fit
        in memory and `out` is not given.
    OutputExistsError
        If a file is there and `overwrite` is false.
    UNetError
        If the disk is full.

    Examples
    --------
    >>> labels = predict("runs/membranes", image)  # doctest: +SKIP
    """
    wanted = _results(output)
    if not isinstance(model, Model):
        model = Model.load(model)
    stack = as_stack(image, axes=axes)
    of_files = {each.name for each in fields(OutputConfig)} & options.keys()
    files = OutputConfig.from_dict({name: options.pop(name) for name in of_files})
    config = PredictionConfig.from_dict(options)
    names = list_results(model, config, wanted)
    job = Job(model, stack, config, names, region)
    if out is None:
        results = _predict_arrays(job, on_event)
    else:
        for event in write_files(job, Path(out), files, overwrite=overwrite):
            on_event(event)
        assert isinstance(event, PredictionFinished)
        results = [open_stack(getattr(event, name)) for name in names]
    return results[0] if len(results) == 1 else tuple(results)


def _results(output: str | Sequence[str]) -> tuple[bool, bool, bool]:
    """Return which of the results are wanted."""
    asked = {output} if isinstance(output, str) else {*output}
    if "both" in asked:
        asked = asked - {"both"} | {"labels", "probabilities"}
    if not asked or asked - {*_RESULTS}:
        raise ConfigError(
            f"output is {output!r}, but it must be labels, probabilities, both or "
            "objects, or several of them."
        )
    labels, probabilities, objects = (each in asked for each in _RESULTS)
    return labels, probabilities, objects


def _predict_arrays(job: Job, on_event: Callable[[Event], None]) -> list[Result]:
    work = job.prepare()
    layouts = job.layouts(work)
    check_memory(layouts.values())
    arrays = {name: np.empty(each.shape, each.dtype) for name, each in layouts.items()}
    for event in run(job, work, ArrayStore(arrays)):
        on_event(event)
    on_event(PredictionFinished())
    order = [work.region.axes.index(axis) for axis in job.stack.section_axes]
    return [
        array if name == "probabilities" else array.transpose(order)
        for name, array in arrays.items()
    ]
