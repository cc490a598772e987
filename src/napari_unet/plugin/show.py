"""Opens napari on a result: ``python -m napari_unet.plugin.show --image IMAGE ...``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtWidgets import QApplication

from napari_unet.data import open_stack
from napari_unet.plugin.layers import layer_from_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

_WINDOW = (1400, 900)


def show(
    image: Path,
    labels: Path | None = None,
    truth: Path | None = None,
    probabilities: Path | None = None,
) -> napari.Viewer:
    """Open a window with an image, and what belongs to it on top.

    Parameters
    ----------
    image : Path
    labels : Path, optional
        The prediction, shown as an area.
    truth : Path, optional
        Shown as an outline.
    probabilities : Path, optional
        One image for each class, hidden at first.

    Returns
    -------
    napari.Viewer
    """
    viewer = napari.Viewer(title="U-Net", show=True)
    viewer.window.resize(*_WINDOW)
    _add(viewer, image, "image")
    if probabilities is not None:
        look = {"contrast_limits": (0, 1), "blending": "additive", "visible": False}
        _add(viewer, probabilities, "image", **look)
    if labels is not None:
        _add(viewer, labels, "labels", opacity=0.4)
    if truth is not None:
        outline = DirectLabelColormap(color_dict={None: "yellow", 0: "transparent"})
        _add(viewer, truth, "labels", colormap=outline)
        viewer.layers[-1].contour = 1
    return viewer


def main(arguments: Sequence[str] | None = None) -> None:
    """Show files until the window is closed, or take a picture of the window."""
    parser = argparse.ArgumentParser(prog="python -m napari_unet.plugin.show")
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--labels", type=Path, help="the prediction")
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--probabilities", type=Path)
    parser.add_argument("--screenshot", type=Path, help="write this PNG and end")
    given = parser.parse_args(arguments)
    viewer = show(given.image, given.labels, given.truth, given.probabilities)
    if given.screenshot is None:
        napari.run()
    else:
        take_screenshot(viewer, given.screenshot)
        viewer.close()


def take_screenshot(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the whole window as a user sees it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(20):  # lay out, draw, and draw what that has changed
        QApplication.processEvents()
    viewer.screenshot(str(path), canvas_only=False, flash=False)


def _add(viewer: napari.Viewer, path: Path, kind: str, **look: Any) -> None:
    data, meta, _ = layer_from_stack(open_stack(path), kind)
    getattr(viewer, f"add_{kind}")(data, **{**meta, **look})


if __name__ == "__main__":
    main()
