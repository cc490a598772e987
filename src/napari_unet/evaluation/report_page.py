"""An evaluation as one HTML page that needs nothing but itself."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.errors import OutputExistsError
from napari_unet.evaluation.class_comparison import ClassComparison
from napari_unet.evaluation.error_map import COLOURS, KINDS, MEANING
from napari_unet.evaluation.layout import describe_errors
from napari_unet.evaluation.page_style import STYLE
from napari_unet.evaluation.panels import class_colours, picture_of, section_panels
from napari_unet.evaluation.picture import BLUE, NOT_ANNOTATED, VERMILLION
from napari_unet.evaluation.score_tables import definitions, headline, score_tables
from napari_unet.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_unet.data.stack import Stack
    from napari_unet.evaluation.comparison import Comparison
    from napari_unet.evaluation.layout import Report
    from napari_unet.evaluation.provenance import Provenance
    from napari_unet.evaluation.score_tables import ScoreTable
    from napari_unet.evaluation.section_scores import SectionScores

_MOST_BARS = 300


@dataclass(frozen=True)
class Page:
    """What a report is made of.

    Attributes
    ----------
    comparison : Comparison
        That has scored.
    report : Report
        What came of it.
    images : sequence of Stack
        What was predicted, one beside each truth; or nothing.
    model : Provenance or None
    """

    comparison: Comparison[Any]
    report: Report
    images: Sequence[Stack] = ()
    model: Provenance | None = None

    def html(self) -> str:
        """Return the page, in HTML 5 with all its pictures in it."""
        parts = [
            self._header(),
            self._cards(),
            *(_table(each) for each in score_tables(self.report)),
            self._error_words(),
            self._sections(),
            self._examples(),
            _definitions(definitions(self.report)),
            self._provenance(),
        ]
        title = escape(f"Evaluation of {Path(self.report.prediction).name}")
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n"
            + "\n".join(filter(None, parts))
            + "\n</body></html>\n"
        )

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the page, whole or not at all.

        Raises
        ------
        OutputExistsError
            If there is such a file, and `overwrite` is not set.
        """
        path = Path(path)
        check_free(path, overwrite=overwrite)
        write_text(path, self.html())
        return path

    def _header(self) -> str:
        sections, rows, columns = self.report.shape
        what = f"{sections} section{'s' * (sections > 1)} of {rows} × {columns} pixels"
        name = Path(self.report.prediction).name
        warnings = "".join(
            f'<p class="warn">{escape(each)}</p>' for each in self.report.remarks
        )
        return (
            f"<header><h1>Evaluation of {escape(name)}</h1>"
            f'<p class="faint">against {escape(Path(self.report.truth).name)} · '
            f"{what} · {datetime.now():%Y-%m-%d %H:%M}</p>{warnings}</header>"
        )

    def _cards(self) -> str:
        cards = (
            f'<div class="card"><b>{escape(value)}</b>{escape(name)}</div>'
            for name, value in headline(self.report).items()
        )
        return f'<div class="cards">{"".join(cards)}</div>'

    def _error_words(self) -> str:
        errors = self.report.errors
        return f"<p>{escape(describe_errors(errors))}</p>" if errors else ""

    def _sections(self) -> str:
        scores = self.report.sections
        if scores is None or len(scores.values) < 2:
            return ""
        name = scores.name[0].upper() + scores.name[1:]
        return f"<h2>{escape(name)} of each section</h2>{_plot(scores)}"

    def _examples(self) -> str:
        scores = self.report.sections
        chosen = scores.examples() if scores else {"first": 0}
        parts = [self._example(which, index) for which, index in chosen.items()]
        return "".join(parts) + (self._legend() if parts else "")

    def _example(self, which: str, index: int) -> str:
        scores = self.report.sections
        stack, own = self.comparison.places()[index]
        image = picture_of(self.images[stack], own) if self.images else None
        panels = section_panels(self.comparison, index, image)
        figures = "".join(
            f'<figure><img src="{address}" alt="{title} of section {index}">'
            f"<figcaption>{title}</figcaption></figure>"
            for title, address in panels.items()
        )
        score = f" · {scores.name} {scores.values[index]:.4f}" if scores else ""
        title = f"The {which} section: {index}{score}"
        return f'<h2>{escape(title)}</h2><div class="panels">{figures}</div>'

    def _legend(self) -> str:
        if self.comparison.kind == "values":
            kinds = {"too high": VERMILLION, "too low": BLUE}
        else:
            kinds = {f"{KINDS[kind]}: {MEANING[kind]}": COLOURS[kind] for kind in KINDS}
        if isinstance(self.comparison, ClassComparison):
            named = class_colours(self.comparison.classes.names)
            kinds = {**named, "not annotated": NOT_ANNOTATED, **kinds}
        swatches = "".join(
            f'<span><i class="swatch" style="background:{colour}"></i>'
            f"{escape(name)}</span> "
            for name, colour in kinds.items()
        )
        return f'<p class="legend">{swatches}</p>'

    def _options(self) -> dict[str, Any]:
        """Return what was chosen, and what matters of what was not."""
        given = self.comparison.config.to_dict()
        if self.comparison.kind != "objects":
            del given["object_dims"]
        return given

    def _provenance(self) -> str:
        rows = {
            "prediction": self.report.prediction,
            "truth": self.report.truth,
            "image": ", ".join(each.label for each in self.images[:3]),
            "options": _words(self._options()),
            **(_model_rows(self.model) if self.model else {}),
            "evaluated with": f"napari-unet-lab {version('napari-unet-lab')}, "
            f"Python {platform.python_version()}, NumPy {version('numpy')}",
        }
        if self.model is None:
            rows["model"] = "not known, so neither is whether it has seen these pixels"
        return "<h2>Where it comes from</h2>" + _facts(rows)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputExistsError` if a file exists that may not be replaced."""
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists. Choose another name, or say that it may be overwritten "
            "(--overwrite, overwrite=True)."
        )


def _table(table: ScoreTable) -> str:
    head = _row(table.columns, "th")
    body = "".join(_row(each, "td") for each in table.rows)
    blank = [""] * (len(table.columns) - len(table.foot))
    foot = f"<tfoot>{_row((*table.foot, *blank), 'td')}</tfoot>" if table.foot else ""
    return (
        f'<h2>{escape(table.title)}</h2><div class="scroll"><table><thead>{head}'
        f"</thead><tbody>{body}</tbody>{foot}</table></div>"
    )


def _row(cells: Iterable[str], kind: str) -> str:
    return (
        "<tr>" + "".join(f"<{kind}>{escape(each)}</{kind}>" for each in cells) + "</tr>"
    )


def _facts(rows: Mapping[str, str]) -> str:
    lines = "".join(_row(row, "td") for row in rows.items() if row[1])
    return f'<table class="facts"><tbody>{lines}</tbody></table>'


def _definitions(meanings: Mapping[str, str]) -> str:
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
        for name, text in meanings.items()
    )
    return (
        f"<h2>How it is computed</h2><dl>{lines}</dl><small>TP, FP and FN are found, "
        "added and missed. Pixels that are ignored are left out of everything; a dash "
        "is a score that is undefined.</small>"
    )


def _model_rows(model: Provenance) -> dict[str, str]:
    made = [f"step {model.step}"] if model.step is not None else []
    if model.score is not None:
        made.append(f"validation score {model.score:.4f}")
    return {
        "model": f"{model.name}: {model.network}",
        "model file": model.file,
        "SHA-256 of the model": model.sha256,
        "training": ", ".join(made),
        "trained on": "; ".join(
            filter(None, (", ".join(model.data[:3]), model.training))
        ),
        "held out": model.validation or "",
        "SHA-256 of its data": model.data_sha256 or "",
        "trained with": _words(model.versions),
    }


def _words(values: Mapping[str, Any]) -> str:
    """Write what is set as ``name value``, separated by commas."""
    given = {name: value for name, value in values.items() if value not in (None, [])}
    return ", ".join(f"{name.replace('_', ' ')} {given[name]}" for name in given)


def _plot(scores: SectionScores) -> str:
    """Draw a bar for each section, the examples in a colour, as SVG."""
    values = scores.values[:_MOST_BARS]
    known = [each for each in values if each is not None]
    top = max(known, default=1.0) if scores.lower_is_better else 1.0
    marked = {index: name for name, index in scores.examples().items()}
    width, height = 1000 / len(values), 110.0
    bars = []
    for index, value in enumerate(values):
        tall = max(0.0, (value or 0.0) / (top or 1.0)) * height
        colour = VERMILLION if index in marked else BLUE
        tip = "nothing to score" if value is None else f"{value:.4f}"
        bars.append(
            f'<rect x="{30 + index * width:.1f}" y="{height + 14 - tall:.1f}" '
            f'width="{max(0.8 * width, 0.5):.1f}" height="{tall:.1f}" fill="{colour}">'
            f"<title>section {index}: {tip}</title></rect>"
        )
        if index in marked:
            x = 30 + (index + 0.4) * width
            anchor = "end" if x > 980 else "middle"
            bars.append(
                f'<text x="{x:.1f}" y="{height + 10 - tall:.1f}" '
                f'text-anchor="{anchor}">{marked[index]}</text>'
            )
    return (
        f'<svg viewBox="0 0 1030 {height + 30:g}" role="img">{"".join(bars)}'
        f'<text x="0" y="24">{top:.3g}</text><text x="0" y="{height + 14:g}">0</text>'
        f'<text x="30" y="{height + 28:g}">section 0</text>'
        f'<text x="1030" y="{height + 28:g}" text-anchor="end">{len(values) - 1}</text>'
        "</svg>"
    )
