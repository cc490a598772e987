"""The commands of the tutorial run, on small data and a real cluster."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.config import ClusterConfig
from napari_unet.data import write_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "batch.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


def save(path: Path, values: int) -> None:
    pixels = np.random.default_rng(0).integers(0, values, (3, 70, 80), np.uint8)
    pixels *= np.uint8(255 // (values - 1))
    write_stack(path, pixels, shape=pixels.shape, axes="ZYX", dtype="uint8")


@pytest.fixture
def folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The files that the tutorial speaks of."""
    (tmp_path / "runs/membranes").mkdir(parents=True)
    model.rename(tmp_path / "runs/membranes/model.safetensors")
    for name in ("day 1/a", "day 2/b"):
        save(tmp_path / "stacks" / f"{name}.tif", 256)
        save(tmp_path / "truth" / f"{name}_mask.tif", 2)
    (table,) = (text for kind, text in BLOCKS if not kind)
    (tmp_path / "list.csv").write_text(table)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of a cluster that ends
def test_the_tutorial(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMANDS) == 8
    here = [line for line in COMMANDS if "--scheduler" not in line]
    for line in here:
        assert main([*shlex.split(line)[1:]]) == 0, capsys.readouterr().err
    assert "2 images, 0 would fail" in capsys.readouterr().out
    expected = {
        "results": ["day 1/a.labels.tif", "batch.html"],
        "all": ["day 1/a.prob.tif", "day 2/b.objects.csv", "batch.csv"],
        "stores": ["day 2/b.prediction.zarr"],
        "some": ["stacks/day 1/a.labels.tif"],
    }
    for out, names in expected.items():
        assert [name for name in names if not (folder / out / name).exists()] == []
    assert "mean IoU" in (folder / "all/batch.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_tutorial_on_a_cluster(folder: Path) -> None:
    pytest.importorskip("distributed")
    from napari_unet.batch.cluster import connect

    there = [line for line in COMMANDS if "--scheduler" in line]
    assert len(there) == 2
    with connect(ClusterConfig(workers=2)) as client:  # over TCP
        client.write_scheduler_file("scheduler.json")
        for number, line in enumerate(there):
            address = line.replace("tcp://10.0.0.1:8786", client.scheduler.address)
            out = address.replace("--out results", f"--out there{number}")
            assert main([*shlex.split(out)[1:], "--quiet"]) == 0
    first, second = (
        [path.read_bytes() for path in sorted(Path(out).rglob("*.tif"))]
        for out in ("there0", "there1")
    )
    assert first == second
    assert len(first) == 2
