"""Speed and memory, each beside the floor it is measured against: ``make bench``.

All numbers come from one run on the synthetic EM stack, two by two in turn, so that a
machine that is busy or slow spoils both sides alike. Ratios are medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7


def main() -> None:
    """Run all benchmarks and print a line for each."""
    for name, benchmark in {
        "import napari_unet": import_time,
        "prediction, share of the bare network's speed": prediction_speed,
        "training step, share outside the network": training_overhead,
        "augmentation, share of a training step": augmentation_share,
        "memory peak while predicting": prediction_memory,
        "from a request to the worker to the first loss": first_loss,
    }.items():
        print(f"{name + ':':48} {benchmark()}", flush=True)


def import_time() -> str:
    """Compare starting Python and importing the package with starting Python."""
    bare, ours = in_turn(
        lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        lambda: subprocess.run(
            [sys.executable, "-c", "import napari_unet"], check=True
        ),
    )
    return f"{1000 * (median(ours) - median(bare)):.1f} ms beside {median(bare):.3f} s"


def prediction_speed() -> str:
    """Compare predict() with the folded network alone on the same sections."""
    import torch

    from napari_unet.config import PredictionConfig
    from napari_unet.data import synthetic_em
    from napari_unet.networks.compute import channels_last, fold_batch_norm
    from napari_unet.prediction import predict
    from napari_unet.prediction.predictor import Predictor

    image, _ = synthetic_em(sections=30)
    model = untrained_model()
    dtype = Predictor(model.network, model.config, PredictionConfig()).dtype
    network = fold_batch_norm(model.network).to(dtype)
    channels_last(network, dims=2)
    sections = [
        torch.from_numpy(image.section(index)[None].astype(np.float32))
        .to(dtype)
        .contiguous(memory_format=torch.channels_last)
        for index in range(image.n_sections)
    ]

    def bare() -> None:
        with torch.inference_mode():
            for section in sections:
                network(section)

    floor, ours = in_turn(bare, lambda: predict(model, image))
    rate = image.n_sections / median(ours)
    return f"{ratio(floor, ours):.2f} ({rate:.1f} sections of 512² per second)"


def training_overhead() -> str:
    """Compare a step of the training loop with forward, backward and optimiser."""
    import torch

    from napari_unet.config import TrainingConfig
    from napari_unet.data import synthetic_em
    from napari_unet.training.loop import Trainer

    trainer = Trainer([synthetic_em(sections=8)], TrainingConfig(steps=10**6))
    batch = trainer.data.batch(0)
    for step in range(40):  # all weight maps computed, all kernels chosen
        trainer.data.batch(step)

    def bare() -> None:
        half = trainer.dtype == torch.bfloat16
        for _ in range(4):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = trainer.network(batch.image)
            loss = trainer.loss(logits.float(), batch.labels, batch.weights)
            trainer.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            trainer.optimizer.step()

    def ours() -> None:
        for _ in range(4):
            trainer._step()

    floor, whole = in_turn(bare, ours)
    share = 1 - ratio(floor, whole)
    return f"{100 * share:.1f} % ({4 / median(whole):.1f} steps per second)"


def augmentation_share() -> str:
    """Compare drawing a step's patches with the whole step, for each preset."""
    from napari_unet.config import TrainingConfig
    from napari_unet.data import synthetic_em
    from napari_unet.presets import AUGMENTATIONS
    from napari_unet.training.loop import Trainer

    shares = []
    for multiscale in (False, True):
        for word in AUGMENTATIONS:
            config = TrainingConfig(steps=10**6, augment=word, multiscale=multiscale)
            trainer = Trainer([synthetic_em(sections=4)], config)
            for step in range(20):  # all weight maps computed
                trainer.data.batch(step)
            drawn, whole = in_turn(partial(draw, trainer), partial(train, trainer))
            name = f"{word}, multiscale" if multiscale else word
            shares.append(f"{name} {100 * ratio(drawn, whole):.1f} %")
    return "; ".join(shares)


