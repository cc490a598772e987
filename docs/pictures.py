"""Makes the pictures of the README and the tutorials: a real window, driven by clicks.

    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/pictures.py

It trains three times, for as many minutes each as `--minutes` says, on synthetic
stacks, and writes into docs/images. `--size 1920x1080`, `--theme light` and `--out`
make the same pictures of another window.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from window import (
    PLUGIN,
    Frame,
    Window,
    click,
    compose,
    run,
    save,
    wait,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

IMAGES = Path(__file__).parent / "images"
PAINTED, SEEN = 14, 17  # a section with strokes, and one without
LARGE = 5  # times as wide and high as the sample is the large volume
BOX = 24  # pixels around the middle of an unsure place
CORRECTED = 6  # places
STROKE = 60  # pixels of its middle


def first_segmentation(window: Window, minutes: float) -> Path:
    """Sample, training, prediction, objects: returns the model."""
    viewer = window.viewer
    viewer.open_sample(PLUGIN, "synthetic_em")
    viewer.layers[-1].opacity = 0.5
    window.look(SEEN)
    train = window.open("Train")
    wait_until(lambda: bool(train.classes.values))
    window.shoot("first-open.jpg")
    train.live.setCurrentText("labels")
    start(train, minutes)
    viewer.layers["synthetic EM labels"].visible = False
    wait_for(train, 0.6)
    window.shoot("first-train.jpg")
    wait_for(train, 1)
    predict = predicted(window, train)
    window.shoot("first-predict.jpg")
    find_objects(window, predict)
    window.shoot("first-objects.jpg")
    return Path(predict.model.path())


def scribbles(window: Window, minutes: float) -> list[Frame]:
    """Strokes, training, unsure places, corrections, training, evaluation."""
    viewer = window.viewer
    viewer.open_sample(PLUGIN, "synthetic_em_strokes")
    image, strokes = viewer.layers
    truth = known_truth()
    strokes.mode, strokes.brush_size = "paint", 5
    window.look(PAINTED)
    train = window.open("Train")
    wait_until(lambda: bool(train.classes.values))
    window.shoot("scribbles-paint.jpg")
    frames = [window.frame("Paint a few strokes", train.classes)]
    start(train, minutes)
    window.look(SEEN)
    wait_for(train, 0.6)
    wait_until(lambda: any("live" in each.name for each in viewer.layers))
    window.shoot("scribbles-live.jpg")
    frames.append(window.frame("Train, and watch", train.report))
    wait_for(train, 1)
    predict = predicted(window, train)
    click(predict.next_steps.buttons["Correct"])
    correct = window.open("Correct")
    window.show_only(image, window.newest("labels"))
    run(correct.unsure, correct.unsure.find_button)
    window.shoot("scribbles-unsure.jpg")
    corrections = repair(window, correct, truth)
    window.newest("labels").visible = False
    window.shoot("scribbles-correct.jpg")
    frames.append(window.frame("Correct where it is unsure", correct.unsure.table))
    click(correct.train_button)
    window.show_only(image, corrections)
    window.look(PAINTED)
    window.shoot("scribbles-continue.jpg")
    start(train, minutes)
    wait_for(train, 1)
    predict = predicted(window, train)
    window.look(SEEN)
    frames.append(window.frame("Predict everything", predict.threshold))
    find_objects(window, predict)
    frames.append(window.frame("Measure objects", table_of(window)))
    evaluate(window, truth)
    window.shoot("scribbles-evaluate.jpg")
    return frames


def large_volumes(window: Window, model: Path, folder: Path) -> None:
    """An OME-Zarr volume, predicted where one looks, and a rectangle of it."""
    viewer = window.viewer
    viewer.open(write_volume(folder / "volume.zarr"), plugin=PLUGIN)
    window.look(10)
    predict = window.open("Predict")
    predict.model.choose(model)
    predict.where.setCurrentText("where I look")
    click(predict.predict_button)
    wait_until(lambda: len(viewer.layers) > 1)
    viewer.scene.camera.zoom *= 3
    wait(20_000)
    window.shoot("large-look.jpg")


def known_truth() -> np.ndarray[Any, Any]:
    """Return the labels of the sample with strokes, in the values of the strokes."""
    from napari_unet.data import synthetic_em

    return np.where(np.asarray(synthetic_em()[1]) > 0, 2, 1).astype(np.uint8)


def start(train: Any, minutes: float) -> None:
    train.budget.setValue(minutes)
    click(train.train_button)


def wait_for(train: Any, share: float) -> None:
    """Wait until so much of the time of a training is over."""
    bar = train.progress.bar

    def is_reached() -> bool:
        known = bar.maximum() > 0 and train.progress.isVisible()
        return share < 1 and known and bar.value() > share * bar.maximum()

    wait_until(lambda: train._job is None or is_reached())


def predicted(window: Window, train: Any) -> Any:
    """Predict the image with probabilities, and show the labels on it."""
    click(train.predict_button)
    predict = window.open("Predict")
    predict.probabilities.setChecked(True)
    run(predict, predict.predict_button)
    window.show_only(predict.image.layer, window.newest("labels"))
    return predict


def find_objects(window: Window, predict: Any) -> Any:
    click(predict.next_steps.buttons["Objects"])
    objects = window.open("Objects")
    run(objects, objects.apply_button)
    run(objects, objects.measure.button)
    window.show_only(predict.image.layer, window.newest("objects"))
    return objects


def table_of(window: Window) -> Any:
    from napari_unet.plugin.objects.table import measurements_of

    return measurements_of(window.viewer).view


def repair(window: Window, correct: Any, truth: np.ndarray[Any, Any]) -> Labels:
    """Paint both classes at the most unsure places, through what is wrong."""
    from scipy.ndimage import binary_opening
    from skimage.morphology import skeletonize

    prediction = window.newest("labels").data
    click(correct.paint.paint_button)
    wait_until(lambda: correct.subject().corrections is not None)
    wait(500)
    layer: Labels = correct.subject().corrections
    layer.brush_size = 3
    for number in range(CORRECTED):
        if number:
            click(correct.unsure.next_button)
        section, *middle = correct.unsure.place.position
        box = tuple(slice(max(0, at - BOX), at + BOX) for at in middle)
        true = truth[section][box]
        wrong = true != prediction[section][box]
        for value in (1, 2):
            piece = binary_opening(wrong & (true == value), np.ones((2, 2), bool))
            middle = skeletonize(piece if piece.any() else true == value)
            for row, column in np.argwhere(middle)[:STROKE]:
                place = section, box[0].start + row, box[1].start + column
                layer.paint(place, value)
    for _ in range(CORRECTED - 1):
        click(correct.unsure.back_button)
    return layer


def evaluate(window: Window, truth: np.ndarray[Any, Any]) -> None:
    viewer = window.viewer
    image = viewer.layers[0]
    viewer.add_labels(truth, name="truth", scale=image.scale, units=image.units)
    viewer.window.remove_dock_widget(table_of(window).parent())
    widget = window.open("Evaluate")
    widget.prediction.choose(window.newest("labels"))
    widget.truth.choose(viewer.layers["truth"])
    run(widget, widget.evaluate_button)
    window.show_only(image, viewer.layers[-1])
    window.scroll_to(widget.scores)


def write_volume(path: Path) -> Path:
    """Write an OME-Zarr image that is the sample, mirrored again and again."""
    import zarr

    from napari_unet.data import synthetic_em

    sample = np.asarray(synthetic_em(20)[0])
    more = (LARGE - 1) * sample.shape[-1]
    pixels = np.pad(sample, ((0, 0), (0, more), (0, more)), mode="symmetric")
    group = zarr.open_group(path, mode="w", zarr_format=3)
    scale = {"type": "scale", "scale": [50, 4, 4]}
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    level = {"path": "0", "coordinateTransformations": [scale]}
    image = {"name": "volume", "axes": axes, "datasets": [level]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    group.create_array("0", data=pixels, chunks=(1, 512, 512))
    return path


def main(given: argparse.Namespace, folder: Path) -> None:
    from napari.settings import get_settings

    from napari_unet.plugin.settings import preferences

    get_settings().application.gui_notification_level = "error"
    # Nobody waits for the window meanwhile.
    preferences().stored.computing.low_priority = False
    size = tuple(int(each) for each in given.size.split("x"))

    def in_window(story: Callable[..., Any], *more: Any) -> Any:
        window = Window(given.out, size, given.theme)  # type: ignore[arg-type]
        try:
            return story(window, *more)
        finally:
            window.close()

    model = in_window(first_segmentation, given.minutes)
    in_window(large_volumes, model, folder)
    frames = in_window(scribbles, given.minutes)
    save(compose(frames), given.out / "loop.jpg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--theme", default="dark", choices=["dark", "light"])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=IMAGES)
    with tempfile.TemporaryDirectory() as home:
        # Before napari is imported: the runs of the pictures are no runs of the user.
        os.environ["HOME"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        main(parser.parse_args(), Path(home))
