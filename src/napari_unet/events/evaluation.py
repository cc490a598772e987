"""What an evaluation reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_unet.events.event import Event


@dataclass(frozen=True)
class EvaluationFinished(Event):
    """A prediction is compared with its truth.

    Attributes
    ----------
    headline : dict of str to str
        The scores it is judged by first.
    tables : list of dict
        `napari_unet.evaluation.score_tables.ScoreTable` as plain values.
    remarks : list of str
        What a reader of the scores should know.
    words : str
        What kinds of errors there are; empty for values.
    sections : dict or None
        `napari_unet.evaluation.section_scores.SectionScores` as plain values.
    scores : dict
        All of it, as ``evaluate --json`` gives it.
    page : str
        The file of the report.
    errors : str
        The .npy file of the map of errors, rows and columns last.
    """

    headline: dict[str, str]
    tables: list[dict[str, Any]]
    remarks: list[str]
    words: str
    sections: dict[str, Any] | None
    scores: dict[str, Any]
    page: str
    errors: str
