"""A prediction that is killed goes on, and ends with the bytes of an unbroken one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_unet.config import NetworkConfig, PredictionConfig
from napari_unet.data import Classes, open_stack, write_stack
from napari_unet.data.write.ledger import NAME
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction.engine import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.prediction.block import Block, Place

WORK = """
import sys
from pathlib import Path
from napari_unet.config import OutputConfig, PredictionConfig
from napari_unet.data import open_stack
from napari_unet.data.write import chunks
from napari_unet.events import PredictionFinished
from napari_unet.model import Model
from napari_unet.prediction import predict_to_files

chunks.CHUNK = 40  # many chunks, that are not those of the tiles
folder, out, version, precision = sys.argv[1:]
config = PredictionConfig("cpu", precision, tile=64, minimum_size=2)
for event in predict_to_files(
    Model.load(Path(folder) / "model.safetensors"),
    open_stack(Path(folder) / "image.tif"),
    Path(out),
    config,
    files=OutputConfig(ome_zarr=version),
    probabilities=True,
    objects=True,
    region="0:4,3:210,0:190",
):
    pass
assert isinstance(event, PredictionFinished)
"""


def start(folder: Path, out: Path, version: str, precision: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORK, str(folder), str(out), version, precision]
    return subprocess.Popen(command, env=environment)


def entries(out: Path) -> int:
    ledger = out.with_name(f"{out.name}.part") / NAME
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def written(out: Path) -> dict[str, int]:
    """Return when each chunk was written that the ledger of a killed process names."""
    ledger = out.with_name(f"{out.name}.part") / NAME
    lines = ledger.read_bytes().split(b"\n")[1:-1]
    chunks = [entry[0] for entry in map(json.loads, lines) if isinstance(entry, list)]
    return {name: (ledger.parent / name).stat().st_mtime_ns for name in chunks}


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network and an image that gives it objects."""
    folder = tmp_path_factory.mktemp("killed")
    config = NetworkConfig(1, 2, depth=2, width=4)
    torch.manual_seed(0)
    classes = Classes((0, 255), names=("background", "foreground"))
    Model(build_network(config).eval(), config, classes).save(
        folder / "model.safetensors"
    )
    pixels = np.random.default_rng(0).integers(0, 255, (4, 230, 190)).astype(np.uint8)
    write_stack(
        folder / "image.tif", pixels, shape=pixels.shape, axes="ZYX", dtype="uint8"
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "precision", "kills"), [("0.5", "fp32", 3), ("0.4", "bf16", 1)]
)
def test_the_bytes_are_those_of_an_unbroken_one(
    folder: Path, tmp_path: Path, version: str, precision: str, kills: int
) -> None:
    whole, broken = tmp_path / "whole.zarr", tmp_path / "broken.zarr"
    process = start(folder, whole, version, precision)
    most = 0
    while process.poll() is None:
        most = max(most, entries(whole))
        time.sleep(0.001)
    assert process.returncode == 0
    assert most > 200

    rng = random.Random(version)
    moments = sorted(rng.randrange(1, most) for _ in range(kills))
    for moment in moments:
        process = start(folder, broken, version, precision)
        while process.poll() is None and entries(broken) < moment:
            time.sleep(0.001)
        time.sleep(0.01 * rng.random())
        process.kill()
        process.wait()
    assert not broken.exists()
    done = written(broken)
    assert len(done) > moments[-1] / 2
    assert start(folder, broken, version, precision).wait() == 0
    assert files(broken) == files(whole)
    # Nothing that was whole is written again.
    assert {name: (broken / name).stat().st_mtime_ns for name in done} == done
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "broken.zarr",
        "whole.zarr",
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_tile_does_not_depend_on_those_computed_with_it(
    folder: Path, precision: str
) -> None:
    """A single window may be computed by other instructions than several at once."""
    work = prepare(
        Model.load(folder / "model.safetensors"),
        open_stack(folder / "image.tif"),
        PredictionConfig("cpu", precision, tile=64),
    )

    def blocks(wanted: Place | None = None) -> list[Block]:
        found = work.blocks(
            probabilities=True, skip=lambda place: wanted not in (None, place)
        )
        return [each for each in found if not isinstance(each, int)]

    for one in blocks()[::29]:
        (again,) = blocks(one.place)
        np.testing.assert_array_equal(again.probabilities, one.probabilities)
