"""The call: many images, to the end."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_unet.config import ClusterConfig, OutputConfig, PredictionConfig
from napari_unet.events import BatchFinished

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unet.events import Event

_Options = TypeVar("_Options", OutputConfig, ClusterConfig)


def batch(
    model: str | Path,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    probabilities: bool = False,
    objects: bool = False,
    table: str = "csv",
    truth: str | Path | None = None,
    axes: str | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    **options: Any,
) -> BatchFinished:
    """Predict many images, and go on with a batch that was stopped or killed.

    Parameters
    ----------
    model : str or Path
        A model's file or run folder.
    inputs : str, Path or a sequence of them
        Files, folders, patterns, OME-Zarr or CSV tables with the columns ``path``,
        ``truth`` and ``region``.
    out : str or Path
        The output folder, which keeps the folders of the input.
    probabilities, objects : bool
        What is wanted besides labels; objects are measured.
    table : {"csv", "parquet"}
        How measurements are written.
    truth : str or Path, optional
        A folder of masks to score by, found by name.
    axes : str, optional
        Those of the images, where their files do not say.
    retry_failed : bool
        Whether images that have failed are tried again.
    overwrite : bool
        Whether files in a folder that no batch has written may be replaced.
    on_event : callable
        Called with each event of `napari_unet.events` as it happens.
    **options
        Any field of `napari_unet.config.PredictionConfig`,
        `napari_unet.config.OutputConfig` and `napari_unet.config.ClusterConfig`.

    Returns
    -------
    BatchFinished
        How many are done and how many have failed; its reports say which and why.

    Raises
    ------
    UNetError
        As `napari_unet.batch.run.run_batch` does. An image that fails raises nothing.

    Examples
    --------
    >>> batch("runs/membranes", "folder", "results").failed  # doctest: +SKIP
    0
    """
    from napari_unet.batch.run import Order, run_batch

    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    files, cluster = _taken(OutputConfig, options), _taken(ClusterConfig, options)
    order = Order(
        Path(model),
        given,
        Path(out),
        PredictionConfig.from_dict(options),
        files,
        probabilities=probabilities,
        objects=objects,
        table=table,
        truth=None if truth is None else Path(truth),
        axes=axes,
        retry_failed=retry_failed,
        overwrite=overwrite,
        cluster=cluster,
    )
    for event in run_batch(order):
        on_event(event)
    assert isinstance(event, BatchFinished)
    return event


def _taken(config: type[_Options], options: dict[str, Any]) -> _Options:
    """Take out of `options` what is of a config, and build it."""
    names = {each.name for each in fields(config)} & options.keys()
    return config.from_dict({name: options.pop(name) for name in names})
