"""The benchmarks run; what they measure is looked at by people."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).parents[1] / "benchmarks"
SHARED = ("batch", "memory", "prediction", "run", "timing")
TINY = {"depth": 1, "width": 2}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import a benchmark as its command does, to time each thing once."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(importlib.import_module("timing"), "ROUNDS", 1)
    yield importlib.import_module
    for name in SHARED:
        sys.modules.pop(name, None)


def test_the_share_of_a_training_outside_the_network_is_one(benchmark: Any) -> None:
    assert float(benchmark("run").training_overhead().split()[0]) < 100


def test_memory_is_compared(benchmark: Any) -> None:
    measured = benchmark("memory").stack_memory(1, 2, 256, **TINY)
    assert 0.5 < float(measured.split()[0]) < 2
    assert "MB for 1 sections of 256²" in measured


@pytest.mark.slow
def test_start_up_takes_longer_than_loading_torch(benchmark: Any) -> None:
    assert float(benchmark("memory").start_up().split()[0]) > 1


def test_other_ways_give_labels_of_the_same_pixels(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction = benchmark("prediction")
    monkeypatch.setattr(prediction, "STEPS", 2)
    monkeypatch.setattr(prediction, "LARGEST", 64)
    case = prediction.Case(8, 2, 128, "much", without=("onnx", "openvino"))
    head, line, row = prediction.table([case], 0)
    assert head.count("|") == line.count("|") == row.count("|")
    assert row.startswith("| base 8, 2 × 128² (for much) |")


def test_a_wider_network_gives_the_same_logits(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction = benchmark("prediction")
    monkeypatch.setattr(prediction, "STEPS", 2)
    models = [prediction.trained_model(width) for width in (8, 16)]
    image = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        narrow, wide = (model.network(image) for model in models)
    torch.testing.assert_close(narrow, wide)


def test_pieces_are_put_together_in_their_order(benchmark: Any) -> None:
    prediction = benchmark("prediction")
    inside = np.random.default_rng(0).random((2, 4096, 4096)) > 0.5
    logits = torch.from_numpy(np.stack([~inside, inside], axis=1)).byte()
    pieces = [piece for section in logits for piece in prediction.cut(section[None])]
    assert len(pieces) == 8
    np.testing.assert_array_equal(prediction.decided(pieces, inside.shape), inside)


def test_a_batch_is_timed_beside_the_engine(benchmark: Any, tmp_path: Path) -> None:
    batch = benchmark("batch")
    case = batch.Case.make(tmp_path, 2, 64)
    (line,) = batch.throughput(case, 1)
    assert float(line.split(": ")[1].split()[0]) > 0
    lines = [*batch.pieces(case, 64), *batch.listing(tmp_path / "many", 3)]
    assert len(lines) == 6
    assert "read the manifest of 3 images" in lines[-1]
