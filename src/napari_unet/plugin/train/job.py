"""From two layers, a run folder and the options entered to a training's job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.config import TrainingConfig
from napari_unet.data import Stack, check_pair
from napari_unet.errors import UNetError
from napari_unet.plugin import pixels, runs
from napari_unet.plugin.layers import mask_from_layer, stack_from_layer
from napari_unet.plugin.pixel_job import PixelJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from threading import Event

    from napari.layers import Image, Labels

    from napari_unet.plugin.worker_client import WorkerClient

    Pair = tuple[Stack, Stack]


def stacks_of(image: Image | None, labels: Labels | None) -> tuple[Stack, Stack]:
    """Describe the layers to train on as stacks.

    Raises
    ------
    UNetError
        If one is missing, or they do not belong to each other.
    """
    if image is None:
        raise UNetError(
            "There is no image layer to train on. Open one, or try File ▸ Open "
            "Sample ▸ U-Net."
        )
    if labels is None:
        raise UNetError(
            "There is no labels layer to learn from. Open those that belong to "
            f"{image.name!r}, or add a labels layer and paint each class on it."
        )
    stack = stack_from_layer(image)
    same = labels.ndim == len(stack.section_axes)
    mask = mask_from_layer(labels, axes=stack.section_axes if same else None)
    check_pair(stack, mask)
    return stack, mask


def train_job(
    worker: WorkerClient,
    pairs: Sequence[Pair],
    run: Path,
    entered: dict[str, Any],
    *,
    resume: bool,
    begin: Callable[[], None] = lambda: None,
) -> PixelJob:
    """Make the job, and a folder for its pixels in the run folder.

    Parameters
    ----------
    worker : WorkerClient
    pairs : sequence of (Stack, Stack)
        Images with their labels.
    run : Path
    entered : dict
        Every option, by name. Of a run that is resumed, those that were changed are
        sent; whether they may be, the worker knows.
    resume : bool
    begin : callable
        Called in a background thread once the pixels are written.

    Raises
    ------
    ConfigError
        If options do not fit each other.
    OutputExistsError
        If the folder holds another run or model and is not resumed.
    UNetError
        If the folder cannot be written to.
    """
    if resume:
        sent = runs.changes(entered, runs.stored_options(run) or {})
    else:
        runs.check_free(run)
        sent = TrainingConfig.from_dict(entered).to_dict()
    more = {"do": "train", "run": str(run), "resume": resume}
    more |= {"more": True, "new_labels": True} if resume else {}
    return _job(worker, pairs, pixels.private_folder(run), sent, more, begin)


def preview_job(
    worker: WorkerClient, image: Stack, labels: Stack, entered: dict[str, Any]
) -> PixelJob:
    """Make the job that draws training patches to look at.

    Raises
    ------
    ConfigError
        If options do not fit each other.
    """
    sent = TrainingConfig.from_dict(entered).to_dict()
    folder = pixels.temporary_folder()
    return _job(worker, [(image, labels)], folder, sent, {"do": "preview"})


def probe_job(
    worker: WorkerClient, pairs: Sequence[Pair], entered: dict[str, Any]
) -> PixelJob:
    """Make the job that tries a training for a second, and gives way to any other.

    Raises
    ------
    ConfigError
        If options do not fit each other.
    """
    sent = TrainingConfig.from_dict(entered).to_dict()
    folder = pixels.temporary_folder()
    more = {"do": "probe"}
    return _job(worker, pairs, folder, sent, more, gives_way=True)


def _job(
    worker: WorkerClient,
    pairs: Sequence[Pair],
    folder: Path,
    options: dict[str, Any],
    more: dict[str, Any],
    begin: Callable[[], None] = lambda: None,
    *,
    gives_way: bool = False,
) -> PixelJob:
    files: dict[Path, Stack] = {}
    described = []
    for number, (image, labels) in enumerate(pairs):
        paths = [folder / f"{what}-{number}.npy" for what in ("image", "labels")]
        files |= zip(paths, (image, labels), strict=True)
        described.append(_describe(image, labels, *paths))

    def prepare(cancelled: Event) -> dict[str, Any] | None:
        if not pixels.write_pixels(files, cancelled):
            return None
        begin()
        return {}

    several = {"pairs": described} if len(described) > 1 else {}
    request = {**described[0], **several, "options": options, **more}
    return PixelJob(worker, request, prepare, folder, gives_way=gives_way)


def _describe(
    image: Stack, labels: Stack, image_path: Path, labels_path: Path
) -> dict[str, Any]:
    return {
        **pixels.describe(image, image_path),
        "labels": str(labels_path),
        "labels_axes": labels.axes,
        "labels_name": labels.name,
        "labels_source": str(labels.source) if labels.source else None,
    }
