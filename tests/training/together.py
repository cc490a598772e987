"""What each process of a team does in test_parallel.py, started by torchrun."""

from __future__ import annotations

import atexit
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from safetensors.torch import save_file

from napari_unet import train
from napari_unet.config import TrainingConfig
from napari_unet.data import Stack
from napari_unet.errors import TrainingError
from napari_unet.training.dataset import Dataset
from napari_unet.training.learner import Learner
from napari_unet.training.loop import Trainer
from napari_unet.training.parallel import Team, find_team

SMALL: dict[str, Any] = {
    "depth": 2,
    "width": 4,
    "patch_size": 32,
    "batch_size": 3,
    "precision": "fp32",
    "device": "cpu",
    "dropout": 0.0,
    "zero_is_unlabelled": True,
}
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "weighted": {"loss": "border-cross-entropy"},
    "dice": {"loss": "cross-entropy-dice", "clip": 0.01},
    "focal": {"loss": "focal"},
    "deeply supervised": {"network": "unet++"},
    "separable": {"network": "unet-xception"},
    "volumes": {"network": "unet-3d", "patch_depth": 4},
    "values": {"task": "regression"},
}


def pair() -> tuple[Stack, Stack]:
    """Return an image with scribbles: much in some places, little in others."""
    random = np.random.default_rng(0)
    classes = np.kron(random.integers(1, 3, (8, 8, 8)), np.ones((8, 8)))
    image = (80 * classes + random.integers(0, 90, classes.shape)).astype(np.uint8)
    labels = classes.astype(np.uint8)
    labels[:, :32] *= random.random(labels[:, :32].shape) < 0.02
    return Stack(image, "ZYX"), Stack(labels, "ZYX")


def gradients(
    options: dict[str, Any], team: Team, share: slice
) -> dict[str, torch.Tensor]:
    """Return the gradient of a step, and what batch normalisation keeps of it."""
    data = Dataset([pair()], TrainingConfig.from_dict({**SMALL, **options}))
    learner = Learner(data.config, data.network, team)
    learner.step(data.batch(1, share), 1, 0, 0.5, 0)
    named = learner.network.named_parameters()
    found = {name: each.grad for name, each in named if each.grad is not None}
    kept = learner.network.named_buffers()
    return {**found, **{name: each for name, each in kept if each.is_floating_point()}}


def compare_gradients(team: Team, folder: Path) -> None:
    """Write what the team finds, what one process finds, and the mean of each alone."""
    for name, options in CASES.items():
        together = gradients(options, team, team.share)
        if not team.leads:
            continue
        alone = gradients(options, Team(), slice(None))
        each = [gradients(options, Team(), slice(i, None, 2)) for i in range(2)]
        mean = {key: (each[0][key] + each[1][key]) / 2 for key in alone}
        found = {"together": together, "alone": alone, "mean": mean}
        for how, tensors in found.items():
            copies = {key: value.contiguous() for key, value in tensors.items()}
            save_file(copies, folder / f"{name}.{how}.safetensors")


def end_without_a_number(team: Team) -> str:
    """Let the loss become no number in the first step; return what is said."""
    config = TrainingConfig.from_dict({**SMALL, "steps": 3, "learning_rate": 1.0})
    trainer = Trainer([pair()], config, team=team)
    with torch.no_grad():
        next(trainer.learner.network.parameters()).fill_(torch.nan)
    try:
        list(trainer.events())
    except TrainingError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    team = find_team()
    left = folder / f"{team.rank}.threads"
    atexit.register(lambda: left.write_text(str(psutil.Process().num_threads())))
    team.join()  # what is asked for last comes first in the end: the team parts
    compare_gradients(team, folder)
    said = end_without_a_number(team)
    events: list[str] = []
    model = train(
        *pair(),
        **SMALL,
        steps=4,
        run=folder / "run",
        on_event=lambda event: events.append(type(event).__name__),
    )
    weights = {
        key: value.sum().item() for key, value in model.network.state_dict().items()
    }
    told = {"said": said, "events": events, "weights": weights}
    (folder / f"{team.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
