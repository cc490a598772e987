from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

import napari_unet as nu
from napari_unet.config import NETWORKS, NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack
from napari_unet.errors import ConfigError
from napari_unet.events import PredictionStarted
from napari_unet.model import Model
from napari_unet.networks import build_network, measure_geometry
from napari_unet.networks.family import FAMILY, VOLUMES, Member
from napari_unet.networks.listing import count_parameters, list_networks
from napari_unet.networks.unet import UNet
from napari_unet.prediction.engine import INEXACT
from napari_unet.prediction.sections import predict_events

if TYPE_CHECKING:
    from napari_unet.networks.blocks import Level


def test_the_names_that_are_offered_are_those_of_the_family() -> None:
    assert tuple(FAMILY | VOLUMES) == NETWORKS
    assert [each.name for each in list_networks()] == list(NETWORKS)


def test_the_list_counts_for_the_channels_and_classes_asked_for() -> None:
    infos = {each.name: each for each in nu.networks(channels=3, classes=3)}
    assert infos["unet-xception"].parameters == 2_058_979
    assert infos["unet-xception"].trained == 2_058_979 - 3_776
    paper = {each.name: each for each in nu.networks()}["unet-2015"]
    assert (paper.parameters, paper.stride, paper.exact) == (31_030_658, 16, True)
    assert (paper.halo, paper.patch_size, paper.depth, paper.width) == (96, 572, 4, 64)
    with pytest.raises(dataclasses.FrozenInstanceError):
        paper.name = "other"  # type: ignore[misc]


def test_channels_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"channels is 0.*from 1 to 64"):
        nu.networks(channels=0)


def test_running_statistics_are_counted_but_not_trained() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3))
    assert count_parameters(network) == (3 + 3 + 4 * 3, 3 + 3 + 2 * 3)


class GroupNormUNet(UNet):
    """A network whose tiles cannot equal the whole."""

    def encode(self, inputs: int, level: Level) -> nn.Module:
        block = super().encode(inputs, level)
        assert isinstance(block, nn.Sequential)
        return block.append(nn.GroupNorm(1, level.features))


@pytest.fixture
def inexact(monkeypatch: pytest.MonkeyPatch) -> NetworkConfig:
    monkeypatch.setitem(FAMILY, "unet-group", Member("Group norm.", GroupNormUNet))
    return NetworkConfig(depth=1, width=2, name="unet-group")


def test_a_network_that_sees_all_of_a_tile_is_said_to_be_inexact(
    inexact: NetworkConfig,
) -> None:
    same = measure_geometry(dataclasses.replace(inexact, name="unet"))
    other = measure_geometry(inexact)
    assert (other.stride, other.radius) == (same.stride, same.radius)
    assert (other.exact, same.exact) == (False, True)
    assert [each.name for each in list_networks() if not each.exact] == ["unet-group"]
    model = Model(build_network(inexact), inexact, Classes((0, 1)))
    assert model.info()["exact"] is False


@pytest.mark.parametrize("tile", [32, 512])
def test_its_tiles_are_remarked_on_and_a_whole_image_is_not(
    inexact: NetworkConfig, tile: int, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = Model(build_network(inexact).eval(), inexact, Classes((0, 1)), name="mine")
    stack = Stack(np.zeros((90, 90), np.uint8), "YX")
    config = PredictionConfig("cpu", "fp32", tile=tile)
    with caplog.at_level(logging.WARNING):
        started = next(predict_events(model, stack, config, lambda *section: None))
    assert isinstance(started, PredictionStarted)
    assert started.remarks == ([INEXACT] if tile == 32 else [])
    assert [each.getMessage() for each in caplog.records] == [
        f"mine: {remark}" for remark in started.remarks
    ]
