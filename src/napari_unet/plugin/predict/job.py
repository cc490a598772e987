"""From a layer, a model and what is wanted to a prediction's job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.config import PredictionConfig
from napari_unet.errors import ModelError, UNetError
from napari_unet.model import find_model, read_info
from napari_unet.plugin import pixels
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.pixel_job import PixelJob
from napari_unet.plugin.predict.handover import Handover, files_of
from napari_unet.plugin.predict.where import BOXES, region_in
from napari_unet.plugin.results import Target, result_layers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_unet.data import Stack
    from napari_unet.data.region import Region
    from napari_unet.plugin.results import LayerData
    from napari_unet.plugin.session import Session


@dataclass(frozen=True)
class Prediction:
    """A prediction that is ordered: its job, and what becomes of its files.

    Attributes
    ----------
    job : PixelJob
    target : Target
    info : mapping
        `read_info` of the model.
    model : str
        Its path.
    files : mapping of str to str
        Where the worker writes what it finds, by what that is.
    """

    job: PixelJob
    target: Target
    info: Mapping[str, Any]
    model: str
    files: Mapping[str, str]

    def layers(self) -> list[LayerData]:
        """Open the files, which the worker has made, as layers."""
        return result_layers(self.target, self.info, self.model, self.files)


def order_prediction(
    viewer: ViewerModel,
    session: Session,
    layer: Image | None,
    model: Path | None,
    where: str,
    wanted: Collection[str],
    entered: dict[str, Any],
) -> Prediction:
    """Make the job that predicts a layer, and a folder for its pixels.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    layer : Image or None
    model : Path or None
        Its file or run folder.
    where : str
        One of `BOXES`, or anything else for the whole image.
    wanted : collection of str
        What besides labels: probabilities, objects, attention.
    entered : dict
        Every option, by name.

    Raises
    ------
    UNetError
        If something is missing, the worker is busy, or the part lies outside of the
        image.
    """
    layer, file = find_both(layer, model)
    session.check_free()
    info = read_info(file)
    stack = stack_from_layer(layer)
    region = region_asked(viewer, layer, stack, where)
    config = PredictionConfig.from_dict(entered)
    folder = pixels.temporary_folder()
    copy = folder / "image.npy"
    main = "prediction" if info["classes"] is None else "labels"
    names = [main, *wanted] + ["uncertainty"] * (config.uncertainty != "none")
    files = {name: str(folder / f"{name}.npy") for name in names}
    request = {
        "do": "predict",
        **pixels.describe(stack, copy),
        "model": str(file),
        "region": region and region.bounds,
        "results": files,
        "options": config.to_dict(),
    }
    # What of an image is seen at another pixel size depends on all of it.
    part = None if config.rescale else region
    hand_over = Handover(stack, files_of(layer), copy, part, info["network"])
    job = PixelJob(session.worker, request, hand_over, folder)
    target = Target.of(layer, stack, region)
    return Prediction(job, target, info, str(model), files)


def region_asked(
    viewer: ViewerModel, layer: Image, stack: Stack, where: str
) -> Region | None:
    """Return the part of an image that is to be predicted; None for all of it."""
    if where not in BOXES:
        return None
    return region_in(BOXES[where](viewer, layer), layer, stack, where)


def find_both(layer: Image | None, model: Path | None) -> tuple[Image, Path]:
    """Return the layer and the model's file, or say what is missing."""
    if layer is None:
        raise UNetError(
            "There is no image layer to predict. Open an image, or try File ▸ Open "
            "Sample ▸ U-Net."
        )
    if model is None:
        raise ModelError(
            "There is no model to predict with. Train one in Plugins ▸ U-Net ▸ "
            "Train, or choose a model file with the … button."
        )
    return layer, find_model(model)
