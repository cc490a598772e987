"""What a training says about itself: its record, its start and its end."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_unet.data.masks.classes import Classes
from napari_unet.data.masks.scale import Scale
from napari_unet.evaluation.regression import RegressionScores
from napari_unet.events import TrainingFinished, Validated
from napari_unet.training.augmentation import patch_shape
from napari_unet.training.dataset import Kept
from napari_unet.training.run import versions
from napari_unet.training.split import Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.data.stack import Stack
    from napari_unet.evaluation.overlap import OverlapScores
    from napari_unet.training.dataset import Dataset
    from napari_unet.training.pairs import Pair
    from napari_unet.training.run import Progress, RunFolder

_ENDS = {
    "budget": "The time is used up.",
    "steps": "All steps are done.",
    "stopped": "Stopped.",
    "no progress": "Stopped early: the score no longer rises.",
}


def describe_run(data: Dataset, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return what a run folder's ``config.json`` holds."""
    training, validation = data.describe_split()
    return {
        "options": data.config.to_dict(),
        "network": data.network.to_dict(),
        "classes": None if data.config.regresses else data.target.to_dict(),
        **({"scale": data.target.to_dict()} if data.config.regresses else {}),
        "data": describe_data(data, pairs),
        "split": {"training": training, "validation": validation},
        "versions": versions(),
    }


def describe_data(data: Dataset, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return what a run folder holds of its images and labels as they are now."""
    return {
        "pairs": [
            {
                "image": _describe(image),
                "labels": _describe(labels),
                "split": split.describe(),
                "parts": asdict(split),
                "fingerprints": prints,
            }
            for (image, labels), split, prints in zip(
                pairs, data.splits, data.prints, strict=True
            )
        ],
        "sha256": data.digest,
        "images_sha256": data.image_digest,
    }


def what_is_kept(recorded: Mapping[str, Any]) -> Kept | None:
    """Return what `describe_run` has recorded that stays; None of an older version."""
    parts = [pair.get("parts") for pair in recorded["data"]["pairs"]]
    if None in parts:
        return None
    target: Classes | Scale
    if recorded["classes"] is None:
        target = Scale.from_dict(recorded["scale"])
    else:
        target = Classes.from_dict(recorded["classes"])
    return Kept(target, [Split.from_dict(part) for part in parts])


def describe_plan(data: Dataset) -> dict[str, Any]:
    """Say before a training what it would do."""
    training, validation = data.describe_split()
    network = data.network
    what = "values" if data.config.regresses else "mask_values"
    return {
        what: data.target.describe(data.counts),
        "training": training,
        "held_out": validation,
        "network": f"{network.name}, depth {network.depth}, width {network.width}",
        "patch": " × ".join(map(str, patch_shape(data.config))),
        "batch_size": data.config.batch_size,
        "loss": data.config.loss,
        "remark": data.remark,
    }


def judged(
    progress: Progress,
    loss: float,
    scores: OverlapScores | RegressionScores,
    *,
    best: bool,
) -> Validated:
    """Say how the held-out part was predicted."""
    assert progress.smoothed is not None
    if isinstance(scores, RegressionScores):
        return Validated(
            progress.step,
            loss,
            *({}, {}, {}, {}),
            scores.score,
            progress.smoothed,
            best,
            *(scores.r2, scores.mae, scores.rmse),
        )
    by_class = {scored.name: scored for scored in scores.classes}
    return Validated(
        progress.step,
        loss,
        {name: scored.iou for name, scored in by_class.items()},
        {name: scored.dice for name, scored in by_class.items()},
        {name: scored.precision for name, scored in by_class.items()},
        {name: scored.recall for name, scored in by_class.items()},
        scores.score,
        progress.smoothed,
        best,
    )


def finished(
    run: RunFolder | None, progress: Progress, reason: str, why: str, *, kept: bool
) -> TrainingFinished:
    """Say how the training ended, and where its best model is, if any was kept."""
    where = f" It is {run.model}." if run else ""
    best = (
        f"The best model is that of step {progress.best_step} of {progress.step}."
        f"{where}"
    )
    return TrainingFinished(
        str(run.model) if run and kept else None,
        progress.step,
        progress.best_step,
        progress.best,
        reason,
        f"{why or _ENDS[reason]} {best if kept else 'There is no model.'}",
    )


def _describe(stack: Stack) -> dict[str, Any]:
    return {
        "source": str(stack.source) if stack.source else None,
        "name": stack.name,
        "shape": list(stack.shape),
        "axes": stack.axes,
        "dtype": str(stack.dtype),
        "pixel_size": dict(stack.pixel_size),
        "unit": stack.unit,
    }
