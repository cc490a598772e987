"""Measures how long the event loop does not come round, and whose work it was at."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

TICK = 5  # milliseconds
NOTICED = 50  # milliseconds: a longer gap is a stall
_SAMPLED = 0.01  # seconds without a tick before the stack is looked at
_OURS = "/napari_unet/"
_IDLE = ("threading.py", "selectors.py", "queue.py", "connection.py")


@dataclass
class Gap:
    """The time between two ticks, in milliseconds.

    Attributes
    ----------
    wall, processor : float
        How long it was, and how much of that the main thread computed.
    ours, computed : float
        How much of `wall`, and of `processor`, code of ours was on that thread's stack.
    places : Counter
        Milliseconds by place: the outermost and the innermost function of ours.
    others : Counter
        Milliseconds by place where none of ours was on the stack.
    threads : Counter
        Milliseconds that code of ours was at work in another thread meanwhile.
    """

    wall: float = 0.0
    processor: float = 0.0
    ours: float = 0.0
    computed: float = 0.0
    places: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    threads: Counter[str] = field(default_factory=Counter)


class Gaps:
    """Notes every gap of the event loop it was made in.

    A timer wants to tick every 5 ms. A thread looks at the main thread's stack while
    it does not; where that is in compiled code that keeps the interpreter, the look
    comes right after it, and counts for all the time since the last one.
    """

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._main = threading.get_ident()
        self._processor = _clock_of(self._main)
        self._timer = QTimer(interval=TICK, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._over = False
        self.start()
        threading.Thread(target=self._look, daemon=True).start()
        self._timer.start()

    def start(self) -> None:
        """Forget all that was noted."""
        self.all: list[Gap] = []
        self._gap = Gap()
        self._clocks = time.perf_counter(), self._processor()

    def end(self) -> None:
        """Measure no more."""
        self._over = True
        self._timer.stop()

    def _tick(self) -> None:
        wall, processor = time.perf_counter(), self._processor()
        gap, self._gap = self._gap, Gap()
        gap.wall = 1000 * (wall - self._clocks[0])
        gap.processor = 1000 * (processor - self._clocks[1])
        self._clocks = wall, processor
        self.all.append(gap)

    def _look(self) -> None:
        before = time.perf_counter(), self._processor()
        while not self._over:
            time.sleep(TICK / 1000)
            gap, ticked = self._gap, self._clocks
            now = time.perf_counter(), self._processor()
            if now[0] - ticked[0] > _SAMPLED:
                passed = [
                    1000 * (new - max(old, tick))
                    for new, old, tick in zip(now, before, ticked, strict=True)
                ]
                self._note(gap, *passed, sys._current_frames())
            before = now

    def _note(
        self, gap: Gap, taken: float, computed: float, stacks: dict[int, FrameType]
    ) -> None:
        place = place_of_ours(stacks.pop(self._main))
        if place.startswith("not ours"):
            gap.others[place] += taken
        else:
            gap.ours += taken
            gap.computed += computed
            gap.places[place] += taken
        for stack in stacks.values():
            waits = stack.f_code.co_filename.endswith(_IDLE)
            place = "" if waits else place_of_ours(stack)
            if place and not place.startswith("not ours"):
                gap.threads[place] += taken


def _clock_of(thread: int) -> Callable[[], float]:
    """Return what tells for how long a thread has computed."""
    if hasattr(time, "pthread_getcpuclockid"):
        return partial(time.clock_gettime, time.pthread_getcpuclockid(thread))
    return time.perf_counter  # it cannot be told: as if it had always computed


def place_of_ours(stack: FrameType | None) -> str:
    """Name the outermost and the innermost function of ours on a stack."""
    top = stack
    ours: list[str] = []
    while stack is not None:
        code = stack.f_code
        if _OURS in code.co_filename:
            module = code.co_filename.rpartition(_OURS)[2].removesuffix(".py")
            ours.append(f"{module}.{code.co_name}")
        stack = stack.f_back
    if ours:
        return " > ".join(dict.fromkeys((ours[-1], ours[0])))
    assert top is not None
    return f"not ours: {Path(top.f_code.co_filename).name} {top.f_code.co_name}"


@dataclass(frozen=True)
class Summary:
    """What was noted in a scene; times in milliseconds.

    Attributes
    ----------
    p50, p99, longest : float
        Of the gaps.
    over : tuple of int
        How many were longer than 50, 100 and 200.
    due : int
        How many longer than 50 would not have been without the part of ours.
    part, computed : float
        The longest part of ours in one gap, and the most of it that was computing.
    places : list of (str, float)
        Where the parts of ours longer than 10 were, the longest in each place.
    """

    p50: float
    p99: float
    longest: float
    over: tuple[int, ...]
    due: int
    part: float
    computed: float
    places: list[tuple[str, float]]

    @classmethod
    def of(cls, gaps: list[Gap]) -> Summary:
        """Sum gaps up."""
        walls = np.array([gap.wall for gap in gaps] or [0.0])
        longest: dict[str, float] = {}
        for gap in gaps:
            for place, taken in gap.places.items():
                longest[place] = max(taken, longest.get(place, 0.0))
        return cls(
            *(float(each) for each in np.percentile(walls, [50, 99])),
            float(walls.max()),
            tuple(int((walls > limit).sum()) for limit in (50, 100, 200)),
            sum(gap.wall > NOTICED >= gap.wall - gap.ours for gap in gaps),
            max((gap.ours for gap in gaps), default=0.0),
            max((gap.computed for gap in gaps), default=0.0),
            sorted(
                ((place, ms) for place, ms in longest.items() if ms > 10),
                key=lambda each: -each[1],
            ),
        )

    def row(self, name: str) -> str:
        """Return it as a row of the table."""
        over = " | ".join(map(str, self.over))
        return (
            f"| {name} | {self.p50:.0f} | {self.p99:.0f} | {self.longest:.0f} "
            f"| {over} | {self.due} | {self.part:.0f} | {self.computed:.0f} |"
        )


HEAD = (
    "| scene | p50 | p99 | longest | >50 | >100 | >200 | due to us | longest of us "
    "| of it processor |"
)
