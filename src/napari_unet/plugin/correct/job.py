"""The job that finds unsure places, from what the viewer holds of a prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import PredictionConfig
from napari_unet.plugin import pixels
from napari_unet.plugin.layers import placement, stack_from_layer
from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY
from napari_unet.plugin.pixel_job import PixelJob
from napari_unet.plugin.replay.recipes import PredictRecipe
from napari_unet.plugin.replay.sources import ChannelsRef, LayerRef
from napari_unet.plugin.replay.unsure_recipe import UnsureRecipe

ASKED = {"uncertainty": "entropy"}
"""What the model is asked for, where nothing says how unsure it was."""

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from threading import Event

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_unet.plugin.correct.unsure import Subject
    from napari_unet.plugin.results import LayerData
    from napari_unet.plugin.session import Session


@dataclass(frozen=True)
class Search:
    """A search for unsure places: its job, and what becomes of its file.

    Attributes
    ----------
    job : PixelJob
    start : tuple of int
        The first pixel of the image that is predicted.
    axes : str
        Those of the places.
    place : dict
        Where the uncertainty lies, its name and metadata.
    result : Path or None
        Where the uncertainty is written, unless it is a layer already.
    """

    job: PixelJob
    start: tuple[int, ...]
    axes: str
    place: dict[str, Any]
    result: Path | None

    def layer(self) -> LayerData | None:
        """Open the uncertainty as a layer, once it is written."""
        if self.result is None:
            return None
        found = np.lib.format.open_memmap(self.result, "r+")
        look = {"contrast_limits": (0, 1), "colormap": "inferno", "visible": False}
        return found, {**self.place, **look, "blending": "additive"}, "image"


def start_of_result(layer: Layer) -> tuple[int, ...]:
    """Return the first pixel of the image that a result of ours shows."""
    start = layer.metadata.get(RESULT_KEY, {}).get("start")
    return tuple(start) if start else (0,) * layer.ndim


def uncertainty_of(
    viewer: ViewerModel, image: Image, prediction: Labels, classes: int
) -> list[Image]:
    """Return the layer of a prediction's uncertainty, or those of its probabilities.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : Image
    prediction : Labels
    classes : int
        As many probabilities are needed.

    Returns
    -------
    list of Image
        None if it is to be computed by the network.
    """
    results = [each for each in viewer.layers if RESULT_KEY in each.metadata]
    if known := prediction.metadata.get(RESULT_KEY):
        same = [e for e in results if _about(e)["prediction"] == known["prediction"]]
    else:
        model, which = prediction.metadata[MODEL_KEY], str(image.unique_id)
        same = [
            each
            for each in results
            if each.metadata[MODEL_KEY] == model and _about(each)["image"] == which
        ]
    unsure = [each for each in same if _about(each)["what"] == "uncertainty"]
    if unsure:
        return unsure[-1:]
    shares = {
        _about(each)["class"]: each
        for each in same
        if _about(each)["what"] == "probabilities"
    }
    return [shares[i] for i in sorted(shares)] if len(shares) == classes else []


def _about(layer: Layer) -> dict[str, Any]:
    return layer.metadata[RESULT_KEY]


def search(
    session: Session,
    image: Image,
    prediction: Labels,
    sources: Sequence[Image],
    annotated: tuple[Labels, int] | None,
    options: dict[str, int],
) -> Search:
    """Make the job that finds unsure places in the side worker.

    Parameters
    ----------
    session : Session
    image : Image
    prediction : Labels
    sources : sequence of Image
        From `uncertainty_of`.
    annotated : (Labels, int) or None
        The corrections, and their value that means not annotated.
    options : dict
        ``n`` and ``size``.

    Raises
    ------
    UNetError
        If the worker is busy, or the disk cannot be written to.
    """
    session.check_free(session.side)
    folder = pixels.temporary_folder()
    stacks = [stack_from_layer(each) for each in sources]
    files = [folder / f"unsure {i}.npy" for i in range(len(stacks))]
    start = start_of_result(sources[0])
    known = folder / "annotated.npy" if annotated else None
    result = folder / "uncertainty.npy" if len(stacks) > 1 else None
    labels = stack_from_layer(annotated[0]) if annotated else None
    if labels is not None:  # its axes are those of the image
        labels = replace(labels, axes=stacks[0].axes, pixel_size={})
    request = {
        "do": "unsure",
        "uncertainty": [str(each) for each in files],
        "axes": stacks[0].axes,
        "pixel_size": dict(stacks[0].pixel_size),
        "annotated": known and str(known),
        "unlabelled": annotated[1] if annotated else 0,
        "result": result and str(result),
        **options,
    }

    def prepare(cancelled: Event) -> dict[str, Any] | None:
        done = pixels.write_pixels(dict(zip(files, stacks, strict=True)), cancelled)
        if done and labels is not None and known is not None:
            shape = stacks[0].shape
            bounds = [(a, a + n) for a, n in zip(start, shape, strict=True)]
            done = pixels.write_part(known, labels, cancelled, bounds)
        return {} if done else None

    job = PixelJob(session.side, request, prepare, folder)
    about = prediction.metadata.get(RESULT_KEY, {})
    metadata = {
        MODEL_KEY: prediction.metadata[MODEL_KEY],
        RESULT_KEY: {**about, "what": "uncertainty", "class": 0},
    }
    place = placement(sources[0])
    name = f"{image.name} uncertainty"
    place |= {"name": name, "metadata": metadata}
    return Search(job, start, stacks[0].axes, place, result)


def search_recipe(
    subject: Subject,
    sources: Sequence[Image],
    asked: PredictRecipe | None,
    n: int,
    size: int,
) -> UnsureRecipe:
    """Return what is copied of a search.

    Parameters
    ----------
    subject : Subject
    sources : sequence of Image
        From `uncertainty_of`.
    asked : PredictRecipe or None
        What gave the one of them, if it was predicted for this search.
    n, size : int
    """
    layers = [LayerRef(each) for each in sources]
    source: LayerRef | ChannelsRef | PredictRecipe
    if asked is not None or not layers:
        options = PredictionConfig.from_dict(ASKED).to_dict()
        source = asked or PredictRecipe(LayerRef(subject.image), subject.model, options)
    elif len(layers) > 1:
        values = [str(each) for each in subject.info["classes"]["values"]]
        source = ChannelsRef(layers, values)
    else:
        source = layers[0]
    start = start_of_result(sources[0]) if sources else None
    known = subject.corrections and LayerRef(subject.corrections)
    return UnsureRecipe(source, known, subject.unlabelled, start, n, size)
