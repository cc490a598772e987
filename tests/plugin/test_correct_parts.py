"""What the Correct widget is made of, without a window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.errors import UNetError
from napari_unet.plugin.correct.accept import bounds_of
from napari_unet.plugin.correct.job import uncertainty_of
from napari_unet.plugin.correct.layer import (
    Corrections,
    accept,
    corrections_of,
    find_annotations,
    labels_shape,
    look_of,
    seeded,
    show_change,
    unlabelled_value,
)
from napari_unet.plugin.correct.places import FRAME_KEY, go_to
from napari_unet.plugin.correct.store import layout_of, new_pixels
from napari_unet.plugin.parts.choices import MODEL_KEY, RESULT_KEY
from napari_unet.prediction.unsure import Place


def about(values: tuple[int, ...] = (1, 2), unlabelled: int = 0) -> Corrections:
    names = tuple(map(str, values))
    return Corrections("an id", "cells", "run", values, names, unlabelled)


def accepted(layer: Labels, prediction: Any, bounds: Any) -> int:
    known = Corrections.from_layer(layer)
    change = accept(layer.data, np.asarray(prediction), bounds, known)
    show_change(layer, change)
    return change.count


def painted(pixels: Any, what: Corrections) -> Labels:
    return Labels(np.array(pixels, np.uint8), **look_of(what))


def test_not_annotated_is_0_unless_that_is_a_class() -> None:
    assert unlabelled_value((1, 2)) == 0
    assert unlabelled_value((0, 255)) == 254
    assert unlabelled_value((0, 254, 255)) == 253
    assert unlabelled_value((0, 255), ignored=(7,)) == 7


def test_accepting_fills_what_is_not_annotated_and_nothing_else() -> None:
    layer = painted([[0, 0, 1, 0], [0, 2, 0, 0]], about())
    prediction = np.array([[2, 2], [1, 9]], np.uint8)  # 9: not computed yet
    assert accepted(layer, prediction, [(0, 2), (1, 3)]) == 1
    np.testing.assert_array_equal(layer.data, [[0, 2, 1, 0], [0, 2, 0, 0]])


def test_accepting_is_undone_and_done_again() -> None:
    layer = painted([[254, 254], [254, 0]], about((0, 255), 254))
    layer.brush_size = 1
    layer.paint((0, 0), 255)
    stroke = layer.data.copy()
    accepted(layer, np.array([[0, 255], [255, 255]]), [(0, 2), (0, 2)])
    both = layer.data.copy()
    assert (both == 254).sum() == 0
    layer.undo()
    np.testing.assert_array_equal(layer.data, stroke)
    layer.redo()
    np.testing.assert_array_equal(layer.data, both)
    layer.undo()
    layer.undo()
    np.testing.assert_array_equal(layer.data, [[254, 254], [254, 0]])


def test_the_eraser_paints_what_means_not_annotated() -> None:
    layer = painted(np.zeros((9, 9)), about((0, 255), 254))
    assert layer.colormap.background_value == 254
    assert layer.get_color(0)[3] == 1
    np.testing.assert_array_equal(layer.colormap.map(254), [0, 0, 0, 0])


def test_strokes_are_copied_unless_they_are_of_other_classes() -> None:
    strokes = np.zeros((2, 3, 3), np.int32)
    strokes[1, 0] = 2
    pixels = np.zeros((2, 3, 3), np.uint8)
    assert seeded(pixels, strokes, about())
    np.testing.assert_array_equal(pixels, strokes)
    strokes[1, 2] = 7
    assert not seeded(pixels, strokes, about())
    assert not pixels.any()


@pytest.mark.parametrize(
    ("shape", "meta", "expected"),
    [
        ((5, 6), {}, (5, 6)),
        ((5, 6, 3), {"rgb": True}, (5, 6)),
        ((4, 2, 5, 6), {"axis_labels": ("z", "c", "y", "x")}, (4, 5, 6)),
        ((2, 4, 5, 6), {}, (2, 4, 5, 6)),
    ],
)
def test_corrections_have_the_shape_of_the_labels(
    shape: tuple[int, ...], meta: dict[str, Any], expected: tuple[int, ...]
) -> None:
    image = Image(np.zeros(shape, np.uint8), **meta)
    assert labels_shape(image) == expected
    pixels, path = new_pixels(layout_of(image, about((0, 255), 254)), about((0,), 254))
    assert pixels.shape == expected and pixels.dtype == np.uint8
    assert (pixels == 254).all() and path is None


def test_many_pixels_lie_on_the_disk_and_only_what_is_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_unet.plugin.correct import store as correct_store

    monkeypatch.setattr(correct_store, "_LARGE", 1000)
    image = Image(np.zeros((3, 2000, 1500), np.uint8))
    what = about((0, 255), 254)
    pixels, path = new_pixels(layout_of(image, what), what)
    assert path is not None and not list(path.glob("0/c/**/*"))
    layer = Labels(pixels, **look_of(what))
    accepted(layer, np.full((1, 20, 30), 255), [(1, 2), (10, 30), (40, 70)])
    assert (np.asarray(pixels[1, 10:30, 40:70]) == 255).all()
    assert len([e for e in path.glob("0/c/**/*") if e.is_file()]) == 1
    layer.undo()
    assert (np.asarray(pixels[1]) == 254).all()


def test_corrections_are_found_by_their_image_or_its_name() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 6)), name="cells")
    other = viewer.add_image(np.zeros((5, 6)), name="other")
    assert corrections_of(viewer, image) is None
    layer = viewer.add_labels(np.zeros((5, 6), np.uint8), **look_of(about()))
    layer.name = "renamed"
    assert corrections_of(viewer, image) == layer
    assert corrections_of(viewer, other) is None
    assert find_annotations(viewer, image) is None
    strokes = viewer.add_labels(np.zeros((5, 6), np.uint8))
    assert find_annotations(viewer, image) == strokes


def result(image: Image, what: str, number: int = 0, **more: Any) -> dict[str, Any]:
    known = {"image": str(image.unique_id), "prediction": "p", "start": [0, 0]}
    known |= {"what": what, "class": number, **more}
    return {MODEL_KEY: "run", RESULT_KEY: known}


def test_the_uncertainty_is_that_of_this_prediction() -> None:
    viewer = ViewerModel()
    pixels = np.zeros((5, 6), np.float32)
    image = viewer.add_image(pixels)
    labels = viewer.add_labels(
        pixels.astype(np.uint8), metadata=result(image, "labels")
    )
    assert uncertainty_of(viewer, image, labels, 2) == []
    for number in (1, 0):
        viewer.add_image(pixels, metadata=result(image, "probabilities", number))
    alien = result(image, "uncertainty", prediction="another")
    viewer.add_image(pixels, metadata=alien)
    shares = uncertainty_of(viewer, image, labels, 2)
    assert [each.metadata[RESULT_KEY]["class"] for each in shares] == [0, 1]
    assert uncertainty_of(viewer, image, labels, 3) == []  # one was deleted
    own = viewer.add_image(pixels, metadata=result(image, "uncertainty"))
    assert uncertainty_of(viewer, image, labels, 2) == [own]


def subject(image: Image, prediction: Labels) -> Any:
    info = {"classes": {"values": [0, 255]}}
    return SimpleNamespace(image=image, prediction=prediction, info=info)


def test_what_is_accepted_follows_the_sliders_and_the_displayed_axes() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((4, 2, 50, 60)),
        axis_labels=("z", "c", "y", "x"),
        scale=(5, 1, 2, 2),
        translate=(10, 0, 20, 30),
    )
    meta = result(image, "labels", start=[1, 10, 0])
    prediction = viewer.add_labels(np.zeros((2, 30, 60), np.uint8), metadata=meta)
    viewer.dims.set_point(0, 10 + 5 * 2)
    what = subject(image, prediction)
    section = bounds_of(viewer, what, "this section", None, 8)
    assert section == [(2, 3), (10, 40), (0, 60)]
    everything = bounds_of(viewer, what, "all (edit a copy)", None, 8)
    assert everything == [(1, 3), (10, 40), (0, 60)]
    place = Place((2, 12, 30), 0.5)
    assert bounds_of(viewer, what, "this place", place, 8) == [
        (2, 3),
        (10, 16),
        (26, 34),
    ]
    prediction.metadata[RESULT_KEY]["partial"] = True
    with pytest.raises(UNetError, match="Not all of"):
        bounds_of(viewer, what, "this section", None, 8)
    viewer.dims.set_point(0, 10)
    with pytest.raises(UNetError, match="nothing at this section"):
        bounds_of(viewer, what, "this section", None, 8)
    with pytest.raises(UNetError, match="No place is looked at"):
        bounds_of(viewer, what, "this place", None, 8)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_the_view_goes_to_a_place_however_the_axes_are_ordered(
    order: tuple[int, ...],
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((6, 50, 60)), scale=(5, 2, 3), translate=(7, 20, 30), name="cells"
    )
    viewer.dims.order = order
    go_to(viewer, image, (4, 10, 20), 8)
    world = image.data_to_world((4, 10, 20))
    hidden, *shown = order
    assert viewer.dims.point[hidden] == pytest.approx(world[hidden])
    assert viewer.scene.camera.center[1:] == pytest.approx([world[i] for i in shown])
    (frame,) = [each for each in viewer.layers if FRAME_KEY in each.metadata]
    corners = frame.data[0]
    extent = np.zeros(3)
    extent[shown] = 8
    np.testing.assert_allclose(np.ptp(corners, axis=0), extent)
    np.testing.assert_allclose(corners.mean(axis=0), (4, 10, 20))
    go_to(viewer, image, (1, 30, 30), 8)
    (frame,) = [each for each in viewer.layers if FRAME_KEY in each.metadata]
    assert len(frame.data) == 1


def test_the_first_place_is_in_its_section_where_the_image_has_units() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((6, 50, 60)), scale=(50, 4, 4), units=("nm",) * 3, name="cells"
    )
    go_to(viewer, image, (4, 10, 20), 8)
    assert viewer.dims.current_step[0] == 4
    assert viewer.dims.nsteps[0] == 6


def test_the_frame_takes_no_selection_and_fits_images_with_channels() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((3, 2, 50, 60)), axis_labels=("z", "c", "y", "x"), name="cells"
    )
    go_to(viewer, image, (2, 0, 10, 20), 8)
    assert viewer.layers.selection.active == image
    assert viewer.dims.current_step[0] == 2
    frame = viewer.layers["cells unsure place"]
    np.testing.assert_allclose(frame.data[0].mean(axis=0), (2, 10, 20))
