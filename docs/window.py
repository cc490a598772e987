"""A real napari window, what a person does in it, and pictures of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari.layers import Layer
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

    Pixels = NDArray[np.uint8]

PLUGIN = "napari-unet-lab"
PATIENCE = 1800  # seconds
QUALITY = 82  # of JPEG
SIDE = 330  # pixels of a frame of the strip
WIDEST, PART = 480, 230  # of what is below it
GAP, LINE = 12, 34


class Frame(NamedTuple):
    """A frame of the strip: a sentence, the canvas, and what a widget says to it."""

    words: str
    canvas: Pixels
    part: Pixels


class Window:
    """A napari window of a size and theme; its pictures are written into a folder.

    Parameters
    ----------
    out : Path
    size : tuple of int
    theme : str
    """

    def __init__(self, out: Path, size: tuple[int, int], theme: str) -> None:
        import napari

        self.viewer = napari.Viewer(show=True)
        self.viewer.theme = theme
        self.viewer.window.resize(*size)
        self._out = out

    def open(self, name: str) -> Any:
        """Open a widget of ours; those that are open stay behind it as tabs."""
        from napari_unet.plugin.session import open_widget

        return open_widget(self.viewer, name)

    def look(self, section: int, zoom: float = 1.0) -> None:
        """Go to a section that fills the canvas, or that much more."""
        wait(300)
        self.viewer.reset_view()
        self.viewer.dims.set_current_step(0, section)
        self.viewer.scene.camera.zoom *= zoom

    def show_only(self, *layers: Layer) -> None:
        """Hide all other layers; the last one given becomes the active one."""
        for layer in self.viewer.layers:
            layer.visible = layer in layers
        self.viewer.layers.selection.active = layers[-1]

    def newest(self, what: str) -> Any:
        """Return the last result of ours of a kind."""
        from napari_unet.plugin.parts.choices import RESULT_KEY

        results = [e for e in self.viewer.layers if RESULT_KEY in e.metadata]
        return [e for e in results if e.metadata[RESULT_KEY]["what"] == what][-1]

    def shoot(self, name: str) -> None:
        """Take a picture of the window."""
        wait(800)  # what is laid out and drawn a little later
        save(self.viewer.screenshot(canvas_only=False, flash=False), self._out / name)

    def scroll_to(self, part: QWidget) -> None:
        """Scroll a widget of ours to where a part of it begins."""
        from qtpy.QtWidgets import QScrollArea

        area: Any = part.parent()
        while not isinstance(area, QScrollArea):
            area = area.parent()
        wait(300)
        top = part.mapTo(area.widget(), part.rect().topLeft()).y()
        area.verticalScrollBar().setValue(top - 40)

    def frame(self, words: str, part: QWidget) -> Frame:
        """Take a picture of the canvas, and of the upper left of a widget."""
        wait(800)
        canvas = self.viewer.screenshot(canvas_only=True, flash=False)
        return Frame(words, canvas, _grab(part))

    def close(self) -> None:
        self.viewer.close()
        wait(300)


def click(button: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    wait_until(button.isEnabled)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def run(widget: Any, button: Any) -> None:
    """Press a button, and wait for the end of the work."""
    click(button)
    wait_until(lambda: widget._job is None)


def wait(milliseconds: int) -> None:
    from qtpy.QtTest import QTest

    QTest.qWait(milliseconds)


def wait_until(done: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("The picture is not ready.")
        wait(20)


def save(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels[..., :3])
    picture.save(path, quality=QUALITY, subsampling=0, optimize=True)


def compose(frames: Sequence[Frame]) -> Pixels:
    """Put frames side by side: a sentence, a square of the canvas, a part below it."""
    height = LINE + SIDE + max(each.part.shape[0] for each in frames)
    width = len(frames) * (SIDE + GAP) - GAP
    strip = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=22)
    for number, each in enumerate(frames):
        left = number * (SIDE + GAP)
        draw.text((left, 2), f"{number + 1}  {each.words}", "black", font)
        strip.paste(_square(each.canvas), (left, LINE))
        strip.paste(Image.fromarray(each.part[..., :3]), (left, LINE + SIDE))
    return np.asarray(strip)


def _square(canvas: Pixels) -> Image.Image:
    """Cut the middle of a canvas out."""
    side = min(canvas.shape[:2])
    top, left = ((length - side) // 2 for length in canvas.shape[:2])
    middle = canvas[top : top + side, left : left + side, :3]
    return Image.fromarray(middle).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _grab(part: QWidget) -> Pixels:
    """Take a picture of a widget, as wide as a frame of the strip."""
    from qtpy.QtCore import QRect
    from qtpy.QtGui import QImage

    width = WIDEST if part.width() > 2 * SIDE else part.width()
    shown = part.rect() & QRect(0, 0, width, PART)
    image = part.grab(shown).toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
    rows = bits.reshape(image.height(), image.bytesPerLine())
    pixels = rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)
    height = round(image.height() * SIDE / image.width())
    resized = Image.fromarray(pixels).resize((SIDE, height), Image.Resampling.LANCZOS)
    return np.asarray(resized)
