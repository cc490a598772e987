"""Speed and memory, each beside the floor it is measured against: ``make bench``.

All numbers come from one run on the synthetic EM stack, two by two in turn, so that a
machine that is busy or slow spoils both sides alike. Ratios are medians.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from memory import image_memory, stack_memory, start_up
from timing import in_turn, median, python, ratio


def main() -> None:
    """Run all benchmarks and print a line for each."""
    for name, benchmark in {
        "import napari_unet": import_time,
        "training step, share outside the network": training_overhead,
        "augmentation, share of a training step": augmentation_share,
        "predict in the shell over importing torch": start_up,
        "memory to predict many sections over few": stack_memory,
        "memory to predict a large image over a small": image_memory,
        "from a request to the worker to the first loss": first_loss,
    }.items():
        print(f"{name + ':':48} {benchmark()}", flush=True)


def import_time() -> str:
    """Compare starting Python and importing the package with starting Python."""
    bare, ours = in_turn(
        lambda: python("-c", "pass"), lambda: python("-c", "import napari_unet")
    )
    return f"{1000 * (median(ours) - median(bare)):.1f} ms beside {median(bare):.3f} s"


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
        half = trainer.learner.dtype == torch.bfloat16
        for _ in range(4):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = trainer.learner.network(batch.image)
            loss = trainer.learner.loss(logits.float(), batch.labels, batch.weights)
            trainer.learner.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            trainer.learner.optimizer.step()

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


if __name__ == "__main__":
    main()
