from __future__ import annotations

import gc
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from random_network import random_network
from torch import nn

from napari_unet.config import NETWORKS, NetworkConfig
from napari_unet.errors import ConfigError
from napari_unet.networks import measure_geometry
from napari_unet.networks.compute import fold_batch_norm
from napari_unet.networks.family import find_member
from napari_unet.prediction import openvino, runtime
from napari_unet.prediction.runtime import choose_runtime

needs_openvino = pytest.mark.skipif(
    not openvino.find_spec("openvino"), reason="OpenVINO is an extra"
)


def run(engine: str, built: nn.Module, config: NetworkConfig, **to: Any) -> Any:
    prepared = fold_batch_norm(built).to(**to)
    return choose_runtime(engine, built, prepared, config, measure_geometry(config))


@needs_openvino
@pytest.mark.parametrize("name", NETWORKS)
def test_openvino_gives_the_logits_of_torch(name: str) -> None:
    dims = find_member(name).dims
    config = NetworkConfig(2, 3, depth=2, width=2, name=name, dims=dims)
    built, geometry = random_network(config), measure_geometry(config)
    compute, remark = run("openvino", built, config)
    assert remark == ""
    side = geometry.nearest(48 if dims == 2 else 12)
    for extent in ((side, side + geometry.stride), (side + geometry.stride, side)):
        windows = torch.randn(2, 2, *[geometry.strides[0] * 2] * (dims - 2), *extent)
        with torch.inference_mode():
            expected = built(windows)
        scale = float(expected.abs().max())
        found = compute(windows)
        torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


@needs_openvino
def test_openvino_in_bf16_decides_as_torch_in_fp32() -> None:
    config = NetworkConfig(depth=2, width=8)
    built = random_network(config)
    compute, _ = run("openvino", built, config, dtype=torch.bfloat16)
    smooth = torch.randn(1, 1, 16, 16)
    windows = nn.functional.interpolate(smooth, size=(128, 128), mode="bilinear")
    with torch.inference_mode():
        expected = built(windows)
    rough = compute(windows)
    assert rough.dtype == torch.float32
    clear = (expected[:, 1] - expected[:, 0]).abs() > 0.05 * expected.abs().max()
    same = rough.argmax(1) == expected.argmax(1)
    assert same[clear].float().mean() >= 0.999
    assert clear.float().mean() > 0.5


@needs_openvino
def test_openvino_compiles_few_shapes_then_any() -> None:
    config = NetworkConfig(depth=1, width=2)
    built = random_network(config)
    compute, _ = run("openvino", built, config)
    for rows in range(4, 4 + 2 * (openvino.MOST_SHAPES + 3), 2):
        windows = torch.randn(1, 1, rows, 6)
        with torch.inference_mode():
            expected = built(windows)
        torch.testing.assert_close(compute(windows), expected, rtol=1e-4, atol=1e-4)
    assert len(compute._compiled) == openvino.MOST_SHAPES + 1


@needs_openvino
def test_openvino_may_be_asked_from_several_threads() -> None:
    config = NetworkConfig(depth=2, width=8)
    built = random_network(config)
    compute, _ = run("openvino", built, config)
    windows = [torch.randn(1, 1, 128, 128) for _ in range(12)]
    with torch.inference_mode():
        expected = [built(each) for each in windows]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(compute, windows), expected, strict=True):
            torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4)


@needs_openvino
def test_a_network_is_converted_once_unless_it_changes() -> None:
    config = NetworkConfig(depth=1, width=2)
    built = random_network(config)
    first, _ = run("openvino", built, config)
    assert run("openvino", built, config)[0] is first
    rough, _ = run("openvino", built, config, dtype=torch.bfloat16)
    assert rough is not first
    with torch.no_grad():
        for weight in built.parameters():
            weight.mul_(0.5)
    windows = torch.randn(1, 1, 8, 8)
    with torch.inference_mode():
        expected = built(windows)
    changed, _ = run("openvino", built, config)
    torch.testing.assert_close(changed(windows), expected, rtol=1e-4, atol=1e-4)


@needs_openvino
def test_a_signal_is_survived_after_networks_came_and_went() -> None:
    config = NetworkConfig(depth=1, width=2)
    kept = [run("openvino", random_network(config), config)[0] for _ in range(2)]
    del kept[0]
    gc.collect()
    del kept[0]
    gc.collect()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


class Unusual(nn.Module):
    """A network with a layer that OpenVINO does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return torch.special.airy_ai(windows * self.weight)


class Shaped(nn.Conv2d):
    """A network that does something else where the image is not square."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = super().forward(windows)
        return found if windows.shape[-1] == windows.shape[-2] else found + 1


@needs_openvino
@pytest.mark.parametrize(
    ("built", "said"),
    [(Unusual(), "cannot convert"), (Shaped(1, 2, 1), "other logits")],
)
def test_what_openvino_cannot_do_is_left_to_torch(built: nn.Module, said: str) -> None:
    compute, remark = run("openvino", built.eval(), NetworkConfig(depth=1))
    assert compute is None
    assert said in remark
    assert "Torch computes it" in remark


def test_openvino_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "find_spec", lambda name: None)
    config = NetworkConfig(depth=1, width=2)
    with pytest.raises(ConfigError, match=r"pip install .*openvino"):
        run("openvino", random_network(config), config)


@needs_openvino
def test_openvino_reports_to_nobody() -> None:
    openvino._openvino()
    assert not any(
        name.startswith("openvino_telemetry") and module is not None
        for name, module in sys.modules.items()
    )


@pytest.mark.parametrize(
    ("engine", "device"), [("openvino", "meta"), ("compiled", "cpu")]
)
def test_each_engine_has_its_device(engine: str, device: str) -> None:
    config = NetworkConfig(depth=1, width=2)
    with pytest.raises(ConfigError, match=f"device is {device}.*engine torch"):
        run(engine, random_network(config), config, device=device)


def test_compiling_is_tried_where_it_may_help(monkeypatch: pytest.MonkeyPatch) -> None:
    config = NetworkConfig(depth=1, width=2)
    built = random_network(config)
    tried: list[tuple[int, ...]] = []

    def compile_(network: nn.Module) -> Any:
        def run(windows: torch.Tensor) -> Any:
            tried.append(tuple(windows.shape))
            return network(windows)

        return run

    monkeypatch.setitem(runtime.DEVICES, "compiled", "cpu")
    monkeypatch.setattr(torch, "compile", compile_)
    compute, remark = run("compiled", built, config)
    assert remark == ""
    assert tried == [(2, 1, 4, 6)]
    windows = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(compute(windows), fold_batch_norm(built)(windows))


def test_what_cannot_be_compiled_is_computed_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def compile_(network: nn.Module) -> Any:
        raise RuntimeError("no working compiler\nlong story")

    monkeypatch.setitem(runtime.DEVICES, "compiled", "cpu")
    monkeypatch.setattr(torch, "compile", compile_)
    config = NetworkConfig(depth=1, width=2)
    compute, remark = run("compiled", random_network(config), config)
    assert compute is None
    assert "cannot compile this network (no working compiler)" in remark
