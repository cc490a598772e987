"""Opens the stacks of the ISBI 2012 challenge, and others that carry its file names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning

from napari_unet.data import open_stack
from napari_unet.plugin.layers import layer_from_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the function that reads `path`, if it is a single TIFF file.

    Parameters
    ----------
    path : str or list of str
        What was dropped on the viewer; napari has matched it with the patterns of the
        manifest.
    """
    if isinstance(path, list) or not Path(path).is_file():
        return None
    return read


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
