from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_unet import Model, train
from napari_unet.config import NetworkConfig, TrainingConfig
from napari_unet.data import Stack
from napari_unet.errors import ConfigError, ModelError
from napari_unet.events import TrainingStarted
from napari_unet.networks import build_network
from napari_unet.training import train_events
from napari_unet.training.transfer import describe_transfer, start_from

if TYPE_CHECKING:
    from pathlib import Path

TINY: dict[str, Any] = {
    "patch_size": 16,
    "precision": "fp32",
    "device": "cpu",
    "checkpoint_every": 0.0,
}
SIZE = {"depth": 1, "width": 4}


def pair() -> tuple[Stack, Stack]:
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, 2, (5, 4, 4)), np.ones((8, 8))).astype(np.uint8)
    image = 80 * labels + random.integers(0, 90, labels.shape)
    return Stack(image.astype(np.uint8), "ZYX"), Stack(labels, "ZYX")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model is to be gone on from."""
    run = tmp_path_factory.mktemp("saved") / "run"
    train(*pair(), run=run, steps=3, **TINY, **SIZE)
    return run


def network_of(**shape: Any) -> tuple[torch.nn.Module, NetworkConfig]:
    config = NetworkConfig(**{"depth": 1, "width": 4, **shape})
    return build_network(config), config


def test_same_shape_takes_everything(saved: Path) -> None:
    network, config = network_of()
    transfer = start_from(network, config, str(saved))
    model = Model.load(saved)
    expected = model.network.state_dict()
    assert network.state_dict().keys() == expected.keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert transfer["drawn"] == []
    assert transfer["model"] == str(saved)
    assert transfer["step"] == model.history["step"]
    assert describe_transfer(transfer).endswith("drawn anew: none.")


def test_other_channels_and_classes_are_drawn_anew_and_named(saved: Path) -> None:
    network, config = network_of(channels=3, classes=5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    transfer = start_from(network, config, str(saved))
    its = Model.load(saved).network.state_dict()
    drawn = ("encoder.0.0.", "head.")
    assert transfer["drawn"] == [name.removesuffix(".") for name in drawn]
    for name, tensor in network.state_dict().items():
        source = before if name.startswith(drawn) else its
        assert torch.equal(tensor, source[name]), name
    text = describe_transfer(transfer)
    assert f"{len(transfer['taken'])} layers taken" in text
    assert "drawn anew: encoder.0.0, head." in text


def test_nothing_that_fits_is_an_error(saved: Path) -> None:
    network, config = network_of(depth=2, width=8)
    with pytest.raises(ConfigError, match="unet of depth 1 and width 4, and this is"):
        start_from(network, config, str(saved))


def test_no_model_is_an_error(saved: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        train(*pair(), init=str(saved / "none"), steps=1, **TINY)


def test_size_is_that_of_the_model_unless_told(saved: Path) -> None:
    model = train(*pair(), init=saved, steps=1, **TINY)
    assert (model.config.depth, model.config.width) == (1, 4)
    with pytest.raises(ConfigError, match="No layer of"):
        train(*pair(), init=saved, steps=1, **TINY, depth=2, width=8)


def test_training_starts_from_the_weights(saved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = TrainingConfig(
        init=str(saved), steps=1, learning_rate=1e-7, weight_decay=0, **TINY
    )
    events = list(train_events([pair()], config, run=run))
    assert isinstance(events[0], TrainingStarted)
    assert "drawn anew: none" in events[0].transfer
    logged = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    assert logged["transfer"] == events[0].transfer
    mine, its = Model.load(run), Model.load(saved)
    for name, tensor in mine.network.named_parameters():
        other = its.network.get_parameter(name)
        torch.testing.assert_close(tensor, other, rtol=0, atol=1e-6)
    assert mine.history["init"]["model"] == str(saved)
    assert mine.history["options"]["init"] == str(saved)
    assert its.history["init"] is None


@pytest.mark.parametrize("killed_at", ["start", "step 2"])
def test_resumed_run_keeps_what_it_started_from(
    saved: Path, tmp_path: Path, killed_at: str
) -> None:
    config = TrainingConfig(init=str(saved), steps=4, **TINY)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    whole = train(*pair(), run=unbroken, init=saved, steps=4, **TINY)
    for event in train_events([pair()], config, run=broken):
        if killed_at == "start" or getattr(event, "step", 0) == 2:
            break
    resumed = train(*pair(), run=broken, resume=True)
    for name, tensor in resumed.network.state_dict().items():
        assert torch.equal(tensor, whole.network.state_dict()[name]), name
    assert resumed.history["init"] == whole.history["init"]
