"""A table of measurements, and its file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ConfigError, OutputExistsError, UNetError
from napari_unet.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one length under their names, a row for each object.

    Attributes
    ----------
    columns : mapping of str to ndarray, shape (rows,)
        Whole numbers, real ones, bool or text.
    remarks : tuple of str
        Sentences a user should see.
    """

    columns: Mapping[str, NDArray[Any]]
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


def join_tables(tables: Sequence[Table]) -> Table:
    """Put tables below each other; what one of them does not have is NaN there."""
    names = dict.fromkeys(name for each in tables for name in each.columns)
    columns = {
        name: np.concatenate(
            [each.columns.get(name, np.full(len(each), np.nan)) for each in tables]
        )
        for name in names
    }
    remarks = dict.fromkeys(text for each in tables for text in each.remarks)
    return Table(columns, tuple(remarks))


def write_table(path: str | Path, table: Table, *, overwrite: bool = False) -> Path:
    """Write a table, whole or not at all.

    Parameters
    ----------
    path : str or Path
        ``.csv``, or ``.parquet`` where pandas and pyarrow are installed.
    table : Table
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        If the name has another ending.
    OutputExistsError
        If the file exists and `overwrite` is not set.
    UNetError
        If it cannot be written, or what Parquet needs is not installed.
    """
    path = Path(path)
    check_table_path(path, overwrite=overwrite)
    with replacing(path) as part:
        _WRITERS[path.suffix.lower()](part, table)
    return path


def check_table_path(path: Path, *, overwrite: bool = False) -> None:
    """Raise an error unless `write_table` may write there."""
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"{path.name} is to hold a table: give it a name ending in .csv, or in "
            ".parquet."
        )
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists. Choose another name, or say that it may be overwritten "
            "(--overwrite, overwrite=True)."
        )


def _write_csv(path: Path, table: Table) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table.columns)
        writer.writerows(zip(*map(_words, table.columns.values()), strict=True))


def _words(column: NDArray[Any]) -> Iterable[Any]:
    """Write real numbers as short as they are, and NaN as nothing."""
    if column.dtype.kind != "f":
        return list(column.tolist())
    return ["" if value != value else f"{value:.9g}" for value in column.tolist()]


def _write_parquet(path: Path, table: Table) -> None:
    pandas = import_pandas()
    pandas.DataFrame(dict(table.columns)).to_parquet(path, index=False)


def import_pandas() -> Any:
    """Return pandas, if it can write Parquet.

    Raises
    ------
    UNetError
        If it or pyarrow is not installed.
    """
    try:
        import_module("pyarrow")  # what pandas writes Parquet with
        return import_module("pandas")
    except ImportError as error:
        raise UNetError(
            f"Parquet needs pandas and pyarrow ({error}): pip install pandas pyarrow, "
            "or write a .csv file."
        ) from error


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}
