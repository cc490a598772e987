"""The benchmarks run; what they measure is looked at by people."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROUNDS", 1)
    return module


@pytest.mark.parametrize("name", ["prediction_speed", "training_overhead"])
def test_a_benchmark_gives_a_number(benchmarks: Any, name: str) -> None:
    assert float(getattr(benchmarks, name)().split()[0]) < 100
