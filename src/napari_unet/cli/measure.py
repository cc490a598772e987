"""The command ``measure``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.cli import flags, inputs
from napari_unet.cli.answers import say, show_facts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from napari_unet.data import Stack
    from napari_unet.prediction.table import Table


def add_measure(commands: Any) -> None:
    """Add the command ``measure``."""
    parser = flags.command(
        commands, "measure", _measure, "measure objects into a table"
    )
    parser.add_argument(
        "objects", type=Path, help="labels that number objects, or a folder of them"
    )
    parser.add_argument(
        "image",
        type=Path,
        nargs="?",
        help="where they are, for intensities; of a folder, paired by name",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the table: .csv, or .parquet"
    )
    parser.add_argument(
        "--object-dims",
        type=int,
        choices=(2, 3),
        default=2,
        help="3 when objects go through sections (default: 2)",
    )
    flags.add_overwrite(parser, "replace a table that exists")
    flags.add_as_stack(parser)
    flags.add_image_flags(parser)
    flags.add_output_flags(parser)


def _measure(given: argparse.Namespace) -> int:
    from napari_unet.prediction.table import check_table_path, join_tables, write_table

    check_table_path(given.out, overwrite=given.overwrite)
    tables = []
    for objects, image in _pairs(given):
        tables.append(_table(given, objects, image))
    table = join_tables(tables)
    write_table(given.out, table, overwrite=given.overwrite)
    if not given.quiet:
        for remark in table.remarks:
            sys.stderr.write(f"napari-unet: {remark}\n")
    if given.json:
        show_facts(given, {"table": str(given.out), "objects": len(table)})
    say(given, f"{len(table)} objects in {given.out}")
    return 0


def _pairs(given: argparse.Namespace) -> Iterator[tuple[Path, Path | None]]:
    """Yield each file of objects and the image it belongs to."""
    from napari_unet.data.matching import is_several, list_files, pair_predictions

    if given.as_stack or not is_several(given.objects):
        yield given.objects, given.image
    elif given.image is None:
        yield from ((each, None) for each in list_files(given.objects))
    else:
        kinds = ("objects", "labels")
        for pair in pair_predictions(given.objects, given.image, kinds):
            yield pair.mask, pair.image


def _table(given: argparse.Namespace, objects: Path, image: Path | None) -> Table:
    from napari_unet.prediction.measure import measure_objects
    from napari_unet.prediction.table import Table

    pixels: Stack | None = None
    if image is not None:
        pixels = inputs.open_one(image, given, axes=given.axes)
    axes = given.axes
    if pixels is not None and axes:
        axes = pixels.section_axes
    labels = inputs.open_one(objects, given, axes=axes)
    table = measure_objects(labels, pixels, dims=given.object_dims)
    if objects == given.objects:
        return table
    names = np.full(len(table), objects.name)
    return Table({"file": names, **table.columns}, table.remarks)
