"""What is known of the images of a batch, before, while and after it runs."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_unet.batch.inputs import Item, list_items
from napari_unet.batch.manifest import read_records
from napari_unet.batch.report import main_scores
from napari_unet.data.read.folder import natural_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unet.batch.manifest import Record

WAITING, AT_WORK, DONE, FAILED = "waiting", "at work", "done", "failed"
TABLE, PAGE = "batch.csv", "batch.html"


@dataclass
class Row:
    """An image of a batch.

    Attributes
    ----------
    item : Item
    state : str
        `WAITING`, `AT_WORK`, `DONE` or `FAILED`.
    reason : str
        Why it failed.
    files : dict of str to str
        Its results, relative to the output folder.
    facts : dict
        As in `napari_unet.events.ItemDone`.
    outlook : dict
        As of `napari_unet.batch.outlook.Outlook`; empty until it is looked at.
    """

    item: Item
    state: str = WAITING
    reason: str = ""
    files: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    outlook: dict[str, Any] = field(default_factory=dict)

    def settle(self, state: str, reason: str = "", **found: Any) -> None:
        """Note what became of it."""
        self.state, self.reason = state, reason
        self.files, self.facts = found.get("files", {}), found.get("facts", {})

    @property
    def megapixels(self) -> float | None:
        """How many are predicted."""
        return self.facts["pixels"] / 1e6 if "pixels" in self.facts else None

    @property
    def scores(self) -> dict[str, float]:
        """Those that say most, by name."""
        return main_scores(self.facts.get("scores", {}))

    @property
    def shape(self) -> list[int] | None:
        """Its lengths, as far as its header tells."""
        return self.outlook.get("shape") or None


class Column(NamedTuple):
    """A column of the table.

    Attributes
    ----------
    title, hint : str
    value : callable
        Returns what a row is sorted by; None where nothing is known.
    words : callable
        Returns what a row shows, of what `value` returned.
    more : callable
        Returns all there is to say of a row.
    """

    title: str
    hint: str
    value: Callable[[Row], Any]
    words: Callable[[Any], str] = str
    more: Callable[[Row], str] = lambda row: ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _first_score(row: Row) -> float | None:
    return next(iter(row.scores.values()), None)


def _all_scores(row: Row) -> str:
    found = (f"{name} {value:.4g}" for name, value in row.scores.items())
    return ", ".join(found)


_IMAGE = Column(
    "image",
    "Its path below the folder that was given.",
    lambda row: natural_key(row.item.name),
    more=lambda row: str(row.item.image),
)
_STATE = Column("state", "What became of it.", lambda row: row.state)

RESULTS = (
    _IMAGE,
    _STATE,
    Column("megapixels", "Predicted.", lambda row: row.megapixels, _number),
    Column("seconds", "It took.", lambda row: row.facts.get("seconds"), _number),
    Column("objects", "Found.", lambda row: row.facts.get("objects"), _number),
    Column("score", "By its truth.", _first_score, _number, _all_scores),
    Column(
        "why it failed",
        "What to do about it.",
        lambda row: row.reason or None,
        more=lambda row: row.reason,
    ),
)
"""What a batch that runs, or has run, says of an image."""

PLAN = (
    _IMAGE,
    _STATE,
    Column(
        "size",
        "Its lengths.",
        lambda row: row.shape,
        lambda shape: " × ".join(map(str, shape)),
        lambda row: row.outlook.get("axes", ""),
    ),
    Column("tiles", "To compute.", lambda row: row.outlook.get("tiles"), _number),
    Column(
        "memory (MB)",
        "That it takes at most.",
        lambda row: (row.outlook.get("memory") or 0) / 1e6 or None,
        _number,
    ),
    Column(
        "seconds",
        "By the speed of the network alone.",
        lambda row: row.outlook.get("seconds"),
        _number,
    ),
    Column(
        "problem",
        "Why it would fail.",
        lambda row: row.outlook.get("problem") or None,
        more=lambda row: row.outlook.get("problem", ""),
    ),
)
"""What a look at a batch, before it runs, says of an image."""


def survey(inputs: Sequence[str], out: Path, truth: Path | None) -> list[Row]:
    """List the images of a batch, and what became of each in earlier runs.

    Where no input is named, those that `out` knows of are listed.

    Raises
    ------
    UNetError
        As `list_items` does.
    OSError
        If a folder cannot be read.
    """
    records = read_records(out)
    items = list_items(inputs, out, truth) if inputs else _known_items(out, records)
    rows = [Row(item) for item in items]
    for row in rows:
        if (record := records.get(row.item.name)) is not None:
            row.settle(
                record.state, record.reason, files=record.files, facts=record.facts
            )
    return rows


def _known_items(out: Path, records: dict[str, Record]) -> list[Item]:
    """Return the images that an output folder has results of."""
    paths: dict[str, str] = {}
    if (out / TABLE).is_file():
        with (out / TABLE).open(newline="", encoding="utf-8") as file:
            paths = {each["name"]: each["image"] for each in csv.DictReader(file)}
    names = sorted(records, key=natural_key)
    return [Item(name, Path(paths.get(name, name))) for name in names]
