"""What the reports of all kinds of evaluation have in common."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from napari_unet.evaluation.error_map import ErrorCounts
    from napari_unet.evaluation.section_scores import SectionScores


class Report(Protocol):
    """Scores as a console, a page and a JSON file take them."""

    @property
    def prediction(self) -> str:
        """What was scored."""

    @property
    def truth(self) -> str:
        """What it was compared with."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sections, rows and columns."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the scores should know."""

    @property
    def sections(self) -> SectionScores | None:
        """One score of each section."""

    @property
    def errors(self) -> ErrorCounts | None:
        """What kinds of errors there are."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers."""

    def table(self) -> RenderableType:
        """Return the scores for a rich console."""


def details(
    sections: SectionScores | None, errors: ErrorCounts | None
) -> dict[str, Any]:
    """Return the scores of each section and the errors, as JSON takes them."""
    return {
        "sections": sections.to_dict() if sections else None,
        "errors": asdict(errors) if errors else None,
    }


def heading(prediction: str, truth: str, shape: tuple[int, int, int]) -> Text:
    """Say what was compared."""
    from rich.text import Text

    sections, rows, columns = shape
    text = (
        f"{prediction} against {truth}: "
        f"{sections} section{'s' if sections > 1 else ''} of {rows} × {columns}"
    )
    return Text(text, style="bold")


def figure(score: float | None) -> str:
    """Return a score with four digits, or a dash where it is undefined."""
    return "–" if score is None else f"{score:.4f}"


def describe_errors(errors: ErrorCounts) -> str:
    """Say in a sentence what kinds of errors there are."""
    shares = (errors.missed / errors.scored, errors.false / errors.scored)
    missed, false = (f"{100 * share:.2g} %" for share in shares)
    text = f"Errors: {missed} of the pixels are missed, {false} are false"
    if errors.objects is not None:
        text += (
            f"; of {errors.objects:,} objects of the truth {errors.split:,} are split "
            f"and {errors.merged:,} merged"
        )
    return text + "."


def plain_text(table: RenderableType, width: int = 88) -> str:
    """Return a table as plain text, for a file."""
    from rich.console import Console

    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None)
    console.print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n"
