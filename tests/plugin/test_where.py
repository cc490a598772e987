"""From what the viewer shows to a region of an image, worked out by hand."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_unet.data.region import Region
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.predict.where import (
    BOXES,
    OutsideError,
    rectangle_box,
    region_in,
    section_box,
    view_box,
)
from napari_unet.plugin.results import Target

FACTS: dict[str, Any] = {"scale": (50, 4, 2), "translate": (100, 8, 10)}


def region(viewer: ViewerModel, layer: Layer, what: str) -> Region:
    box = BOXES[what](viewer, layer)
    return region_in(box, layer, stack_from_layer(layer), what)


def add_rectangle(viewer: ViewerModel, low: Any, high: Any, **more: Any) -> Any:
    """A rectangle from corner to corner in the last two axes, constant before."""
    (*before, top, left), (*_, bottom, right) = low, high
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return viewer.add_shapes(
        [np.array([(*before, *corner) for corner in corners], float)], **more
    )


def test_a_section_is_that_of_the_sliders() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((7, 5, 40, 60)), scale=(1, 50, 4, 4))
    viewer.dims.set_current_step(0, 6)
    viewer.dims.set_current_step(1, 3)
    found = region(viewer, layer, "current section")
    assert found == Region("TZYX", ((6, 7), (3, 4), (0, 40), (0, 60)))


def test_the_slider_is_read_in_the_image_of_another_scale() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((41, 9, 9)), scale=(5, 1, 1))  # steps of 5
    coarse = viewer.add_image(np.zeros((5, 9, 9)), scale=(50, 1, 1))
    viewer.dims.set_current_step(0, 36)  # 180: between the coarse 3 and 4
    found = region(viewer, coarse, "current section")
    assert found.bounds[0] == (4, 5)


def test_what_is_displayed_across_the_sections_is_whole() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 40, 60)))
    viewer.dims.order = (1, 0, 2)  # Z from top to bottom, Y at the slider
    viewer.dims.set_current_step(1, 22)
    found = region(viewer, layer, "current section")
    assert found == Region("ZYX", ((0, 5), (22, 23), (0, 60)))
    viewer.dims.ndisplay = 3
    found = region(viewer, layer, "current section")
    assert found.shape == (5, 40, 60)


def look(viewer: ViewerModel, centre: tuple[float, float], zoom: float) -> None:
    viewer.canvas.size = (80, 160)  # rows, columns of the screen
    viewer.scene.camera.center = (0, *centre)
    viewer.scene.camera.zoom = zoom


def test_the_view_is_what_the_canvas_shows() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 40, 60)), **FACTS)
    viewer.dims.set_current_step(0, 2)
    # 80 × 160 screen pixels at 2 per unit are 40 × 80 units: rows 100 ± 20 and columns
    # 60 ± 40, thus (80 - 8) / 4 = 18 to 28 and (20 - 10) / 2 = 5 to 45.
    look(viewer, (100, 60), 2)
    found = region(viewer, layer, "current view")
    assert found == Region("ZYX", ((2, 3), (18, 29), (5, 46)))
    look(viewer, (8, 10), 2)  # half of it beyond the corner
    assert region(viewer, layer, "current view").bounds[1:] == ((0, 6), (0, 21))
    look(viewer, (-100, 10), 2)
    message = r"view lies outside of 'Image': along Y it is at -32 to -22,.* 0 to 39"
    with pytest.raises(OutsideError, match=message):
        region(viewer, layer, "current view")
    viewer.dims.ndisplay = 3
    with pytest.raises(OutsideError, match="2-D button"):
        view_box(viewer, layer)


def test_the_view_follows_the_order_of_the_axes() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((30, 40, 60)), scale=(2, 1, 1))
    viewer.dims.order = (1, 2, 0)  # X from top to bottom, Z from left to right
    viewer.dims.set_current_step(1, 7)
    look(viewer, (30, 20), 10)  # 8 × 16 units: X 26 to 34, Z 12 to 28 in steps of 2
    found = region(viewer, layer, "current view")
    assert found == Region("ZYX", ((6, 15), (7, 8), (26, 35)))


def test_a_turned_image_is_seen_in_the_box_around_the_view() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((40, 60)), rotate=90)
    # Turned by 90°, rows y and columns x lie at (-x, y).
    look(viewer, (-30, 20), 8)  # 10 × 20 units: y 10 to 30, x 25 to 35
    assert region(viewer, layer, "current view").bounds == ((10, 31), (25, 36))


def test_a_rectangle_is_chosen_by_itself_and_clipped() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 40, 60)), **FACTS)
    add_rectangle(viewer, (3, -5, 20.6), (3, 9.5, 70), **FACTS)
    found = region(viewer, layer, "rectangle")
    assert found == Region("ZYX", ((3, 4), (0, 10), (21, 60)))


def test_the_world_may_have_other_units_than_the_image() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(
        np.zeros((5, 40, 60)), scale=(0.05, 0.004, 0.004), units=("um",) * 3
    )
    nm = {"scale": (10, 1, 1), "units": ("nm",) * 3}
    viewer.add_image(np.zeros((21, 160, 240)), **nm)
    viewer.dims.set_point(0, 150)  # nm
    found = region(viewer, layer, "current section")
    assert found.bounds[0] == (3, 4)
    look(viewer, (80, 120), 1)  # 80 × 160 nm: rows 10 to 30, columns 10 to 50
    assert region(viewer, layer, "current view").bounds[1:] == ((10, 31), (10, 51))
    add_rectangle(viewer, (15, 40, 80), (15, 80, 160), **nm)
    found = region(viewer, layer, "rectangle")
    assert found.bounds == ((3, 4), (10, 21), (20, 41))


def test_units_that_do_not_fit_are_left_out_as_napari_does() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((40, 60)), scale=(4, 4), units=("nm",) * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        add_rectangle(viewer, (40, 80), (80, 160))  # in pixels
        found = region(viewer, layer, "rectangle")
    assert found.bounds == ((10, 21), (20, 41))


def test_a_flat_rectangle_lies_at_the_slider() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 40, 60)), **FACTS)
    viewer.dims.set_current_step(0, 1)
    add_rectangle(viewer, (48, 30), (88, 50))  # in units: rows 10 to 20, columns 10..20
    found = region(viewer, layer, "rectangle")
    assert found == Region("ZYX", ((1, 2), (10, 21), (10, 21)))


def test_a_turned_rectangle_is_taken_by_its_box() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((40, 60)))
    corners = np.array([(10, 20), (15, 25), (10, 30), (5, 25)])
    viewer.add_shapes([corners], shape_type="rectangle")
    assert region(viewer, layer, "rectangle").bounds == ((5, 16), (20, 31))


def test_of_several_rectangles_the_selected_one_counts() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((40, 60)))
    with pytest.raises(OutsideError, match="no rectangle"):
        rectangle_box(viewer, layer)
    first = add_rectangle(viewer, (0, 0), (4, 4), name="a")
    first.add([np.array([(0, 0), (9, 9)])], shape_type="ellipse")
    assert region(viewer, layer, "rectangle").bounds == ((0, 5), (0, 5))
    second = add_rectangle(viewer, (10, 10), (14, 14), name="b")
    first.selected_data, second.selected_data = set(), set()
    with pytest.raises(OutsideError, match=r"2 rectangles in 'a' and 'b'\. Select"):
        rectangle_box(viewer, layer)
    second.selected_data = {0}
    assert region(viewer, layer, "rectangle").bounds == ((10, 15), (10, 15))
    first.selected_data = {0}
    with pytest.raises(OutsideError, match="2 rectangles"):
        rectangle_box(viewer, layer)


def test_channels_are_no_part_of_a_region() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((4, 2, 20, 30)), axis_labels=("z", "c", "y", "x"))
    viewer.dims.set_current_step(0, 3)
    found = region(viewer, layer, "current section")
    assert found == Region("ZYX", ((3, 4), (0, 20), (0, 30)))
    colours = viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    found = region(viewer, colours, "current section")
    assert found == Region("YX", ((0, 20), (0, 30)))


@pytest.mark.parametrize("place", [{"rotate": 30}, {"affine": np.diag([1, 3, 2, 1])}])
def test_the_result_lies_exactly_on_its_part_of_the_image(place: dict) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 40, 60)), units=("nm",) * 3, **FACTS, **place)
    part = Region("ZYX", ((3, 4), (10, 30), (7, 20)))
    target = Target.of(layer, stack_from_layer(layer), part)
    result = Labels(np.zeros(part.shape, np.uint8), **target.place)
    for pixel in ((0, 0, 0), (0, 19, 12)):
        np.testing.assert_allclose(
            result.data_to_world(pixel), layer.data_to_world(np.add(pixel, (3, 10, 7)))
        )
    assert result.units == layer.units


def test_the_result_of_a_channelled_image_lies_there_too() -> None:
    layer = ViewerModel().add_image(
        np.zeros((2, 40, 60)), axis_labels=("c", "y", "x"), scale=(1, 4, 2)
    )
    part = Region("YX", ((10, 30), (7, 20)))
    target = Target.of(layer, stack_from_layer(layer), part)
    assert target.place["translate"] == [40, 14]


def test_sliders_of_axes_the_image_lacks_are_left_alone() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((9, 40, 60)))
    flat = viewer.add_image(np.zeros((20, 30)))
    viewer.dims.set_current_step(0, 5)
    assert section_box(viewer, flat).shape == (2, 2)
    assert region(viewer, flat, "current section").bounds == ((0, 20), (0, 30))
