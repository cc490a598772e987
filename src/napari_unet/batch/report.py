"""What became of each image of a batch: a table, and a page to read."""

from __future__ import annotations

import html
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.files import write_text
from napari_unet.prediction.table import Table, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_unet.batch.inputs import Item
    from napari_unet.batch.manifest import Record

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em .2em 0;text-align:left;"
    "border-bottom:1px solid #8886;vertical-align:top}:root{color-scheme:light dark}"
)


def write_reports(
    out: Path, model: Path, items: Sequence[Item], records: Mapping[str, Record]
) -> list[Path]:
    """Write ``batch.csv``, a row for each image, and ``batch.html``.

    Returns
    -------
    list of Path
    """
    csv, page = report_files(out)
    table = tabulate(items, records)
    write_table(csv, table, overwrite=True)
    write_text(page, write_page(model, table))
    return [csv, page]


def report_files(out: Path) -> tuple[Path, Path]:
    """Return where the table and the page are."""
    return out / "batch.csv", out / "batch.html"


def tabulate(items: Sequence[Item], records: Mapping[str, Record]) -> Table:
    """Return a row for each image: what became of it, and its figures."""
    rows = [_row(item, records.get(item.name)) for item in items]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if all(isinstance(each, str) for each in values):
            columns[name] = np.array(values, dtype=object)
        else:
            numbers = [np.nan if each is None else each for each in values]
            columns[name] = np.array(numbers, dtype=float)
    return Table(columns)


def _row(item: Item, record: Record | None) -> dict[str, Any]:
    facts = record.facts if record else {}
    row = {
        "name": item.name,
        "image": str(item.image),
        "state": record.state if record else "waiting",
        "reason": record.reason if record else "",
        "megapixels": facts["pixels"] / 1e6 if "pixels" in facts else None,
        "seconds": facts.get("seconds"),
    }
    if "objects" in facts:
        row["objects"] = facts["objects"]
    return {**row, **main_scores(facts.get("scores", {}))}


def main_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that say most, by name."""
    found: dict[str, float] = {}
    for name in ("mean_iou", "mean_dice", "v_rand", "v_info", "r2", "rmse"):
        for part in (scores, *(each for each in scores.values() if _is_dict(each))):
            if isinstance(part.get(name), int | float):
                found.setdefault(name, float(part[name]))
    return found


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def write_page(model: Path, table: Table) -> str:
    """Return the report as HTML: how many, what failed and why, and the scores."""
    states = list(table["state"])
    counts = {each: states.count(each) for each in ("done", "failed", "waiting")}
    head = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    pixels = float(np.nansum(table["megapixels"]))
    now = datetime.now().astimezone()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Batch</title>",
        f"<style>{_STYLE}</style><h1>{len(table)} images: {head}</h1>",
        f"<p>Model {html.escape(str(model))}, {pixels:.1f} megapixels, "
        f"{now:%Y-%m-%d %H:%M}. Every figure is in batch.csv.</p>",
    ]
    if counts["failed"]:
        failed = table["state"] == "failed"
        rows = zip(table["name"][failed], table["reason"][failed], strict=True)
        parts += ["<h2>Failed</h2>", _html_table(("image", "why"), rows)]
    scores = [name for name in table.columns if name in _SCORES]
    if scores:
        means = [(_SCORES[name], *_spread(table[name])) for name in scores]
        head_row = ("score", "images", "mean", "lowest", "highest")
        parts += ["<h2>Scores</h2>", _html_table(head_row, means)]
    return "".join(parts) + "</html>\n"


_SCORES = {
    "mean_iou": "mean IoU",
    "mean_dice": "mean Dice",
    "v_rand": "V_rand",
    "v_info": "V_info",
    "r2": "R²",
    "rmse": "RMSE",
}


def _spread(values: Any) -> tuple[str, ...]:
    known = values[~np.isnan(values)]
    figures = (known.mean(), known.min(), known.max()) if len(known) else ()
    return str(len(known)), *(f"{each:.4f}" for each in figures)


def _html_table(head: Sequence[str], rows: Any) -> str:
    lines = ["<table><tr>", *(f"<th>{html.escape(each)}</th>" for each in head)]
    for row in rows:
        cells = (f"<td>{html.escape(str(each))}</td>" for each in row)
        lines += ["<tr>", *cells]
    return "".join([*lines, "</table>"])
