"""What every network of the family must do; a new member joins by being in it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet import predict, train
from napari_unet.config import ComputeConfig, NetworkConfig, TrainingConfig
from napari_unet.data import Classes, Stack
from napari_unet.errors import ConfigError
from napari_unet.events import Event, StepDone
from napari_unet.model import Model
from napari_unet.networks import build_network, complete, measure_geometry
from napari_unet.networks.compute import channels_last, fold_batch_norm
from napari_unet.networks.family import FAMILY, Member
from napari_unet.networks.unet import UNet
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.sections import predict_sections

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.networks.blocks import Level

FP32 = ComputeConfig("cpu", "fp32")
DEPTH, WIDTH = 2, 4

every_network = pytest.mark.parametrize("name", FAMILY)


def small(name: str, channels: int = 1, classes: int = 2, **more: Any) -> NetworkConfig:
    return NetworkConfig(channels, classes, DEPTH, WIDTH, name=name, **more)


def lived_in(config: NetworkConfig) -> nn.Module:
    """The network with norms whose statistics and scales are far from 0 and 1."""
    torch.manual_seed(0)
    network = build_network(config)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, 0, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 3)
            nn.init.normal_(layer.weight, 1, 0.3)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network.eval()


def sides(config: NetworkConfig, more: int) -> int:
    """Rows the network takes: the fewest, and so many strides."""
    geometry = measure_geometry(config)
    return max(geometry.smallest, geometry.stride) + more * geometry.stride


def an_image(config: NetworkConfig, rows: int = 4, columns: int = 6) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    size = sides(config, rows), sides(config, columns)
    return torch.randn(2, config.inputs, *size, generator=random)


def undisturbed(network: nn.Module) -> nn.Module:
    """As it trains, but without chance and with the norms' statistics."""
    network.train()
    for layer in network.modules():
        kinds = nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd
        if isinstance(layer, kinds):
            layer.eval()
    return network


@every_network
@pytest.mark.parametrize(
    ("channels", "classes", "context"), [(1, 2, 0), (4, 5, 0), (1, 1, 0), (2, 3, 1)]
)
def test_one_logit_per_class_and_pixel(
    name: str, channels: int, classes: int, context: int
) -> None:
    config = small(name, channels, classes, context=context)
    image = an_image(config)
    assert image.shape[1] == channels * (2 * context + 1)
    crop = 2 * measure_geometry(config).crop
    rows, columns = image.shape[2] - crop, image.shape[3] - crop
    with torch.no_grad():
        logits = lived_in(config)(image)
    assert logits.shape == (2, classes, rows, columns)


@every_network
@pytest.mark.parametrize("depth", [1, 3])
def test_depth_and_width_are_free(name: str, depth: int) -> None:
    config = replace(small(name), depth=depth, width=6)
    image = an_image(config, 1, 1)
    with torch.no_grad():
        logits = lived_in(config)(image)
    assert logits.shape[1] == 2
    assert logits.isfinite().all()
    wide = replace(config, width=12)
    count = [sum(p.numel() for p in lived_in(c).parameters()) for c in (config, wide)]
    assert 2 * count[0] < count[1] < 4.5 * count[0]


@every_network
def test_every_parameter_gets_a_gradient(name: str) -> None:
    config = small(name, classes=3)
    network = undisturbed(lived_in(config))
    output = network(an_image(config))
    heads = output if isinstance(output, list) else [output]
    sum((each * torch.randn_like(each)).sum() for each in heads).backward()  # type: ignore[union-attr]
    idle = [
        label
        for label, each in network.named_parameters()
        if each.grad is None or not each.grad.abs().sum() > 0
    ]
    assert idle == []


@every_network
def test_same_seed_same_network_and_same_output(name: str) -> None:
    config = small(name)
    image = an_image(config)
    with torch.no_grad():
        one, other = lived_in(config)(image), lived_in(config)(image)
    assert torch.equal(one, other)
    torch.manual_seed(1)
    with torch.no_grad():
        assert not torch.equal(build_network(config).eval()(image), one)


@every_network
def test_dropout_acts_in_training_only(name: str) -> None:
    config = small(name, dropout=0.5)
    network = lived_in(config)
    image = an_image(config)

    with torch.no_grad():
        assert torch.equal(network(image), network(image))
        for layer in network.modules():
            if isinstance(layer, nn.modules.dropout._DropoutNd):
                layer.train()
        assert not torch.equal(network(image), network(image))