def draw(trainer: Any) -> None:
    """Draw the patches of the next 4 steps."""
    for step in range(4):
        trainer.data.batch(trainer.progress.step + 1 + step)


def train(trainer: Any) -> None:
    """Do 4 steps."""
    for _ in range(4):
        trainer._step()


def prediction_memory() -> str:
    """Compare the memory for 4 and for 64 sections of 1024², from file to file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        untrained_model().save(folder / "model.safetensors")
        few, many = (peak_memory(folder, count) for count in (4, 64))
    return f"{few:.0f} MB for 4 sections of 1024², {many:.0f} MB for 64"


def peak_memory(folder: Path, sections: int) -> float:
    """Return the peak memory in MB of a process that predicts a file of sections."""
    from napari_unet.data import write_stack

    path = folder / f"{sections}.tif"
    noise = np.random.default_rng(0).integers(0, 255, (1024, 1024), dtype=np.uint8)
    write_stack(
        path, [noise] * sections, shape=(sections, 1024, 1024), axes="ZYX", dtype="u1"
    )
    code = (
        "import resource, sys; from napari_unet.cli import main; "
        "assert main(sys.argv[1:]) == 0; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    model = folder / "model.safetensors"
    command = [sys.executable, "-c", code, "predict", str(model), str(path)]
    command += ["--out", str(folder), "--probabilities", "--quiet"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout) / (1024 if sys.platform == "linux" else 1024**2)


def first_loss() -> str:
    """Time the worker process from a request to the first step, cold and warm."""
    from napari_unet.data import synthetic_em

    image, labels = synthetic_em(sections=24)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "image.npy", np.asarray(image))
        np.save(folder / "labels.npy", np.asarray(labels))
        start = time.perf_counter()
        worker = subprocess.Popen(
            [sys.executable, "-m", "napari_unet.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_for(worker, "Ready")
        ready = time.perf_counter() - start
        warm = time_to_first_step(worker, folder)
        worker.communicate(timeout=60)
    return f"{warm:.2f} s in a warm worker, {ready + warm:.2f} s in a cold one"


def time_to_first_step(worker: subprocess.Popen[str], folder: Path) -> float:
    """Ask the worker to train; return the seconds until the first step is done."""
    assert worker.stdin is not None
    request: dict[str, Any] = {
        "do": "train",
        "image": str(folder / "image.npy"),
        "labels": str(folder / "labels.npy"),
        "axes": "ZYX",
        "run": str(folder / "run"),
        "options": {"steps": 1},
    }
    start = time.perf_counter()
    worker.stdin.write(json.dumps(request) + "\n")
    worker.stdin.flush()
    wait_for(worker, "StepDone")
    return time.perf_counter() - start


def wait_for(worker: subprocess.Popen[str], event: str) -> None:
    """Read the worker's answers up to an event of that name."""
    assert worker.stdout is not None
    for line in worker.stdout:
        answer = json.loads(line)
        if answer["event"] == "Failed":
            raise RuntimeError(answer["message"])
        if answer["event"] == event:
            return


def untrained_model() -> Any:
    """Return a default model of two classes with random weights."""
    from napari_unet.config import NetworkConfig
    from napari_unet.data import Classes
    from napari_unet.model import Model
    from napari_unet.networks import build_network

    config = NetworkConfig()
    return Model(build_network(config).eval(), config, Classes((0, 255)))


def in_turn(
    first: Callable[[], object], second: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Time two functions in turn, after one round that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for function, times in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return seconds[0][1:], seconds[1][1:]


def median(seconds: list[float]) -> float:
    """Return the median."""
    return statistics.median(seconds)


def ratio(first: list[float], second: list[float]) -> float:
    """Return the median of first over second, pair by pair."""
    return median([a / b for a, b in zip(first, second, strict=True)])


if __name__ == "__main__":
    main()
