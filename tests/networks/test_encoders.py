"""U-Nets on encoders of segmentation-models-pytorch; nothing is downloaded."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import napari_unet as nu
from napari_unet.config import NetworkConfig, PredictionConfig, TrainingConfig
from napari_unet.data import Classes
from napari_unet.data.stack import Stack
from napari_unet.errors import ConfigError
from napari_unet.events import CheckpointSaved
from napari_unet.model import Model
from napari_unet.networks import build_network, complete, encoders, measure_geometry
from napari_unet.networks.compute import fold_batch_norm
from napari_unet.networks.encoders import EncoderUNet, freeze, load_published
from napari_unet.networks.family import find_member
from napari_unet.networks.reach import measure_reach
from napari_unet.prediction.engine import FAR
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.sections import predict_events, predict_sections
from napari_unet.training.defaults import complete_training

KINDS = [
    "unet-vgg11",
    "unet-resnet18",
    "unet-resnext50_32x4d",
    "unet-efficientnet-b0",
    "unet-densenet121",
]
SMALL = "unet-timm-tf_efficientnet_lite0"
smp = pytest.importorskip("segmentation_models_pytorch")


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer as a computer without internet and with an empty cache."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    def refuse(*args: Any, **kwargs: Any) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", refuse)
    monkeypatch.setattr("timm.models._hub.hf_hub_download", refuse)


def build(name: str, **options: Any) -> EncoderUNet:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name=name, **{"depth": 5, **options}))
    assert isinstance(network, EncoderUNet)
    return network


def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> nn.Module:
    """Put weights where smp will look for those of an encoder, and return them."""
    from safetensors.torch import save_file

    torch.manual_seed(9)
    encoder = smp.encoders.get_encoder(name)
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
    save_file(encoder.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(
        "segmentation_models_pytorch.encoders.hf_hub_download",
        lambda repo_id, filename, revision: str(tmp_path / filename),
    )
    return encoder


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_goes_forward_and_backward(name: str) -> None:
    network = build(name, channels=2, classes=3, width=4)
    logits = network(torch.randn(2, 2, 32, 64))
    assert logits.shape == (2, 3, 32, 64)
    (logits * torch.randn_like(logits)).sum().backward()
    idle = [
        key
        for key, each in network.named_parameters()
        if each.grad is None or not each.grad.abs().sum() > 0
    ]
    # What follows the last feature map that the decoder takes has no part in it.
    assert [key for key in idle if not key.startswith("encoder._")] == []
    network.eval()
    image = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        expected, folded = network(image), fold_batch_norm(network)(image)
    torch.testing.assert_close(folded, expected, rtol=1e-4, atol=1e-4)


def test_norms_that_rectify_are_not_folded_away() -> None:
    network = build("unet-timm-skresnet18", width=2, depth=3).eval()
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        expected, folded = network(image), fold_batch_norm(network)(image)
    torch.testing.assert_close(folded, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [3, 4])
def test_depth_and_width_are_those_asked_for(depth: int) -> None:
    network = build("unet-resnet18", depth=depth, width=3)
    stride = 2**depth
    assert network(torch.randn(2, 1, stride, 2 * stride)).shape[2:] == (
        stride,
        2 * stride,
    )
    last = network.head[0]
    assert isinstance(last, nn.Conv2d)
    assert last.in_channels == 3
    assert network.decoder.blocks[0].conv2[0].out_channels == 3 * 2 ** (depth - 1)
    geometry = measure_geometry(NetworkConfig(name="unet-resnet18", depth=depth))
    assert geometry.stride == stride


def test_dropout_acts_in_training_only() -> None:
    network = build("unet-resnet18", depth=3, width=2, dropout=0.5)
    network.apply(lambda layer: setattr(layer, "momentum", 0.0))
    image = torch.randn(2, 1, 16, 16)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize(
    ("depth", "dims"), [(2, 2), (6, 2), (5, 3)], ids=["shallow", "deep", "volume"]
)
def test_what_an_encoder_cannot_do_is_refused(depth: int, dims: int) -> None:
    with pytest.raises(ConfigError, match="depth is 3 to 5"):
        build("unet-resnet18", depth=depth, dims=dims)


def test_names_resolve_and_typos_are_answered_with_near_ones() -> None:
    member = find_member("unet-resnet18")
    assert (member.depth, member.width) == (5, 16)
    assert find_member("unet-tu-resnet10t").depth == 5
    assert len(encoders.encoder_networks()) > 60
    with pytest.raises(ConfigError, match=r"did you mean unet-resnet18"):
        find_member("unet-resnet81")
    with pytest.raises(ConfigError, match=r"no network 'unet-tu-nothing'"):
        find_member("unet-tu-nothing")
    assert complete(TrainingConfig(network="unet-resnet18", patch_size=64)).depth == 5
    with pytest.raises(ConfigError, match=r"patch_size is 48.*multiple of 32"):
        complete(TrainingConfig(network="unet-resnet18", patch_size=48))


def test_without_the_extra_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoders.import_smp.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"no network 'unet-vgg11'.*\[encoders\]"):
        find_member("unet-vgg11")


def test_a_torchvision_of_another_build_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    encoders.import_smp.cache_clear()
    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(ConfigError, match=r"nms does not exist.*torchvision"):
        encoders.import_smp()


# -- how far they see --------------------------------------------------------------


def test_reach_of_layers_counted_by_hand() -> None:
    # Two 3×3 convolutions and one at half the size: 1 + 1 + 2 pixels, thus 2 blocks.
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 1, 3, padding=1),
        nn.Upsample(scale_factor=2),
    ).double()
    assert measure_reach(network, 2) == 4
    assert measure_reach(nn.Identity(), 2) == 0
    assert measure_reach(nn.Conv2d(1, 1, 5, padding=2).double(), 2) == 2


@pytest.mark.parametrize(
    "layer", [nn.InstanceNorm2d(1), nn.GroupNorm(1, 1)], ids=["instance", "group"]
)
def test_what_sees_everything_has_no_reach(layer: nn.Module) -> None:
    assert measure_reach(layer.double(), 32) is None


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("unet-resnet18", True),
        ("unet-densenet121", True),
        ("unet-efficientnet-b0", False),
        ("unet-timm-skresnet18", False),
    ],
)
def test_squeeze_and_excitation_is_not_exact(name: str, exact: bool) -> None:
    geometry = measure_geometry(NetworkConfig(name=name, depth=5))
    assert geometry.stride == 32
    assert geometry.exact == exact


@pytest.mark.parametrize(("name", "depth"), [("unet-vgg11", 3), ("unet-resnet18", 3)])
def test_tiles_equal_the_whole(name: str, depth: int) -> None:
    config = NetworkConfig(name=name, depth=depth, width=4)
    network = build(name, depth=depth, width=4).eval()
    geometry = measure_geometry(config)
    assert geometry.exact
    predictor = Predictor(network, config, PredictionConfig(precision="fp32"))
    side = 6 * geometry.radius
    noise = np.random.default_rng(0).normal(size=(1, 40, side)).astype(np.float32)

    def probabilities(tile: int) -> np.ndarray:
        plan = predictor.plan((40, side), tile)
        assert (len(plan.tiles) > 1) == (tile < side)
        results = predict_sections(
            predictor,
            Stack(noise, "ZYX"),
            lambda section: section.astype(np.float32),
            plan,
            probabilities=True,
        )
        (found,) = [each for each in results if not isinstance(each, int)]
        assert found.probabilities is not None
        return found.probabilities

    whole = probabilities(4 * side)
    assert whole.std() > 0.01
    np.testing.assert_allclose(
        probabilities(3 * geometry.radius), whole, rtol=1e-4, atol=1e-5
    )


def test_default_tiles_of_a_network_that_sees_far_stay_within_memory() -> None:
    config = NetworkConfig(name="unet-densenet121", depth=5)
    network = build("unet-densenet121")
    model = Model(network, config, Classes((0, 1)))
    options = PredictionConfig("cpu", "fp32", memory="1GB")
    predictor = Predictor(network, config, options)
    assert predictor.geometry.exact
    # Of the encoder are 64 features at half the size, 16 a pixel; the decoder's input
    # at full size has 32, and is made from and turned into others.
    assert predictor.footprint.bytes(10**6) > 4 * (16 + 32) * 10**6

    plan = predictor.plan((6000, 6000), None)
    assert plan.blended
    assert predictor.expected(plan) <= 2**30
    assert not predictor.plan((900, 900), None).blended
    stack = Stack(np.zeros((6000, 6000), np.uint8), "YX")
    started = next(predict_events(model, stack, options, lambda *section: None))
    assert started.remarks == [FAR]  # type: ignore[attr-defined]
    # Who has the memory says so, and tiles equal the whole.
    ample = Predictor(network, config, PredictionConfig("cpu", "fp32"))
    assert not ample.plan((6000, 6000), 4352).blended


def test_a_halo_may_ask_for_larger_tiles() -> None:
    config = NetworkConfig(name="unet-resnet34", depth=5)
    options = PredictionConfig("cpu", "fp32", memory="4GB")
    predictor = Predictor(build("unet-resnet34"), config, options)
    plan = predictor.plan((6000, 6000), None)
    assert not plan.blended
    assert plan.window[0] >= 3 * predictor.geometry.radius
    assert predictor.expected(plan) <= 4 * 2**30


# -- published weights -------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_first_layer_is_summed_over_the_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    published = publish(tmp_path, monkeypatch, "resnet18").eval()
    network = build("unet-resnet18", channels=channels).eval()
    load_published(network)
    rgb = published.conv1.weight
    own = network.encoder.conv1.weight
    assert own.shape == (64, channels, 7, 7)
    shared = (rgb[:, 0] + rgb[:, 1] + rgb[:, 2]) / channels
    torch.testing.assert_close(own, torch.stack([shared] * channels, dim=1))
    grey = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        as_colours = published(grey.expand(-1, 3, -1, -1))
        as_channels = network.encoder(grey.expand(-1, channels, -1, -1))
    for expected, found in zip(as_colours[1:], as_channels[1:], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_three_channels_take_the_weights_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(tmp_path, monkeypatch, "resnet18").state_dict()
    network = build("unet-resnet18", channels=3)
    load_published(network)
    own = network.encoder.state_dict()
    assert all(torch.equal(own[name], published[name]) for name in published)


def test_offline_says_what_to_do() -> None:
    with pytest.raises(
        ConfigError, match=r"resnet18.*models--smp-hub--resnet18.*--no-pretrained"
    ):
        load_published(build("unet-resnet18", depth=3))
    with pytest.raises(ConfigError, match=r"tu-resnet10t.*--no-pretrained"):
        load_published(build("unet-tu-resnet10t", depth=3))


def test_a_damaged_file_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch, "resnet18")
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match=r"weights of resnet18 cannot be had"):
        load_published(build("unet-resnet18", depth=3))


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (ran,)

    torch.save({"conv1.weight": Trap()}, tmp_path / "pytorch_model.bin")

    def download(repo_id: str, filename: str, **how: Any) -> str:
        from huggingface_hub.errors import EntryNotFoundError

        if not filename.endswith(".bin"):
            raise EntryNotFoundError(filename)
        return str(tmp_path / filename)

    monkeypatch.setattr("timm.models._hub.hf_hub_download", download)
    with pytest.raises(ConfigError, match="cannot be had"):
        load_published(build("unet-tu-resnet10t", depth=3))
    assert not ran.exists()


# -- training ----------------------------------------------------------------------


def membranes() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = (random.random((4, 40, 40)) > 0.5).astype(np.uint8) * 255
    return labels + random.integers(0, 40, labels.shape).astype(np.int32), labels


def short(name: str, **options: Any) -> Model:
    return nu.train(
        *membranes(),
        **{
            "network": name,
            "depth": 3,
            "width": 2,
            "patch_size": 32,
            "steps": 2,
            "pretrained": False,
            "averaging": 0.0,
            **options,
        },
    )


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_trained_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = short(name)
    again = Model.load(model.save(tmp_path / "m.safetensors"))
    assert again.config == model.config
    expected, found = model.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_training_starts_with_the_published_weights_and_loading_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(tmp_path, monkeypatch, "resnet18").state_dict()
    run = tmp_path / "run"
    model = short("unet-resnet18", pretrained=True, freeze=1.0, run=run)
    recorded = json.loads((run / "config.json").read_text())
    assert recorded["options"]["learning_rate"] == pytest.approx(5e-4)
    own = model.network.encoder.state_dict()  # type: ignore[union-attr,operator]
    kept = [name for name in published if torch.equal(own[name], published[name])]
    changed = set(published) - set(kept)
    assert changed == {"conv1.weight"}  # one channel instead of three

    (tmp_path / "model.safetensors").unlink()
    loaded = Model.load(run)
    assert torch.equal(
        loaded.network.state_dict()["encoder.conv1.weight"], own["conv1.weight"]
    )
    nu.train(*membranes(), run=run, resume=True, steps=3)
    assert json.loads((run / "last.json").read_text())["step"] == 3


def test_frozen_encoder_stays_and_is_then_let_go() -> None:
    network = build("unet-resnet18", depth=3, width=2).train()
    before = copy.deepcopy(network.encoder.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)

    def step() -> None:
        optimizer.zero_grad()
        network(torch.randn(2, 1, 16, 16)).square().mean().backward()
        optimizer.step()

    freeze(network, True)
    step()
    same = network.encoder.state_dict()
    assert all(torch.equal(same[name], before[name]) for name in before)
    network.train()
    freeze(network, False)
    step()
    now = network.encoder.state_dict()
    assert not torch.equal(now["conv1.weight"], before["conv1.weight"])
    assert not torch.equal(now["bn1.running_mean"], before["bn1.running_mean"])


@pytest.mark.parametrize("stop", [1, 3])
def test_a_frozen_run_resumes_bit_for_bit(tmp_path: Path, stop: int) -> None:
    # Steps 1 and 2 of 4 are frozen; stopped before and after that. This encoder
    # drops whole blocks at random as it trains.
    options: dict[str, Any] = {"freeze": 0.5, "steps": 4, "checkpoint_every": 0.0}
    whole = short(SMALL, **options).network.state_dict()
    steps = iter(range(1, 5))

    def interrupt(event: Any) -> None:
        if isinstance(event, CheckpointSaved) and next(steps) == stop:
            raise _Killed

    with pytest.raises(_Killed):
        short(SMALL, **options, run=tmp_path / "run", on_event=interrupt)
    resumed = nu.train(*membranes(), run=tmp_path / "run", resume=True)
    after = resumed.network.state_dict()
    assert all(torch.equal(after[name], whole[name]) for name in whole)


class _Killed(Exception):
    """What stands for a crash."""


def test_only_networks_with_an_encoder_freeze() -> None:
    with pytest.raises(ConfigError, match="no encoder"):
        freeze(nn.Conv2d(1, 1, 1), True)


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({}, 5e-4),
        ({"optimizer": "sgd"}, 2.5e-3),
        ({"pretrained": False}, 2e-3),
        ({"network": "unet"}, 2e-3),
        ({"learning_rate": 1e-3}, 1e-3),
    ],
)
def test_what_is_pretrained_learns_in_smaller_steps(
    options: dict[str, Any], rate: float
) -> None:
    config = TrainingConfig(**{"network": "unet-resnet18", **options})
    assert complete_training(config).learning_rate == pytest.approx(rate)
