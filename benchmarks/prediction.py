"""Speed of prediction beside the bare network and beside other ways: ``make bench``.

All ways have the same network, the same pixels and, but for ours, no work besides:
pixels are normalised before and logits are turned into labels after the clock runs.
They are timed in turn; a cell is the median of the time of that way over ours, so that
4.0 says that ours is four times as fast, and in brackets the share of pixels that get
the label they get from ours.

``python benchmarks/prediction.py --quick`` takes seconds and shows no more than that
it runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timing import ratio
from torch import nn

import napari_unet as nu
from napari_unet.events import PredictionStarted
from napari_unet.networks import build_network
from napari_unet.networks.compute import channels_last, fold_batch_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Way = Callable[[], Any]

MONAI = {
    "0.25": {"overlap": 0.25},
    "0.5 Gaussian": {"overlap": 0.5, "mode": "gaussian"},
}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Case:
    """A network, and the pixels it is to predict.

    Attributes
    ----------
    width : int
        Features of the first level.
    sections, edge : int
    stands_for : str
        What would take too long, where it was scaled down.
    without : tuple of str
        Ways whose name begins so are left out.
    """

    width: int
    sections: int
    edge: int
    stands_for: str = ""
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"base {self.width}, {self.sections} × {self.edge}²"
        return f"{text} (for {self.stands_for})" if self.stands_for else text


FULL = (
    Case(16, 30, 512),
    Case(16, 4, 2048),
    Case(16, 1, 8192),
    Case(64, 8, 512, "30 × 512²"),
    Case(64, 1, 2048, "4 × 2048²"),
    Case(64, 1, 4096, "1 × 8192²", ("MONAI",)),
)
QUICK = (Case(8, 3, 128), Case(16, 1, 320))
NARROW, STEPS = 8, 150
"""Features of the first level of the network that is trained, and for how long."""

LARGEST = 2048
"""Edge of the largest section that goes through a network whole; others are cut."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny images")
    parser.add_argument("--cases", type=int, nargs="+", help="only these, from 1")
    parser.add_argument("--seconds", type=float, default=60, help="to repeat each for")
    parser.add_argument("--engine", default="torch", help="what computes ours")
    given = parser.parse_args()
    cases = QUICK if given.quick else FULL
    seconds = 0 if given.quick else given.seconds
    chosen = [cases[number - 1] for number in given.cases] if given.cases else cases
    for line in table(chosen, seconds, engine=given.engine):
        print(line, flush=True)


def table(
    cases: tuple[Case, ...] | list[Case], seconds: float, **options: Any
) -> Iterator[str]:
    """Measure each case; give the lines of a table in Markdown."""
    columns: list[str] = []
    for case in cases:
        measured = measure(case, seconds, **options)
        if not columns:
            columns = [*measured]
            yield "| | " + " | ".join(columns) + " |"
            yield "|---" * (len(columns) + 1) + "|"
        row = [measured.get(name, "–") for name in columns]
        yield f"| {case} | " + " | ".join(row) + " |"


def measure(case: Case, seconds: float, **options: Any) -> dict[str, str]:
    """Time all ways in turn, for `seconds` or one round; return a cell for each.

    The options are those of our prediction.
    """
    pixels = texture(case.sections, case.edge)
    model = trained_model(case.width)
    started: list[PredictionStarted] = []

    def ours() -> np.ndarray:
        return nu.predict(model, pixels, on_event=note, **options)

    def note(event: object) -> None:
        started.extend([event] if isinstance(event, PredictionStarted) else [])

    labels = ours()
    with tempfile.TemporaryDirectory() as folder:
        ways = {"ours": ours} | {
            name: way
            for name, way in others(model, pixels, started[0], Path(folder)).items()
            if not name.startswith(case.without or ("-",))
        }
        times, results = timed(ways, seconds)
    speed = pixels.size / np.median(times["ours"]) / 1e6
    cells = {"ours, Mpixel/s": f"{speed:.2f}"}
    for name, result in results.items():
        if name != "ours":
            same = np.mean(decided(result, pixels.shape) == (labels > 0))
            cells[name] = f"{ratio(times[name], times['ours']):.2f} ({same:.2%})"
    return cells


