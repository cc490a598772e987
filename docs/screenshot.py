"""Makes the pictures of the README: a real window, on the synthetic stack.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshot.py

It trains for as many minutes as the first argument says (2 by default) and writes
docs/images/train.png and docs/images/predict.png.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

IMAGES = Path(__file__).parent / "images"
SECTIONS, SEEN = 24, 18


def main(minutes: float) -> None:
    import napari
    from napari.settings import get_settings

    from napari_unet.data import synthetic_em
    from napari_unet.plugin.show import take_screenshot

    get_settings().application.gui_notification_level = "error"
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 860)
    image, labels = synthetic_em(SECTIONS, 512)
    add(viewer, image.select(slice(0, SEEN)), "image", name="tissue")
    add(viewer, labels.select(slice(0, SEEN)), "labels", name="annotated", opacity=0.4)
    viewer.dims.set_current_step(0, SEEN // 2)
    _, train = viewer.window.add_plugin_dock_widget("napari-unet-lab", "Train")
    wait_until(lambda: bool(train.classes.values))
    train.budget.setValue(minutes)
    train.train_button.click()
    wait_until(
        lambda: train.progress.bar.value() > 800 or train.train_button.isEnabled()
    )
    take_screenshot(viewer, IMAGES / "train.png")
    wait_until(lambda: train.train_button.isEnabled())

    viewer.layers.clear()
    add(viewer, image.select(slice(SEEN, SECTIONS)), "image", name="unseen tissue")
    train.predict_button.click()
    predict = viewer.window.dock_widgets["Predict (napari-unet-lab)"]
    predict.predict_button.click()
    wait_until(lambda: predict.predict_button.isEnabled())
    viewer.reset_view()
    take_screenshot(viewer, IMAGES / "predict.png")
    viewer.close()


def add(viewer: napari.Viewer, stack: Any, kind: str, **look: Any) -> None:
    from napari_unet.plugin.layers import layer_from_stack

    data, meta, _ = layer_from_stack(stack, kind)
    getattr(viewer, f"add_{kind}")(data, **{**meta, **look})


def wait_until(done: Callable[[], bool], seconds: float = 1200) -> None:
    from qtpy.QtTest import QTest

    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("The picture is not ready.")
        QTest.qWait(20)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        # Before napari is imported: the runs of the picture are not runs of the user.
        os.environ["HOME"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 2)