@every_network
def test_folding_and_order_in_memory_change_nothing(name: str) -> None:
    config = small(name, 2, 3)
    network, image = lived_in(config), an_image(config)
    folded = fold_batch_norm(network)
    channels_last(folded, config.dims)
    with torch.no_grad():
        expected = network(image)
        got = folded(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@every_network
def test_a_model_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    config = small(name, 2, 3)
    model = Model(lived_in(config), config, Classes((0, 7, 9)))
    again = Model.load(model.save(tmp_path / "m.safetensors"))
    image = np.random.default_rng(0).normal(size=(2, 31, 45)).astype(np.float32)
    options: dict[str, Any] = {"output": "probabilities", "precision": "fp32"}
    expected = predict(model, image, axes="CYX", **options)
    assert again.config == config
    np.testing.assert_array_equal(
        predict(again, image, axes="CYX", **options), expected
    )


@cache
def predictor(name: str) -> Predictor:
    config = small(name)
    return Predictor(lived_in(config), config, FP32)


def probabilities(name: str, image: np.ndarray, tile: int) -> np.ndarray:
    stack = Stack(image[None, None], "ZCYX")
    plan = predictor(name).plan(stack.section_shape, tile)
    results = predict_sections(
        predictor(name), stack, np.asarray, plan, probabilities=True
    )
    (section,) = [each for each in results if not isinstance(each, int)]
    assert section.probabilities is not None
    return section.probabilities


@every_network
@pytest.mark.parametrize("shape", [(1, 1), (97, 203), (211, 130)])
def test_tiles_equal_the_whole(name: str, shape: tuple[int, int]) -> None:
    if not measure_geometry(small(name)).exact:
        pytest.skip("said to be inexact")
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    whole = probabilities(name, image, 4096)
    assert whole.shape == (2, *shape)
    np.testing.assert_allclose(whole.sum(0), 1, atol=1e-5)
    for tile in (16, 75, 128):
        tiled = probabilities(name, image, tile)
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


class InstanceNormUNet(UNet):
    """A network whose tiles cannot equal the whole."""

    def encode(self, inputs: int, level: Level) -> nn.Module:
        norm = nn.InstanceNorm2d(level.features)
        return nn.Sequential(super().encode(inputs, level), norm)


def test_tiles_of_what_is_inexact_are_blended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILY, "unet-instance", Member("", InstanceNormUNet))
    assert not measure_geometry(small("unet-instance")).exact
    image = np.random.default_rng(0).normal(size=(150, 203)).astype(np.float32)
    whole = probabilities("unet-instance", image, 4096)
    tiled = probabilities("unet-instance", image, 75)
    np.testing.assert_allclose(tiled.sum(0), 1, atol=1e-5)
    error = np.abs(tiled - whole)
    assert 0 < error.mean() < 0.1 * whole.std()
    # As large between tiles as anywhere: within tiles the outermost 4 pixels are cut.
    plan = predictor("unet-instance").plan(image.shape, 75)
    assert plan.blended
    inner = {tile.core[1].start for tile in plan.tiles} - {0}
    steps = np.abs(np.diff(tiled - whole, axis=2)).mean(axis=(0, 1))
    assert inner
    assert all(steps[column - 1] < 2 * steps.mean() for column in inner)


@every_network
def test_the_stride_is_no_larger_than_needed(name: str) -> None:
    """Moving the image by a stride moves the output; by half of it does not."""
    config = small(name)
    geometry = measure_geometry(config)
    stride, reach = geometry.stride, geometry.radius + geometry.crop
    inner = reach + 2 * stride
    size = 2 * inner + sides(config, 4)
    size += (geometry.remainder - size) % stride
    network = lived_in(config)
    image = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))

    def moved(by: int) -> float:
        with torch.no_grad():
            one = network(image)[..., inner : inner + stride, inner : inner + stride]
            other = network(image.roll((by, by), (2, 3)))
        there = inner + by
        cut = other[..., there : there + stride, there : there + stride]
        return float((cut - one).abs().max() / one.abs().max())

    assert moved(stride) < 1e-5
    assert moved(stride // 2) > 1e-4


@every_network
def test_patches_that_do_not_fit_are_refused(name: str) -> None:
    own = complete(TrainingConfig(network=name))
    assert own.patch_size == FAMILY[name].patch_size
    assert (own.depth, own.width) == (FAMILY[name].depth, FAMILY[name].width)
    with pytest.raises(ConfigError, match=rf"patch_size is 301.*{name.split('+')[0]}"):
        complete(TrainingConfig(network=name, patch_size=301))


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """A bright square on a dark ground, and where it is."""
    random = np.random.default_rng(0)
    labels = np.zeros((120, 140), np.uint8)
    labels[30:80, 40:110] = 255
    image = labels / 255 + random.normal(0, 0.2, labels.shape)
    return image.astype(np.float32), labels


@every_network
def test_a_short_training_lowers_the_loss(name: str) -> None:
    image, labels = blobs()
    losses: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, StepDone):
            losses.append(event.loss)

    model = train(
        image,
        labels,
        network=name,
        depth=DEPTH,
        width=8,
        patch_size=measure_geometry(small(name)).nearest(64),
        steps=20,
        validation=0,
        learning_rate=5e-3,
        precision="fp32",
        on_event=note,
    )
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:2])
    found = predict(model, image, precision="fp32")
    assert isinstance(found, np.ndarray)
    assert found.shape == labels.shape
    assert set(np.unique(found)) <= {0, 255}
