"""Each network is the thing it is called: counts and shapes as published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.config import ComputeConfig, NetworkConfig
from napari_unet.data import Stack
from napari_unet.networks import build_network, measure_geometry
from napari_unet.networks.blocks import keras_padding
from napari_unet.networks.family import FAMILY
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.sections import predict_sections
from napari_unet.prediction.spans import mirror


def published(name: str, channels: int, classes: int) -> nn.Module:
    """The network in its own size, without memory for its weights."""
    own = FAMILY[name]
    config = NetworkConfig(
        channels, classes, own.depth, own.width, own.dropout, name=name
    )
    with torch.device("meta"):
        return build_network(config)


def shapes(network: nn.Module, size: int, channels: int = 1) -> dict[str, Any]:
    """Features and rows of what each layer gives."""
    found: dict[str, Any] = {}
    for name, layer in network.named_modules():
        layer.register_forward_hook(
            lambda _, __, out, name=name: found.update({name: tuple(out.shape[1:3])})
        )
    network(torch.empty(1, channels, size, size, device="meta"))
    return found


@pytest.mark.parametrize(
    ("name", "channels", "classes", "count"),
    [
        ("unet-2015", 1, 2, 31_030_658),
        ("unet-keras", 1, 1, 31_031_685),
        ("unet-small", 1, 1, 487_449),
    ],
)
def test_parameters_are_as_published(
    name: str, channels: int, classes: int, count: int
) -> None:
    network = published(name, channels, classes)
    assert sum(each.numel() for each in network.parameters()) == count


def test_2015_turns_572_into_388_by_23_convolutions() -> None:
    network = published("unet-2015", 1, 2)
    found = shapes(network, 572)
    # Ronneberger et al. 2015, figure 1.
    down = [(64, 568), (128, 280), (256, 136), (512, 64), (1024, 28)]
    assert [found[f"encoder.{level}"] for level in range(5)] == down
    up = [(512, 56), (256, 104), (128, 200), (64, 392)]
    assert [found[f"up.{level}"] for level in range(4)] == up
    decoded = [(512, 52), (256, 100), (128, 196), (64, 388)]
    assert [found[f"decoder.{level}"] for level in range(4)] == decoded
    assert found["head"] == (2, 388)
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    assert sum(isinstance(each, kinds) for each in network.modules()) == 23
    geometry = measure_geometry(NetworkConfig(name="unet-2015"))
    assert (geometry.crop, geometry.remainder, geometry.smallest) == (92, 12, 188)


def test_2015_drops_out_at_the_end_of_the_contracting_path() -> None:
    network = published("unet-2015", 1, 2)
    assert [each.p for each in network.dropout] == [0, 0, 0, 0.5, 0.5]  # type: ignore[union-attr]


def test_2015_sees_only_the_centre_of_its_skips() -> None:
    config = NetworkConfig(depth=1, width=4, name="unet-2015")
    torch.manual_seed(0)
    network = build_network(config).eval()
    image = torch.randn(1, 1, 20, 20)
    whole = network(image)
    assert whole.shape == (1, 2, 4, 4)  # 20 → 16 → 8 → 4 → 8 → 4
    larger = torch.randn(1, 1, 24, 24)
    larger[..., 2:22, 2:22] = image
    moved = network(larger)
    torch.testing.assert_close(moved[..., 2:6, 2:6], whole)


def test_keras_keeps_512_through_its_listing() -> None:
    found = shapes(published("unet-keras", 1, 1), 512)
    down = [(64, 512), (128, 256), (256, 128), (512, 64), (1024, 32)]
    assert [found[f"encoder.{level}"] for level in range(5)] == down
    up = [(512, 64), (256, 128), (128, 256), (64, 512)]
    assert [found[f"up.{level}"] for level in range(4)] == up
    assert [found[f"decoder.{level}"] for level in range(4)] == up
    assert found["head.0"] == (2, 512)
    assert found["head"] == (1, 512)


def test_xception_has_its_parameters_and_its_table_of_layers() -> None:
    network = published("unet-xception", 3, 3)
    trained = sum(each.numel() for each in network.parameters())
    fixed = sum(each.numel() for each in network.buffers() if each.ndim)
    assert (trained + fixed, fixed) == (2_058_979, 3_776)
    found = shapes(network, 160, 3)
    assert found["entry"] == (32, 80)
    # Each block: separable convolutions, then the pool; the projection; the sum.
    for place, (features, rows) in enumerate([(64, 40), (128, 20), (256, 10)]):
        assert found[f"down.{place}.body.7"] == (features, 2 * rows)
        assert found[f"down.{place}.body.8"] == (features, rows)
        assert found[f"down.{place}.shortcut"] == (features, rows)
        assert found[f"down.{place}"] == (features, rows)
    rows = 10
    for place, features in enumerate([256, 128, 64, 32]):
        assert found[f"up.{place}.body"] == (features, rows)
        rows *= 2
        assert found[f"up.{place}"] == (features, rows)
    assert found["head"] == (3, 160)


def test_keras_pads_a_stride_and_an_even_kernel_at_the_end() -> None:
    ones = torch.ones(1, 1, 4, 4)
    by_stride = keras_padding((3, 3), (2, 2))(ones)
    by_kernel = keras_padding((2, 2))(ones)
    for padded in (by_stride, by_kernel):
        assert padded.shape == (1, 1, 5, 5)
        assert padded[..., :4, :4].sum() == padded.sum() == 16
    assert keras_padding((3, 3))(ones)[..., 1:5, 1:5].sum() == 16


@pytest.mark.parametrize(
    ("depth", "shape"), [(3, (1, 1)), (3, (90, 41)), (3, (133, 250)), (4, (70, 201))]
)
def test_2015_gives_each_pixel_once_whatever_the_tiles(
    depth: int, shape: tuple[int, int]
) -> None:
    config = NetworkConfig(depth=depth, width=2, name="unet-2015")
    torch.manual_seed(0)
    network = build_network(config).eval()
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    # By hand: mirror what is cropped, and then as much as the network's grid needs.
    geometry = measure_geometry(config)
    places = []
    for length in shape:
        size = geometry.smallest
        while size < length + 2 * geometry.crop:
            size += geometry.stride
        places.append(mirror(-geometry.crop, size - geometry.crop, length))
    canvas = torch.from_numpy(image[:, places[0][:, None], places[1]])[None]
    with torch.no_grad():
        logits = network(canvas)[0, :, : shape[0], : shape[1]]
    expected = torch.softmax(logits, dim=0).numpy()
    predictor = Predictor(network, config, ComputeConfig("cpu", "fp32"))
    stack = Stack(image[None], "ZCYX")
    for tile in (16, 250, 300, 2000):
        plan = predictor.plan(shape, tile)
        results = predict_sections(
            predictor, stack, np.asarray, plan, probabilities=True
        )
        (section,) = [each for each in results if not isinstance(each, int)]
        np.testing.assert_allclose(section.probabilities, expected, rtol=0, atol=1e-5)
