"""How much memory there is, and how much a window takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SHARE = 0.5
"""Of the free memory, what a prediction takes where nobody says how much it may."""

GAPS = {2: 1.8, 3: 1.9}
"""How many times the features that are held at once the heap of a process grows to,
for sections and for volumes: glibc leaves gaps between them. Measured after three
passes of networks of 16 and 64 features and 3 to 5 levels, in either precision: within
a fifth of it for sections, a third for volumes. On a GPU torch keeps its memory in
order, and there are none."""

PACKED = 1.6
"""Copies of the weights that oneDNN makes in an order of its own, gaps included."""

UNKNOWN = 4 * 2**30
"""What is taken for free where no system says."""


def free_memory() -> int:
    """Return the bytes of main memory that this process may take, or `UNKNOWN`."""
    known = known_memory()
    return UNKNOWN if known is None else known


def known_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of main memory that this process may take; None if not known.

    The least of what the system has available and what the process's control group
    (a container, a batch job) has left.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    found = [_available(root), *_left_in_group(root)]
    known = [each for each in found if each is not None]
    return max(0, min(known)) if known else _by_sysconf()


def _available(root: Path) -> int | None:
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _left_in_group(root: Path) -> list[int]:
    """Return limit less usage, of control groups of version 2 and of version 1."""
    group = root / "sys/fs/cgroup"
    pairs = [(group / "memory.max", group / "memory.current", group / "memory.stat")]
    older = group / "memory"
    pairs.append(
        (
            older / "memory.limit_in_bytes",
            older / "memory.usage_in_bytes",
            older / "memory.stat",
        )
    )
    left = []
    for limit, usage, stat in pairs:
        texts = _read(limit).strip(), _read(usage).strip()
        if all(text.isdigit() for text in texts):
            cached = sum(
                int(line.split()[1])
                for line in _read(stat).splitlines()
                if line.startswith("inactive_file ")
            )
            left.append(int(texts[0]) - int(texts[1]) + cached)
    return left


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _by_sysconf() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows, nor on a Mac
        return None


@dataclass(frozen=True)
class Footprint:
    """What a network takes to predict windows.

    Attributes
    ----------
    per_pixel : float
        Bytes of features, windows and results.
    fixed : int
        Bytes beside, however large windows are: copies of the weights.
    """

    per_pixel: float
    fixed: int

    def bytes(self, pixels: int) -> int:
        """Return what so many pixels at once take."""
        return int(self.per_pixel * pixels) + self.fixed

    def pixels(self, budget: int) -> int:
        """Return how many pixels at once fit a budget of bytes."""
        return int(max(0, budget - self.fixed) / self.per_pixel)
