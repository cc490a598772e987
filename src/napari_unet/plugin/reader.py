"""Opens OME-Zarr, models, and the stacks of the ISBI 2012 challenge and their like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari import current_viewer
from napari.utils.notifications import show_error, show_info, show_warning

from napari_unet.data import open_stack
from napari_unet.data.read.lazy import is_zarr
from napari_unet.data.read.ome_zarr import holds_labels, list_labels, open_levels
from napari_unet.errors import ModelError
from napari_unet.model import MODEL_FILE, read_info
from napari_unet.plugin.correct.store import is_saved, open_saved
from napari_unet.plugin.layers import layer_from_levels, layer_from_stack
from napari_unet.plugin.session import open_widget, session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str], list[Any]] | None:
    """Return the function that reads `path`: a TIFF file, zarr, a model, or its run.

    Parameters
    ----------
    path : str or list of str
        What was dropped on the viewer; napari has matched it with the patterns of the
        manifest.
    """
    if isinstance(path, list):
        return None
    given = Path(path)
    if given.suffix.lower() == ".safetensors" or (given / MODEL_FILE).is_file():
        return choose_model
    if is_zarr(given):
        return read_zarr
    return read if given.is_file() else None


def choose_model(path: str) -> list[tuple[None]]:
    """Make a model the one to predict with, and open the Predict widget.

    Nothing of the file is run, and no layer is added. Of a file that is no model of
    this program the user is told.
    """
    try:
        model = read_info(path)
    except ModelError as error:  # napari would bury the sentence in its own
        show_error(str(error))
        return [(None,)]
    if (viewer := current_viewer()) is not None:
        session_of(viewer).announce(Path(path))
        open_widget(viewer, "Predict")
        show_info(f"The model {model.get('name') or Path(path).name} is chosen.")
    return [(None,)]


def read_zarr(path: str) -> list[LayerData]:
    """Read an image at all its resolutions with its labels; pixels stay on the disk.

    Raises
    ------
    StackFormatError
        If it is damaged, or a plate or another group of several images.
    """
    image = Path(path)
    if is_saved(image):
        return [open_saved(image)]
    inside = list_labels(image)
    layers = [layer_from_levels(open_levels(each), "labels") for each in inside]
    if not holds_labels(image):
        return [layer_from_levels(open_levels(image), "image"), *layers]
    return layers or [layer_from_levels(open_levels(image), "labels")]


def read(path: str) -> list[LayerData]:
    """Read a stack as an image, or as labels where its name says so.

    What there is to remark on the file, such as pages left out, the user is told.

    Raises
    ------
    StackFormatError
        If it is damaged or no image stack.
    """
    stack = open_stack(path)
    for remark in stack.remarks:
        show_warning(f"{Path(path).name}: {remark}")
    named_labels = "labels" in Path(path).stem.lower()
    is_mask = named_labels and stack.dtype.kind in "bui" and stack.n_channels == 1
    return [layer_from_stack(stack, "labels" if is_mask else "image")]
