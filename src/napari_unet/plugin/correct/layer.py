"""The layer of corrections: what a person says of an image, apart from predictions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.parts.choices import (
    CORRECTIONS_KEY,
    MODEL_KEY,
    PREVIEW_KEY,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    Bounds = Sequence[tuple[int, int]]
    """First pixel and the one after the last along each axis."""

_COLOURS = ("#4a90d9", "#e8a33d", "#56b36b", "#c774d8", "#d9534f", "#46c2c2", "#b0a030")
"""Of classes that a prediction shows in no colour."""


@dataclass(frozen=True)
class Corrections:
    """What the values of a layer of corrections mean; kept in its metadata.

    Attributes
    ----------
    image : str
        The `unique_id` of the image.
    name : str
        What the image was called.
    model : str
        Path of the model whose predictions are corrected.
    values : tuple of int
        Those of the classes, as in the prediction.
    names : tuple of str
    unlabelled : int
        Stands where nothing was said yet: 0 unless that is a class.
    """

    image: str
    name: str
    model: str
    values: tuple[int, ...]
    names: tuple[str, ...]
    unlabelled: int

    @classmethod
    def of(cls, image: Image, model: str, info: Mapping[str, Any]) -> Corrections:
        """Describe the corrections of what a model predicts of an image.

        Parameters
        ----------
        image : Image
        model : str
        info : mapping
            `napari_unet.model.read_info` of the model.
        """
        classes = info["classes"]
        values = tuple(int(each) for each in classes["values"])
        ignored = [int(each) for each in classes.get("ignore", ())]
        return cls(
            str(image.unique_id),
            image.name,
            model,
            values,
            tuple(classes["names"]),
            unlabelled_value(values, ignored),
        )

    @classmethod
    def from_layer(cls, layer: Layer) -> Corrections:
        """Read what `metadata` wrote."""
        known = dict(layer.metadata[CORRECTIONS_KEY])
        for name in ("values", "names"):
            known[name] = tuple(known[name])
        return cls(**known)

    def metadata(self) -> dict[str, Any]:
        """Return what a layer keeps of it."""
        return {CORRECTIONS_KEY: asdict(self)}


def unlabelled_value(values: Iterable[int], ignored: Sequence[int] = ()) -> int:
    """Choose the value that means not annotated: 0 unless that is a class."""
    taken = set(values)
    if 0 not in taken:
        return 0
    wanted = [each for each in ignored if 0 < each <= 255]
    return next(each for each in (*wanted, *range(254, 0, -1)) if each not in taken)


def corrections_of(viewer: ViewerModel, image: Image | None) -> Labels | None:
    """Return the newest layer of corrections that fits an image, or None."""
    if image is None:
        return None
    shape = labels_shape(image)
    found = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and CORRECTIONS_KEY in layer.metadata
        and tuple(layer.data.shape) == shape
    ]
    own = [each for each in found if _belongs(each, image)]
    return own[-1] if own else None


def _belongs(layer: Labels, image: Image) -> bool:
    """Whether corrections are those of an image, which may have been opened again."""
    known = Corrections.from_layer(layer)
    return known.image == str(image.unique_id) or known.name == image.name


def labels_shape(image: Image) -> tuple[int, ...]:
    """Return the shape of the labels of an image."""
    stack = stack_from_layer(image)
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    return tuple(lengths[axis] for axis in stack.section_axes)


def find_annotations(viewer: ViewerModel, image: Image) -> Labels | None:
    """Return the newest labels that are neither ours nor of another shape, or None."""
    ours = {MODEL_KEY, PREVIEW_KEY, CORRECTIONS_KEY}
    shape = labels_shape(image)
    found = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and not layer.multiscale
        and not ours & layer.metadata.keys()
        and tuple(layer.data.shape) == shape
    ]
    return found[-1] if found else None


def seeded(pixels: Any, annotations: Any, corrections: Corrections) -> bool:
    """Copy annotations into new corrections; False if they are of other classes.

    Meant for a background thread.

    Parameters
    ----------
    pixels : array
        Those of the corrections, written section by section.
    annotations : array of int
        Of the same shape; 0 is not annotated.
    corrections : Corrections
    """
    known = np.array([corrections.unlabelled, *corrections.values])
    for index in np.ndindex(*pixels.shape[:-2]):
        section = np.asarray(annotations[index])
        if not np.isin(section, known).all():
            pixels[...] = corrections.unlabelled
            return False
        pixels[index] = section.astype(pixels.dtype)
    return True


def look_of(
    corrections: Corrections, prediction: Labels | None = None
) -> dict[str, Any]:
    """Return name and colours: those of the prediction; not annotated is transparent.

    The eraser paints the transparent value.
    """
    colours: dict[int | None, Any] = {None: "red"}
    for number, value in enumerate(corrections.values):
        colour = prediction.get_color(value) if prediction is not None else None
        seen = colour is not None and colour[3] > 0
        colours[value] = colour if seen else _COLOURS[number % len(_COLOURS)]
    unlabelled = corrections.unlabelled
    colours[unlabelled] = (0.0, 0.0, 0.0, 0.0)
    if unlabelled:
        colours.setdefault(0, _COLOURS[0])
    return {
        "name": f"{corrections.name} corrections",
        "colormap": DirectLabelColormap(
            color_dict=colours, background_value=unlabelled
        ),
        "opacity": 0.6,
        "metadata": corrections.metadata(),
    }


@dataclass(frozen=True)
class Change:
    """What was changed in a box of a layer, to be undone.

    Attributes
    ----------
    box : tuple of slice
    before, after : ndarray
    count : int
        How many pixels are others.
    """

    box: tuple[slice, ...]
    before: NDArray[Any]
    after: NDArray[Any]
    count: int


def accept(
    pixels: Any, prediction: NDArray[Any], bounds: Bounds, about: Corrections
) -> Change:
    """Take a part of a prediction as true where nothing was said yet.

    Meant for a background thread, for a section may be large: it touches no layer.

    Parameters
    ----------
    pixels : array
        Those of the corrections; written to.
    prediction : ndarray of int
        The pixels within `bounds`.
    bounds : sequence of (int, int)
        In pixels of the corrections.
    about : Corrections
    """
    box = tuple(slice(*each) for each in bounds)
    before = np.array(pixels[box])
    # A prediction where one looks holds another value where it is not computed.
    after = before.copy()
    for value in about.values:
        after[(before == about.unlabelled) & (prediction == value)] = value
    count = int(np.count_nonzero(after != before))
    if count:
        pixels[box] = after
    return Change(box, before, after, count)


def show_change(layer: Labels, change: Change) -> None:
    """Draw what was changed, and let it be undone as one stroke.

    The public way to change pixels (`data_setitem`) takes an index for every pixel, and
    a second for a section of 2048²; a box is stored at once.
    """
    if change.count:
        layer = getattr(layer, "__wrapped__", layer)
        layer._save_history((change.box, change.before, change.after))
        layer.refresh(extent=False)
