"""What a batch is to do, and the files it is to make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.batch.inputs import output_stem
from napari_unet.batch.manifest import NAME, purpose_of, read
from napari_unet.batch.report import report_files
from napari_unet.config import ClusterConfig, OutputConfig, PredictionConfig
from napari_unet.data.read.tiff import name_in_store
from napari_unet.errors import ConfigError, OutputExistsError
from napari_unet.files import list_parts
from napari_unet.model import find_model, read_info
from napari_unet.prediction.results import find_store, find_tiffs
from napari_unet.prediction.table import import_pandas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_unet.batch.inputs import Item

_FREE = ("memory", "device")  # options that do not matter for what comes out
_SHOWN = 5


@dataclass(frozen=True)
class Order:
    """What a batch is to do.

    Attributes
    ----------
    model : Path
        A model's file or run folder.
    inputs : sequence of str or Path
        Files, folders, patterns or CSV tables: see `list_items`.
    out : Path
        The output folder.
    config : PredictionConfig
    files : OutputConfig
    probabilities, objects : bool
        What is wanted besides labels.
    table : {"csv", "parquet"}
        How measurements of objects are written.
    truth : Path or None
        A folder of masks to score by.
    axes : str or None
        Those of the images, where their files do not say.
    retry_failed : bool
        Whether images that have failed are tried again.
    overwrite : bool
        Whether files in a folder that no batch has written may be replaced.
    cluster : ClusterConfig
        Where work is done, if not by one process of this machine.
    """

    model: Path
    inputs: Sequence[str | Path]
    out: Path
    config: PredictionConfig = field(default_factory=PredictionConfig)
    files: OutputConfig = field(default_factory=OutputConfig)
    probabilities: bool = False
    objects: bool = False
    table: str = "csv"
    truth: Path | None = None
    axes: str | None = None
    retry_failed: bool = False
    overwrite: bool = False
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

    def results(self) -> list[str]:
        """Return the names of the results, as the model can give them.

        Raises
        ------
        ConfigError
            If the model cannot give what is wanted.
        UNetError
            If the tables cannot be written with what is installed.
        """
        if self.objects and self.table == "parquet":
            import_pandas()
        regresses = read_info(find_model(self.model))["classes"] is None
        if regresses and (self.probabilities or self.objects):
            raise ConfigError(
                f"{self.model} was trained by regression: it predicts values, and "
                "neither probabilities nor objects. Leave them out."
            )
        wanted = {
            "prediction" if regresses else "labels": True,
            "probabilities": self.probabilities,
            "objects": self.objects,
            "uncertainty": self.config.uncertainty != "none",
        }
        return [name for name, each in wanted.items() if each]


def check_output(order: Order, items: Sequence[Item]) -> None:
    """Raise `OutputExistsError` if files would be replaced that are no batch's."""
    if order.out.is_file():
        raise OutputExistsError(
            f"{order.out} is a file, but results go into a folder: choose another name."
        )
    if order.overwrite or (order.out / NAME).exists():
        return
    taken = [path for path in planned_files(order, items) if path.exists()]
    if taken:
        more = f" and {len(taken) - _SHOWN} more" if len(taken) > _SHOWN else ""
        raise OutputExistsError(
            f"{', '.join(map(str, taken[:_SHOWN]))}{more} would be replaced, "
            f"and {order.out} is not the output of a batch: choose another folder, or "
            "say that they may be overwritten (--overwrite)."
        )


def planned_files(order: Order, items: Iterable[Item]) -> Iterator[Path]:
    """Give the files that the results of images will be."""
    results = order.results()
    for item in items:
        name, folder = name_in_store(item.image), order.out / item.folder
        store = find_store(name, folder, order.files)
        if store is not None:
            yield store
        else:
            yield from find_tiffs(name, folder, results).values()
        if order.objects:
            yield folder / f"{output_stem(item)}.objects.{order.table}"


def sweep(order: Order, items: Sequence[Item]) -> None:
    """Remove what runs that were killed have left of these files.

    No other process writes them while this one has the manifest.
    """
    folders = {order.out, *(order.out / item.folder for item in items)}
    left = [pair for folder in folders for pair in list_parts(folder)]
    if not left:
        return
    ours = {*planned_files(order, items), *report_files(order.out)}
    for part, path in left:
        if path in ours:
            part.unlink(missing_ok=True)


def find_purposes(order: Order, items: Sequence[Item]) -> dict[str, str]:
    """Return for each image, by name, a checksum of what decides on its results."""
    options = order.config.to_dict()
    same = purpose_of(
        model=read(find_model(order.model)).digest,
        options={name: options[name] for name in options if name not in _FREE},
        files=order.files.to_dict(),
        results=order.results(),
        table=order.table,
        axes=order.axes,
    )
    return {
        item.name: purpose_of(same=same, region=item.region, truth=_digest(item.truth))
        for item in items
    }


def _digest(truth: Path | None) -> str | None:
    if truth is None:
        return None
    try:
        return read(truth).digest
    except OSError as error:  # which is said when it is needed
        return str(error)
