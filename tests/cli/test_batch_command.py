from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

import napari_unet as nu
from napari_unet.cli import main
from napari_unet.config import NetworkConfig
from napari_unet.data import Classes
from napari_unet.events import BatchFinished, Event

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Predict two images in a folder, one of them broken."""
    from napari_unet.networks import build_network

    config = NetworkConfig(depth=1, width=2)
    model = nu.Model(build_network(config), config, Classes((0, 255)))
    model.save(tmp_path / "model.safetensors")
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/a.tif", np.eye(32, dtype=np.uint8))
    (tmp_path / "in/b.tif").write_bytes(b"nothing")
    return [
        *("batch", str(tmp_path / "model.safetensors"), str(tmp_path / "in")),
        *("--out", str(tmp_path / "out")),
    ]


def test_a_dry_run_says_what_would_be_done(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--dry-run"]) == 1  # one would fail
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.startswith("a.tif: YX 32 × 32, 1 tile of")
    assert "a.labels.tif" in first
    assert second.startswith("b.tif: would fail: ")
    assert total.startswith("2 images, 1 would fail; about 0:00:")
    assert not (tmp_path / "out").exists()
    assert main([*command, "--dry-run", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["shape"] == [32, 32]
    assert lines[-1]["images"] == 2
    assert lines[-1]["memory"] == lines[0]["memory"] > 0


def test_events_are_lines_of_json_and_failures_an_exit_code(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--json"]) == 1
    said = capsys.readouterr()
    events = [Event.from_json(line) for line in said.out.splitlines()]
    assert [type(each).__name__ for each in events if "b.tif" in repr(each)] == [
        "BatchStarted",
        "ItemFailed",
    ]
    last = events[-1]
    assert isinstance(last, BatchFinished)
    assert (last.done, last.failed) == (1, 1)
    assert "1 of 2 images failed" in said.err
    again = nu.batch(
        tmp_path / "model.safetensors", tmp_path / "in", tmp_path / "out", tile=None
    )
    assert again == last


def test_nothing_is_drawn_where_nothing_is_done(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--truth", str(tmp_path / "typo")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"napari-unet: There is no folder {tmp_path / 'typo'} of masks to score by. "
        "Check the spelling, and whether the drive is there."
    ]
    assert main([*command, "--quiet"]) == 1
    capsys.readouterr()
    assert main(command) == 1
    first, *others, last = capsys.readouterr().err.splitlines()
    assert first == "2 images, 0 to predict, 1 done before."
    assert " ".join(others).startswith("1 failed in an earlier run")
    assert "0 of 0" not in " ".join(others)
    assert last.startswith("napari-unet: 1 of 2 images failed")
