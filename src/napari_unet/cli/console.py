"""The faces of events on a terminal: a progress bar, JSON lines, or silence."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from napari_unet.events import (
    Event,
    PredictionFinished,
    PredictionStarted,
    StepDone,
    TilesDone,
    TrainingFinished,
    TrainingStarted,
    Validated,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.networks import NetworkInfo

Face = Literal["bar", "json", "quiet"]


def show(
    events: Iterable[Event], face: Face, title: str, *, brief: bool = False
) -> Event | None:
    """Go through all events, showing them; return the last one.

    Parameters
    ----------
    events : iterable of Event
    face : {"bar", "json", "quiet"}
        A progress bar on standard error, lines on standard output, or nothing.
    title : str
        What the bar is called.
    brief : bool
        Whether the bar is one of many: it vanishes, and says nothing but remarks.
    """
    last = None
    with _Bar(title, brief) if face == "bar" else contextlib.nullcontext() as bar:
        for last in events:
            if bar is not None:
                bar.show(last)
            elif face == "json":
                sys.stdout.write(last.to_json() + "\n")
                sys.stdout.flush()
    return last


def show_networks(networks: Iterable[NetworkInfo]) -> None:
    """Print the family, two lines a network."""
    table = Table.grid(padding=(0, 2))
    for each in networks:
        patch = f", patch {each.patch_size}²" if each.patch_size else ""
        table.add_row(each.name, each.line)
        table.add_row(
            "",
            f"{each.parameters:,} parameters ({each.trained:,} trained), depth "
            f"{each.depth}, width {each.width}{patch}; stride {each.stride} px, halo "
            f"{each.halo} px, tiles {'' if each.exact else 'not '}exact",
            style="dim",
        )
    table.add_row(
        "unet-<encoder>",
        "On a pretrained encoder: napari-unet networks --encoders",
    )
    Console().print(table, highlight=False)


def show_facts(facts: dict[str, Any]) -> None:
    """Print what is known of an image, a model or a run, a line each."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in {**facts, **facts.get("history", {})}.items():
        if name != "history" and (words := _words(value)):
            table.add_row(name.replace("_", " "), words)
    Console().print(table, highlight=False, markup=False)


def _words(value: Any) -> str:
    """Write a plain value as people do; nothing for nothing."""
    if isinstance(value, dict):
        parts = {name.replace("_", " "): _words(each) for name, each in value.items()}
        return ", ".join(f"{name} {text}" for name, text in parts.items() if text)
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]" if value else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


class _Bar:
    """A progress bar with what matters beside it."""

    def __init__(self, title: str, brief: bool) -> None:
        self._brief = brief
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            _TimeLeft(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=brief,
        )
        self._task = self._progress.add_task(title, total=1.0, note="", left=None)
        self._score = ""

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Move the bar as the event says."""
        if isinstance(event, TrainingStarted):
            what = "Mask values" if event.classes else "Values to regress"
            self._say(f"{what}: {', '.join(event.mapping)}.")
            self._say(
                f"Training on {event.training}; held out: {event.validation} "
                f"({event.device}, {event.precision})."
            )
            for text in filter(None, (event.transfer, event.remark)):
                self._say(text)
        elif isinstance(event, PredictionStarted):
            if not self._brief:
                self._say(
                    f"{event.sections} section(s) in {event.tiles} tile(s) of up to "
                    f"{' × '.join(map(str, event.tile))} pixels ({event.device}, "
                    f"{event.precision})."
                )
            for remark in event.remarks:
                self._say(remark)
        elif isinstance(event, Validated):
            name = "mean IoU" if event.r2 is None else "R²"
            self._score = f", {name} {event.smoothed:.3f}"
        elif isinstance(event, StepDone):
            rate = event.step / event.elapsed if event.elapsed else 0
            note = f"{rate:.1f} steps/s, loss {event.loss:.3f}{self._score}"
            self._move(event.progress, event.remaining, note)
        elif isinstance(event, TilesDone):
            self._count(event)
        elif isinstance(event, TrainingFinished | PredictionFinished):
            self._move(1.0, 0.0, "")

    def _say(self, text: str) -> None:
        self._progress.console.print(text, style="dim", highlight=False)

    def _move(self, share: float, left: float, note: str) -> None:
        self._progress.update(self._task, completed=share, left=left, note=note)

    def _count(self, event: TilesDone) -> None:
        elapsed = self._progress.tasks[0].elapsed or 0.0
        left = elapsed * (event.total / event.done - 1)
        rate = event.done / elapsed if elapsed else 0.0
        self._move(event.done / event.total, left, f"{rate:.1f} tiles/s")


class _TimeLeft(ProgressColumn):
    """The time left, as the events estimate it."""

    def render(self, task: Task) -> Text:
        """Return it as minutes and seconds."""
        left = task.fields["left"]
        if left is None:
            return Text("starting")
        return Text(f"{int(left) // 60}:{int(left) % 60:02d} left")
