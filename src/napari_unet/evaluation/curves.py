"""The picture of a training: its loss, its rate, and each class's scores over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import UNetError
from napari_unet.evaluation.picture import CLASS_COLOURS, save, smooth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    Log = Sequence[dict[str, Any]]

SCORES = {"iou": "IoU", "dice": "Dice", "precision": "precision", "recall": "recall"}
VALUES = {"r2": "R²", "mae": "MAE", "rmse": "RMSE"}
LOSS, HELD_OUT = "#0072B2", "#D55E00"
MOST_NAMED = 12  # classes; a longer legend would cover the picture


def curves_picture(path: str | Path, log: Log, *, title: str = "") -> Path:
    """Draw the curves of a training as a PNG, a panel for each quantity.

    Parameters
    ----------
    path : path
        The PNG; replaced at once when it is complete.
    log : sequence of dict
        The events of a run's ``log.jsonl``.
    title : str
        Line above the picture.

    Returns
    -------
    Path
        Where the picture is.

    Raises
    ------
    UNetError
        If the log holds no step.
    """
    steps = [each for each in log if each["event"] == "StepDone"]
    judged = [each for each in log if each["event"] == "Validated"]
    if not steps:
        raise UNetError("There are no curves to draw: the run has not done a step yet.")
    from matplotlib.figure import Figure

    figure = Figure((12, 7), dpi=130, layout="constrained")
    panels: list[Axes] = figure.subplots(2, 3, sharex=True).ravel().tolist()
    _draw_loss(panels[0], steps, judged)
    _draw_rate(panels[1], steps)
    names = list(dict.fromkeys(name for each in judged for name in each["iou"]))
    regresses = any(each.get("r2") is not None for each in judged)
    scores = VALUES if regresses else SCORES
    for panel, (score, label) in zip(panels[2:], scores.items(), strict=False):
        if regresses:
            _draw_values(panel, judged, score)
        else:
            _draw_score(panel, judged, score, names)
        panel.set_title(label)
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.margins(x=0.01)
    for panel in panels[3:]:
        panel.set_xlabel("training step")
    figure.suptitle(title, parse_math=False)
    if 0 < len(names) <= MOST_NAMED:
        handles = panels[2].get_lines()
        figure.legend(
            handles, names, loc="outside lower center", ncols=6, frameon=False
        )
    return save(figure, Path(path))


def _draw_loss(panel: Axes, steps: Log, judged: Log) -> None:
    done = [each["step"] for each in steps]
    losses = np.array([each["loss"] for each in steps], dtype=float)
    panel.plot(done, losses, color=LOSS, alpha=0.25, linewidth=0.8)
    panel.plot(done, smooth(losses), color=LOSS, linewidth=2, label="training loss")
    if judged:
        panel.plot(
            [each["step"] for each in judged],
            [each["loss"] for each in judged],
            color=HELD_OUT,
            marker="o",
            markersize=3,
            label="plain loss, held out",
        )
    panel.legend(frameon=False, fontsize=8)
    panel.set_title("loss")


def _draw_rate(panel: Axes, steps: Log) -> None:
    panel.plot(
        [each["step"] for each in steps],
        [each["learning_rate"] for each in steps],
        color="black",
    )
    panel.set_ylim(bottom=0)
    panel.set_title("learning rate")


def _draw_score(panel: Axes, judged: Log, score: str, names: list[str]) -> None:
    """Draw a class per line; it has a gap where the score is undefined."""
    done = [each["step"] for each in judged]
    for name, colour in zip(names, _colours(len(names)), strict=True):
        values = [each[score].get(name) for each in judged]
        known = [np.nan if value is None else value for value in values]
        panel.plot(done, known, color=colour, marker="o", markersize=3)
    panel.set_ylim(-0.02, 1.02)


def _draw_values(panel: Axes, judged: Log, score: str) -> None:
    """Draw a score of regression, in the unit of the values."""
    done = [each["step"] for each in judged]
    known = [np.nan if each[score] is None else each[score] for each in judged]
    panel.plot(done, known, color=HELD_OUT, marker="o", markersize=3)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    if count <= len(CLASS_COLOURS):
        return list(CLASS_COLOURS[:count])
    return list(colormaps["turbo"](np.linspace(0, 1, count)))
