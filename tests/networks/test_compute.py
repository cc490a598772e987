from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from napari_unet.config import ComputeConfig, NetworkConfig
from napari_unet.errors import ConfigError
from napari_unet.networks import build_network
from napari_unet.networks.compute import (
    channels_last,
    choose_device,
    choose_dtype,
    fold_batch_norm,
)


def lived_in_network() -> nn.Module:
    """Return a network whose norms have statistics and scales far from 0 and 1."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(2, 3, depth=2, width=4))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0, 2)
            nn.init.uniform_(layer.running_var, 0.3, 5)
            nn.init.normal_(layer.weight, 1, 0.5)
            nn.init.normal_(layer.bias, 0, 0.5)
    return network


def test_folded_network_gives_the_same() -> None:
    network = lived_in_network()
    before = copy.deepcopy(network.state_dict())
    folded = fold_batch_norm(network)
    image = torch.randn(2, 2, 12, 16)
    with torch.no_grad():
        expected, got = network.eval()(image), folded(image)
    assert expected.abs().max() > 1
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in folded.modules())
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_folding_ignores_that_the_network_trains() -> None:
    network = lived_in_network().train()
    network.dropout[-1].p = 0.5  # type: ignore[index,union-attr,assignment]
    image = torch.randn(1, 2, 8, 8)
    folded = fold_batch_norm(network)
    assert network.training
    with torch.no_grad():
        got, expected = folded(image), network.eval()(image)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_layout_changes_no_value() -> None:
    network = lived_in_network().eval()
    image = torch.randn(1, 2, 8, 8)
    with torch.no_grad():
        expected = network(image)
        channels_last(network, 2)
        got = network(image.contiguous(memory_format=torch.channels_last))
    weight = network.encoder[1][3].weight  # type: ignore[index,union-attr]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_missing_device_is_named() -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ConfigError, match=f"device is '{missing}'"):
        choose_device(ComputeConfig(device=missing))


def test_precision_is_what_was_asked_for() -> None:
    cpu = choose_device(ComputeConfig(device="cpu"))
    assert cpu == torch.device("cpu")
    assert choose_dtype(ComputeConfig(precision="fp32"), cpu) == torch.float32
    assert choose_dtype(ComputeConfig(precision="bf16"), cpu) == torch.bfloat16


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_takes_bf16_only_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    assert choose_dtype(ComputeConfig(), torch.device("cpu")) == dtype


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    code = """
import resource, torch
from napari_unet.networks.compute import reuse_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**23)  # 32 MiB, that is 8192 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

reuse_memory()
print(*(pages() for _ in range(8)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert min(map(int, done.stdout.split()[4:])) < 100