def timed(
    ways: dict[str, Way], seconds: float
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time all ways in turn; return their times, and what they gave last."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, Any] = {}
    end = time.perf_counter() + seconds
    while not times["ours"] or time.perf_counter() < end:
        for name, way in ways.items():
            results.pop(name, None)
            start = time.perf_counter()
            results[name] = way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    if len(times["ours"]) > 2:  # the first round chooses kernels
        times = {name: each[1:] for name, each in times.items()}
    return times, results


# -- the ways ------------------------------------------------------------------------


def others(
    model: nu.Model, pixels: np.ndarray, ours: PredictionStarted, folder: Path
) -> dict[str, Way]:
    """Return all ways but ours, each from normalised pixels to logits."""
    device, dtype = torch.device(ours.device), DTYPES[ours.precision]
    image = torch.from_numpy((pixels - pixels.mean(dtype=float)) / pixels.std())
    sections = list(image.float()[:, None, None].to(device))
    pieces = [piece for section in sections for piece in cut(section)]
    fast = fold_batch_norm(model.network).to(device, dtype)
    channels_last(fast, dims=2)
    plain = model.network.to(device)

    def quick(piece: torch.Tensor) -> torch.Tensor:
        return fast(piece.to(dtype, memory_format=torch.channels_last))

    ready = [piece.to(dtype, memory_format=torch.channels_last) for piece in pieces]
    ways: dict[str, Way] = {"bare network": partial(each, fast, ready)}
    for name, options in MONAI.items():
        ways[f"MONAI {name}"] = partial(windows, plain, sections, options)
        ways[f"MONAI {name}, fast network"] = partial(windows, quick, sections, options)
    runtimes = {"onnxruntime": onnx_runtime, "openvino": openvino}
    found = [name for name in runtimes if present("onnx") and present(name)]
    if device.type == "cpu" and found:
        path = exported(fold_batch_norm(model.network), pieces[0], folder)
        arrays = [piece.numpy() for piece in pieces]
        ways |= {name: partial(each, runtimes[name](path), arrays) for name in found}
    return ways


def present(name: str) -> bool:
    """Return whether a package is installed; say so if it is not."""
    there = importlib.util.find_spec(name) is not None
    if not there:
        print(f"{name} is not installed: what needs it is left out.")
    return there


def each(network: Any, pieces: list[Any]) -> list[Any]:
    """Run a network over piece after piece."""
    with torch.inference_mode():
        return [network(piece) for piece in pieces]


def windows(
    network: Any, sections: list[torch.Tensor], options: dict[str, Any]
) -> list[torch.Tensor]:
    """Run MONAI's sliding window as its users do."""
    from monai.inferers import sliding_window_inference

    with torch.inference_mode():
        return [
            sliding_window_inference(section, 256, 4, network, **options)
            for section in sections
        ]


def exported(network: nn.Module, piece: torch.Tensor, folder: Path) -> str:
    """Write the folded network for pieces of that shape as ONNX."""
    path = str(folder / "network.onnx")
    with warnings.catch_warnings():  # the newer exporter needs more packages
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(network, (piece,), path, dynamo=False, input_names=["image"])
    return path


def onnx_runtime(path: str) -> Any:
    """Return what runs it on all cores in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    return lambda piece: session.run(None, {"image": piece})[0]


def openvino(path: str) -> Any:
    """Return what runs it in OpenVINO, in the precision that it chooses."""
    sys.modules.setdefault("openvino_telemetry", None)  # it would report to its makers
    import openvino as ov

    hints = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = ov.Core().compile_model(path, "CPU", hints)
    return lambda piece: compiled([piece])[0].copy()


# -- pixels and networks -------------------------------------------------------------


def texture(sections: int, edge: int) -> np.ndarray:
    """Return synthetic EM ``(sections, edge, edge)``, of four sections repeated."""
    image, _ = nu.synthetic_em(sections=4, size=min(edge, 512))
    tile = np.asarray(image)
    whole = np.tile(tile, (-(-sections // 4), *[-(-edge // tile.shape[-1])] * 2))
    return whole[:sections, :edge, :edge]


def cut(section: torch.Tensor) -> list[torch.Tensor]:
    """Cut a section into such as go through a network whole."""
    return [
        piece
        for rows in section.split(LARGEST, dim=2)
        for piece in rows.split(LARGEST, dim=3)
    ]


def decided(result: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Return which pixels are of the second class, of the logits of all pieces."""
    logits = map(torch.as_tensor, result)
    inside = [(each[0, 1] > each[0, 0]).cpu().numpy() for each in logits]
    across = shape[-1] // inside[0].shape[-1]
    rows = [
        np.concatenate(inside[first : first + across], axis=1)
        for first in range(0, len(inside), across)
    ]
    return np.concatenate(rows).reshape(shape)


@cache
def trained_model(width: int) -> nu.Model:
    """Return a network that has learnt a little, for labels that mean something."""
    if width == NARROW:
        image, labels = nu.synthetic_em(sections=4, size=256)
        options = {"width": width, "patch_size": 64, "loss": "cross-entropy"}
        return nu.train(image, labels, steps=STEPS, **options)
    narrow = trained_model(NARROW)
    config = dataclasses.replace(narrow.config, width=width)
    network = build_network(config)
    network.load_state_dict(widened(narrow.network.state_dict(), network))
    return dataclasses.replace(narrow, network=network.eval(), config=config)


def widened(state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, Any]:
    """Return weights by which a wider network gives the same logits.

    Each feature stands there several times, and each has its share of the sum.
    """
    transposed = {
        f"{name}.weight"
        for name, layer in network.named_modules()
        if isinstance(layer, nn.ConvTranspose2d)
    }
    wide = {}
    for name, like in network.state_dict().items():
        times = [b // a for a, b in zip(state[name].shape, like.shape, strict=True)]
        value = state[name]
        for axis, count in enumerate(times):
            value = value.repeat_interleave(count, dim=axis)
        if len(times) > 1:
            value = value / times[0 if name in transposed else 1]
        wide[name] = value
    return wide


if __name__ == "__main__":
    main()
