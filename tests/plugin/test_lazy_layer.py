"""A layer that is predicted where it is looked at, in a real window."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from torch.nn import Conv2d

from napari_unet.config import NetworkConfig
from napari_unet.data import Classes, Stack
from napari_unet.data.masks.scale import Scale
from napari_unet.errors import ModelError, UNetError
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.plugin.evaluate.fields import PredictionChoice
from napari_unet.plugin.look import look as lazy
from napari_unet.plugin.look.look import WHERE_I_LOOK, Look
from napari_unet.plugin.session import session_of
from napari_unet.plugin.writer import write
from napari_unet.prediction import predict, predict_lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeLook = Callable[..., Look]

WAIT = 60_000
FP32 = {"precision": "fp32", "device": "cpu", "tile": 256}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = NetworkConfig(depth=2, width=4)
    network = build_network(config).eval()
    with torch.no_grad():  # as many pixels of one class as of the other
        logits = network(torch.randn(1, 1, 64, 64))[0].flatten(1)
        last = [each for each in network.modules() if isinstance(each, Conv2d)][-1]
        last.bias -= logits.median(1).values
    return Model(network, config, Classes((0, 255))).save(tmp_path / "a.safetensors")


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Viewer]) -> Iterator[Viewer]:
    viewer = make_napari_viewer(show=True)
    yield viewer
    session_of(viewer).close()


@pytest.fixture
def look_at(viewer: Viewer, model: Path, qtbot: QtBot) -> MakeLook:
    """Predict an image layer where it is looked at, and wait for the layer."""

    def look_at(image: Any, *, probabilities: bool = False, **options: Any) -> Look:
        options = {**FP32, **options}
        how = {"probabilities": probabilities}
        look = Look(viewer, session_of(viewer), image, model, options, **how)
        qtbot.waitUntil(lambda: bool(look.layers) or look._halted, timeout=WAIT)
        return look

    return look_at


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def huge_zarr(path: Path, shape: tuple[int, ...]) -> zarr.Array:
    """Make an array of which all chunks are the same file."""
    chunks = (1, 500, 500)
    pixels = zarr.create_array(path, shape=shape, chunks=chunks, dtype="uint8")
    pixels[0, :500, :500] = noise(500, 500)
    first = (0, 0, 0)
    for place in np.ndindex(*(n // m for n, m in zip(shape, chunks, strict=True))):
        if place != first:
            chunk = path / "c" / "/".join(map(str, place))
            chunk.parent.mkdir(parents=True, exist_ok=True)
            os.link(path / "c/0/0/0", chunk)
    return pixels


def fill(qtbot: QtBot, look: Look) -> None:
    qtbot.waitUntil(lambda: look.complete, timeout=WAIT)


def known(look: Look, *place: Any) -> tuple[np.ndarray, np.ndarray]:
    """The pixels at a place of the full resolution, and which of them are known."""
    level = look._views[0].levels.levels[0]
    pixels = np.asarray(level[place])
    return pixels, ~level.is_unknown(pixels)


def test_a_huge_zarr_is_computed_where_the_view_is_and_no_further(
    viewer: Viewer, model: Path, look_at: MakeLook, qtbot: QtBot, tmp_path: Path
) -> None:
    pixels = huge_zarr(tmp_path / "huge.zarr", (40, 4000, 3000))  # 480 MB
    image = viewer.add_image(
        [pixels, da.from_zarr(pixels)[:, ::4, ::4]],
        multiscale=True,
        contrast_limits=(0, 255),
        scale=(50, 4, 4),
        units=("nm",) * 3,
    )
    viewer.dims.set_current_step(0, 20)
    viewer.scene.camera.zoom = 1  # 4 nm on 4 pixels of the screen
    look = look_at(image)
    assert look._request["image"] == str(tmp_path / "huge.zarr")
    fill(qtbot, look)
    np.testing.assert_array_equal(look.layers[0].scale, (50, 4, 4))
    assert look.layers[0].units == image.units
    seen, tiles = look._seen, len(look._files)
    found, there = known(look, 20)
    assert 0 < there.mean() < 0.05
    assert not known(look, 19)[1].any()
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    box = tuple(slice(each[0], each[-1] + 1) for each in (rows, columns))
    assert there[box].all()
    eager = predict_lazy(model, pixels, axes="ZYX", **FP32)[20]
    assert set(np.unique(found[box])) == {0, 255}
    np.testing.assert_array_equal(found[box], eager[box].compute())

    viewer.scene.camera.center = (0, 4 * 1000, 4 * 600)
    qtbot.waitUntil(lambda: len(look._files) > tiles, timeout=WAIT)
    viewer.scene.camera.center = (0, 4 * 3500, 4 * 2500)  # it was not to be complete
    assert look._views[0].is_ahead()  # of what is drawn
    fill(qtbot, look)
    assert known(look, 20, slice(3450, 3550), slice(2450, 2550))[1].all()
    tiles = len(look._files)
    viewer.scene.camera.center = (0, 4 * 1999.5, 4 * 1499.5)
    qtbot.waitUntil(lambda: look._seen == seen, timeout=WAIT)
    fill(qtbot, look)
    assert len(look._files) == tiles  # all was known


def test_a_moving_view_stops_what_it_no_longer_shows(
    viewer: Viewer, look_at: MakeLook, qtbot: QtBot
) -> None:
    image = viewer.add_image(da.from_array(noise(30, 1500, 1500), (1, 1500, 1500)))
    viewer.scene.camera.zoom = 1
    look = look_at(image, tile=64)
    qtbot.waitUntil(lambda: len(look._files) > 2, timeout=WAIT)
    asked = [each["bounds"] for each in look._ordered]
    viewer.dims.set_current_step(0, 7)
    qtbot.waitUntil(
        lambda: [each["bounds"][0] for each in look._ordered[:1]] == [(7, 8)],
        timeout=WAIT,
    )
    assert not [tile for tile in asked[1:] if tile in look._files] or len(asked) < 2
    viewer.layers.remove(look.layers[0])
    qtbot.waitUntil(lambda: not look._folder.exists(), timeout=WAIT)


@pytest.mark.parametrize("kind", ["dask", "numpy", "2-D"])
def test_pixels_that_are_in_no_file_go_along_with_the_tiles(
    kind: str, viewer: Viewer, model: Path, look_at: MakeLook, qtbot: QtBot
) -> None:
    pixels = noise(700, 900) if kind == "2-D" else noise(3, 700, 900)
    data = da.from_array(pixels, (1, 350, 900)) if kind == "dask" else pixels
    look = look_at(viewer.add_image(data))
    assert look._request["image"] is None
    fill(qtbot, look)
    section = look.layers[0].ndim == 3 and (1,)
    found, there = known(look, *(section or ()), ...)
    assert there.all()
    expected = predict(model, pixels, **FP32)
    np.testing.assert_array_equal(found, expected[section or ...])
    assert not list(look._folder.glob("image*"))
    shown = look.layers[0].data[-1][section or ...]
    stride = look._views[0].levels.levels[-1].stride
    np.testing.assert_array_equal(shown, found[::stride, ::stride])


def test_values_are_an_image_and_what_is_unknown_is_clear(
    viewer: Viewer, qtbot: QtBot, tmp_path: Path
) -> None:
    config = NetworkConfig(classes=1, depth=1, width=4)
    network = build_network(config).eval()
    path = tmp_path / "values.safetensors"
    Model(network, config, None, scale=Scale(5.0, 2.0)).save(path)
    image = viewer.add_image(noise(2, 600, 600))
    look = Look(viewer, session_of(viewer), image, path, FP32)
    qtbot.waitUntil(lambda: look.complete, timeout=WAIT)
    assert look.layers[0].dtype == np.float32
    assert look.layers[0].contrast_limits == [1, 9]
    assert known(look, 1)[1].all() != known(look, 0)[1].any()


def test_probabilities_are_images_that_are_shown_when_they_are_wanted(
    viewer: Viewer, model: Path, look_at: MakeLook, qtbot: QtBot
) -> None:
    pixels = noise(2, 700, 900)
    look = look_at(viewer.add_image(pixels, name="tissue"), probabilities=True)
    labels, *images = look.layers
    assert [each.name for each in images] == [
        "tissue P(0), where looked at",
        "tissue P(255), where looked at",
    ]
    assert [each.visible for each in images] == [False, False]
    fill(qtbot, look)
    tiles = len(look._files)
    labels.visible, images[1].visible = False, True
    level = look._views[2].levels.levels[0]
    qtbot.waitUntil(lambda: not np.isnan(level[0]).any(), timeout=WAIT)
    assert len(look._files) == tiles  # all was computed together
    expected = predict(model, pixels, output="probabilities", **FP32)
    np.testing.assert_allclose(level[0], expected[0, 1], atol=1e-5)
    viewer.layers.remove(labels)
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: len(look._files) == 2 * tiles, timeout=WAIT)
    fill(qtbot, look)
    viewer.layers.remove(images[0])
    assert not look._over
    viewer.layers.remove(images[1])
    qtbot.waitUntil(lambda: not look._folder.exists(), timeout=WAIT)


def test_what_is_not_computed_has_a_name_and_a_veil_but_not_in_3d(
    viewer: Viewer, look_at: MakeLook
) -> None:
    look = look_at(viewer.add_image(noise(2, 600, 600)))
    layer = look.layers[0]
    assert look._views[0]._unknown == 254
    usual = viewer.add_labels(np.zeros((2, 2), np.uint8)).get_color(255)
    np.testing.assert_array_equal(layer.get_color(255), usual)
    assert layer.get_color(254)[3] == 1
    assert layer.features["class"].tolist() == ["0", "255", "not computed yet"]
    viewer.dims.ndisplay = 3
    assert layer.get_color(254)[3] == 0
    assert look._views[0].in_view() is None
    viewer.dims.ndisplay = 2
    assert look._views[0].in_view() is not None
    viewer.dims.order = (1, 0, 2)
    assert look._views[0].in_view() is None
    viewer.dims.order = (0, 1, 2)
    layer.visible = False
    assert look._views[0].in_view() is None


def test_it_is_no_whole_to_be_saved(
    viewer: Viewer, look_at: MakeLook, tmp_path: Path
) -> None:
    layer = look_at(viewer.add_image(noise(2, 600, 600))).layers[0]
    data, meta, _ = layer.as_layer_data_tuple()
    with pytest.raises(UNetError, match="only where it is looked at"):
        write(str(tmp_path / "a.labels.tif"), data, meta)


def test_a_worker_that_dies_is_not_started_again_unasked(
    viewer: Viewer, look_at: MakeLook, qtbot: QtBot
) -> None:
    heard: list[str] = []
    look = look_at(viewer.add_image(noise(4, 700, 700)), tile=96)
    look.said.connect(heard.append)
    qtbot.waitUntil(lambda: bool(look._ordered), timeout=WAIT)
    os.kill(session_of(viewer).worker.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: look._halted, timeout=WAIT)
    assert "killed" in heard[-1]
    viewer.dims.set_current_step(0, 0)
    qtbot.wait(3 * lazy._PAUSE)
    assert session_of(viewer).worker.pid == 0
    look.layers[0].visible = False
    look.layers[0].visible = True
    fill(qtbot, look)


def test_other_jobs_go_first(
    viewer: Viewer, look_at: MakeLook, qtbot: QtBot, tmp_path: Path
) -> None:
    look = look_at(viewer.add_image(noise(4, 700, 700)), tile=96)
    qtbot.waitUntil(lambda: bool(look._ordered), timeout=WAIT)
    ended: list[str] = []
    job = session_of(viewer).worker.submit({"do": "nothing"})
    job.failed.connect(ended.append)
    assert look._job is None
    qtbot.waitUntil(lambda: bool(ended), timeout=WAIT)
    fill(qtbot, look)


def test_a_model_that_does_not_fit_is_said_to(
    viewer: Viewer, look_at: MakeLook, tmp_path: Path, qtbot: QtBot
) -> None:
    pixels = Stack(noise(2, 600, 600), "CYX").pixels
    image = viewer.add_image(pixels, axis_labels=("c", "y", "x"))
    look = look_at(image)
    assert look._halted
    assert not look.layers
    with pytest.raises(ModelError, match="does not exist"):
        Look(viewer, session_of(viewer), image, tmp_path / "no.safetensors", {})


def test_the_widget_offers_it_and_says_how_far_it_is(
    viewer: Viewer, model: Path, qtbot: QtBot
) -> None:
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-lab", "Predict")
    widget.where.setCurrentText(WHERE_I_LOOK)
    widget.predict_button.click()
    assert "no image layer" in str(notification_manager.records[-1].message)
    viewer.add_image(noise(2, 600, 600), name="tissue")
    widget.model.choose(model)
    widget.advanced.enter(FP32)
    widget.probabilities.setChecked(True)
    widget.predict_button.click()
    qtbot.waitUntil(
        lambda: widget.status.text() == "All that is in view is computed.", timeout=WAIT
    )
    layer = viewer.layers["tissue prediction, where looked at"]
    assert set(np.unique(layer.data[0][0])) == {0, 255}
    assert "tissue P(255), where looked at" in viewer.layers
    assert not PredictionChoice(viewer, Labels, "none").lists(layer)  # it is no whole
    assert widget.predict_button.isEnabled()
    session = session_of(viewer)
    viewer.window.remove_dock_widget(widget)
    assert session.worker.pid  # the layers live on
    for name in ("P(0)", "P(255)", "prediction"):
        viewer.layers.remove(f"tissue {name}, where looked at")
    qtbot.waitUntil(lambda: session.worker.pid == 0, timeout=WAIT)
