"""What the benchmarks share: clocks, and a model to measure with."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7


def in_turn(
    first: Callable[[], object], second: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Time two functions in turn, after one round that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for function, times in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return seconds[0][1:], seconds[1][1:]


def median(seconds: list[float]) -> float:
    """Return the median."""
    return statistics.median(seconds)


def ratio(first: list[float], second: list[float]) -> float:
    """Return the median of first over second, pair by pair."""
    return median([a / b for a, b in zip(first, second, strict=True)])


def python(*words: object) -> str:
    """Run a fresh Python with those arguments; return what it prints."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def untrained_model(**options: Any) -> Any:
    """Return a model of two classes with random weights."""
    from napari_unet.config import NetworkConfig
    from napari_unet.data import Classes
    from napari_unet.model import Model
    from napari_unet.networks import build_network

    config = NetworkConfig(**options)
    return Model(build_network(config).eval(), config, Classes((0, 255)))
