"""Memory and start-up time of ``napari-unet predict``, from file to file."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from timing import in_turn, median, python, ratio, untrained_model

if TYPE_CHECKING:
    from collections.abc import Iterator

PREDICT = (
    "import resource, sys; from napari_unet.cli import main; "
    "assert main(sys.argv[1:]) == 0; "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


def stack_memory(few: int = 4, many: int = 400, edge: int = 512, **network: Any) -> str:
    """Compare the memory for few and for many sections."""
    with tempfile.TemporaryDirectory() as name:
        peaks = [
            peak_memory(Path(name), (count, edge, edge), **network)
            for count in (few, many)
        ]
    return _compared(peaks, [f"{few} sections of {edge}²", f"{many}"])


def image_memory(
    small: int = 4096, large: int = 16384, memory: str = "1GB", **network: Any
) -> str:
    """Compare the memory for a small and for a large image, both cut into tiles."""
    with tempfile.TemporaryDirectory() as name:
        peaks = [
            peak_memory(Path(name), (1, edge, edge), "--memory", memory, **network)
            for edge in (small, large)
        ]
    return _compared(peaks, [f"{small}²", f"{large}²"])


def start_up() -> str:
    """Compare ``predict`` of one small image with importing torch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = untrained_model().save(folder / "model.safetensors")
        image = write_image(folder, (1, 512, 512))
        words = ["-m", "napari_unet", "predict", model, image, "--out", folder]
        torch, ours = in_turn(
            lambda: python("-c", "import torch"),
            lambda: python(*words, "--overwrite", "--quiet"),
        )
    return f"{ratio(ours, torch):.2f} ({median(ours):.2f} s)"


def peak_memory(
    folder: Path, shape: tuple[int, int, int], *flags: str, **network: Any
) -> float:
    """Return the peak memory in MB of a process that predicts a file of that shape."""
    model = untrained_model(**network).save(folder / "model.safetensors")
    image = write_image(folder, shape)
    words = ["predict", model, image, "--out", folder, "--overwrite", "--quiet"]
    peak = int(python("-c", PREDICT, *words, "--probabilities", *flags))
    return peak / (1024 if sys.platform == "linux" else 1024**2)


def write_image(folder: Path, shape: tuple[int, int, int]) -> Path:
    """Write noise, tile after tile, to a TIFF that is as large as it needs to be."""
    import tifffile

    path = folder / f"{'x'.join(map(str, shape))}.tif"
    tifffile.imwrite(
        path,
        _tiles(shape),
        shape=shape,
        dtype=np.uint8,
        tile=(256, 256),
        compression="zlib",
        metadata={"axes": "ZYX"},
        photometric="minisblack",
    )
    return path


def _tiles(shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    sections, height, width = shape
    random = np.random.default_rng(0)
    for _ in range(sections * -(-height // 256) * -(-width // 256)):
        yield random.integers(0, 255, (256, 256), dtype=np.uint8)


def _compared(peaks: list[float], names: list[str]) -> str:
    first, second = peaks
    return (
        f"{second / first:.2f} ({first:.0f} MB for {names[0]}, {second:.0f} MB for "
        f"{names[1]})"
    )
