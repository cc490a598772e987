"""What the reports of all kinds of evaluation have in common."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


class Report(Protocol):
    """Scores as a console and a JSON file take them."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers."""

    def table(self) -> RenderableType:
        """Return the scores for a rich console."""


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


def plain_text(table: RenderableType, width: int = 88) -> str:
    """Return a table as plain text, for a file."""
    from rich.console import Console

    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None)
    console.print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n"
