"""From a prediction's layer and a truth's to the job that compares them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.config import EvaluationConfig
from napari_unet.data.masks.find import check_pair
from napari_unet.errors import ModelError, UNetError
from napari_unet.model import read_info
from napari_unet.plugin import pixels
from napari_unet.plugin.evaluate.alignment import Overlap, find_overlap
from napari_unet.plugin.evaluate.predicted import Predicted, find_predicted
from napari_unet.plugin.layers import placement, stack_from_layer
from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY
from napari_unet.plugin.pixel_job import PixelJob
from napari_unet.plugin.predict.handover import files_of, same_pixels
from napari_unet.plugin.replay.recipes import EvaluateRecipe
from napari_unet.plugin.replay.sources import LayerRef

if TYPE_CHECKING:
    from threading import Event

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_unet.data import Stack
    from napari_unet.plugin.evaluate.alignment import Bounds
    from napari_unet.plugin.session import Session


@dataclass(frozen=True)
class Comparing:
    """An evaluation that is ordered: its job, and where its errors belong.

    Attributes
    ----------
    job : PixelJob
    name : str
        Of the prediction.
    axes : str
        Those of the errors in the order of the layer's dimensions.
    place : dict
        Where the errors lie.
    metadata : dict
        What the errors know of their model.
    """

    job: PixelJob
    name: str
    axes: str
    place: dict[str, Any]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class _Side:
    """A layer, or the layers of all classes, on their way to the worker."""

    stacks: list[Stack]
    files: list[tuple[Path, ...]]
    facts: dict[str, Any]

    def hand_over(self, folder: Path, cancelled: Event) -> dict[str, Any] | None:
        """Find the files or write the pixels; None if it was cancelled."""
        found = []
        for number, (stack, files) in enumerate(
            zip(self.stacks, self.files, strict=True)
        ):
            file = next((each for each in files if same_pixels(each, stack)), None)
            if file is None:
                file = folder / f"{self.facts['role']}-{number}.npy"
                if not pixels.write_part(file, stack, cancelled):
                    return None
            found.append(str(file))
        return {**self.facts, "files": found}


def order_comparison(
    viewer: ViewerModel,
    session: Session,
    layers: tuple[Layer | None, Layer | None, Layer | None],
    kind: str,
    entered: dict[str, Any],
) -> Comparing:
    """Make the job that compares layers, and a folder for its pixels.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    layers : (Layer, Layer, Layer)
        Prediction, truth and image; the image may be None.
    kind : str
        One of `napari_unet.evaluation.whole.COMPARISONS`.
    entered : dict
        Every option, by name.

    Raises
    ------
    UNetError
        If something is missing, the layers do not lie on each other, or the worker is
        busy.
    """
    prediction, truth, image = layers
    if prediction is None or truth is None:
        raise UNetError(
            "Two layers are compared: a prediction, and labels or an image with the "
            "truth. Predict in Plugins ▸ U-Net ▸ Predict, or open both files."
        )
    if prediction is truth:
        raise UNetError(
            f"{truth.name!r} is chosen as the prediction and as its truth. Choose "
            "another layer for one of them."
        )
    session.check_free(session.side)
    config = EvaluationConfig.from_dict(entered)
    true = stack_from_layer(truth)
    predicted = find_predicted(viewer, prediction, truth)
    overlap = _overlap(prediction, truth, predicted.stacks[0], true)
    sides = {
        "prediction": _predicted(predicted, overlap.first),
        "truth": _side("truth", truth, true, overlap.second),
    }
    remarks = [overlap.remark] if overlap.remark else []
    if image is not None:
        if shown := _image(image, truth, true, overlap.second):
            sides["image"] = shown
        else:
            remarks.append(
                f"{image.name!r} does not lie on the truth: there is no picture of it."
            )
    model = known_model(prediction)
    about = {"kind": kind, "model": model and str(model), "remarks": remarks}
    job = _job(session, sides, {**about, "options": config.to_dict()})
    metadata = {MODEL_KEY: str(model or ""), RESULT_KEY: {"what": "errors"}}
    place = _placed(truth, true, overlap.second)
    return Comparing(job, prediction.name, true.section_axes, place, metadata)


def _job(session: Session, sides: dict[str, _Side], asked: dict[str, Any]) -> PixelJob:
    folder = pixels.temporary_folder()
    results = {
        "errors": str(folder / "errors.npy"),
        "page": str(folder / "report.html"),
    }

    def prepare(cancelled: Event) -> dict[str, Any] | None:
        found = {
            role: side.hand_over(folder, cancelled) for role, side in sides.items()
        }
        return None if None in found.values() else found

    request = {"do": "evaluate", **asked, "results": results}
    return PixelJob(session.side, request, prepare, folder)


def comparison_recipe(
    viewer: ViewerModel,
    layers: tuple[Layer | None, Layer | None, Layer | None],
    kind: str,
    entered: dict[str, Any],
) -> EvaluateRecipe:
    """Say how a comparison of layers is done from files.

    Raises
    ------
    UNetError
        If something is missing, or it cannot be done from files.
    """
    prediction, truth, image = layers
    if prediction is None or truth is None:
        raise UNetError("Choose a prediction and a truth first.")
    predicted = find_predicted(viewer, prediction, truth)
    true, shape = stack_from_layer(truth), predicted.stacks[0]
    overlap = _overlap(prediction, truth, shape, true)
    region = None
    if overlap.first is not None and overlap.second is not None:
        known = dict(zip(true.section_axes, overlap.second, strict=True))
        if [stop - start for start, stop in overlap.first] != [*shape.shape]:
            raise UNetError(
                f"{prediction.name!r} reaches beyond the truth, which no command line "
                "says. Crop it to the truth first."
            )
        axes = [axis for axis in true.section_axes if axis not in "YX"] + ["Y", "X"]
        region = ",".join(f"{known[axis][0]}:{known[axis][1]}" for axis in axes)
    return EvaluateRecipe(
        predicted.replayed(),
        LayerRef(truth),
        image and LayerRef(image),
        known_model(prediction),
        kind,
        entered,
        region,
    )


def known_model(layer: Layer) -> Path | None:
    """Return the model that predicted a layer, if it is still there."""
    named = layer.metadata.get(MODEL_KEY)
    if not named:
        return None
    try:
        read_info(named)
    except ModelError:
        return None
    return Path(named)


def _overlap(prediction: Layer, truth: Layer, shape: Stack, true: Stack) -> Overlap:
    axes = shape.section_axes
    dimensions = [axis for axis in shape.axes if axis not in "CS"]
    if axes != true.section_axes or prediction.ndim != len(dimensions):
        check_pair(shape, true)  # says what does not fit
        return Overlap()
    return find_overlap(prediction, truth, (shape, true), axes)


def _predicted(predicted: Predicted, bounds: Bounds | None) -> _Side:
    """Return a prediction; of probabilities those of all classes together."""
    stacks = predicted.stacks
    side = _side("prediction", predicted.layers[0], stacks[0], bounds)
    files = [files_of(each) for each in predicted.layers]
    facts = {**side.facts, "name": predicted.name, **predicted.facts()}
    return _Side(stacks, files, facts)


def _side(role: str, layer: Layer, stack: Stack, bounds: Bounds | None) -> _Side:
    facts: dict[str, Any] = {
        "role": role,
        "axes": stack.axes,
        "name": stack.name,
        "pixel_size": dict(stack.pixel_size),
        "unit": stack.unit,
    }
    if bounds is not None:
        known = dict(zip(stack.section_axes, bounds, strict=True))
        facts["bounds"] = [
            known.get(axis, (0, length))
            for axis, length in zip(stack.axes, stack.shape, strict=True)
        ]
    return _Side([stack], [files_of(layer)], facts)


def _image(
    image: Image, truth: Layer, true: Stack, bounds: Bounds | None
) -> _Side | None:
    """Return the image as far as it lies on the truth; None where it does not."""
    try:
        stack = stack_from_layer(image)
        overlap = _overlap(image, truth, stack, true)
    except UNetError:
        return None
    return None if overlap.first else _side("image", image, stack, bounds)


def _placed(truth: Layer, stack: Stack, bounds: Bounds | None) -> dict[str, Any]:
    """Return where the errors lie: on the part of the truth that was compared."""
    place = placement(truth)
    if bounds is not None:
        corner = [start for start, _ in bounds]
        world = truth.affine.inverse(truth.data_to_world(corner))
        place["translate"] = list(world)
    return place
