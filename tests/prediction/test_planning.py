from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import napari_unet as nu
from napari_unet.cli import main
from napari_unet.config import NetworkConfig
from napari_unet.data import Classes, write_stack
from napari_unet.errors import ConfigError, ModelError
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction import predict

if TYPE_CHECKING:
    from pathlib import Path


def model(**shape: int) -> Model:
    config = NetworkConfig(**{"depth": 2, "width": 4, **shape})
    torch.manual_seed(0)
    return Model(build_network(config).eval(), config, Classes((0, 255)))


def test_whole_sections_where_they_fit() -> None:
    found = nu.plan(model(), (30, 512, 500), memory="1GB")
    assert (found.window, found.frames, len(found.tiles)) == ((520, 508), 30, 1)
    assert found.twice == 0
    assert 520 * 508 * 4 * 4 * 2 < found.memory < 2**30


def test_less_memory_makes_smaller_tiles_that_compute_more_twice() -> None:
    plans = [nu.plan(model(), (4000, 4000), memory=each) for each in ("1GB", "99MB")]
    assert plans[0].memory > plans[1].memory
    assert plans[0].memory <= 2**30
    assert plans[1].memory <= 99 * 2**20
    assert 0 < plans[0].twice < plans[1].twice
    assert len(plans[0].tiles) < len(plans[1].tiles)
    assert plans[0].halo == (24, 24)


def test_plan_is_that_of_the_prediction() -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 90, 400), dtype=np.uint8)
    found = nu.plan(model(), image, tile=128)
    events: list[object] = []
    predict(model(), image, tile=128, on_event=events.append)
    started = events[0]
    assert started.tiles == 3 * len(found.tiles)  # type: ignore[attr-defined]
    assert started.tile == list(found.window)  # type: ignore[attr-defined]
    region = nu.plan(model(), image, tile=128, region="0:1,0:50,0:60")
    assert (region.frames, len(region.tiles)) == (1, 1)


def test_shape_may_be_of_volumes_and_channels() -> None:
    assert nu.plan(model(dims=3), (2, 20, 64, 64), memory="1GB").frames == 2
    assert nu.plan(model(channels=3), (64, 64)).frames == 1


def test_no_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 to 4 dimensions without its channels"):
        nu.plan(model(), (512,))
    with pytest.raises(ModelError, match="expects 1"):
        nu.plan(model(), np.zeros((3, 20, 20), np.uint8), axes="CYX")


def test_info_shows_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "model.safetensors")
    model().save(tmp_path / "model.safetensors")
    assert main(["info", path, "--shape", "3,100,120", "--memory", "1GB"]) == 0
    shown = capsys.readouterr().out
    assert "tiles 3" in shown
    assert "halo [24, 24]" in shown
    image = tmp_path / "image.tif"
    pixels = np.zeros((3, 100, 120), np.uint8)
    write_stack(image, pixels, shape=pixels.shape, axes="ZYX", dtype="uint8")
    assert main(["info", path, str(image), "--json", "--tile", "64"]) == 0
    found = json.loads(capsys.readouterr().out)["prediction"]
    assert found["tiles"] > 3
    assert max(found["tile"]) <= 64
    assert found["computed_twice"] > 0
    assert found["memory_mb"] >= 0
    assert found["exact"] is True


def test_wrong_shape_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["info", "model", "--shape", "big"])
    assert "not a shape such as 30,512,512" in capsys.readouterr().err
