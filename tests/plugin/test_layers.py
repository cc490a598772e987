from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_unet.data import Stack
from napari_unet.errors import StackFormatError
from napari_unet.plugin.layers import (
    layer_from_stack,
    mask_from_layer,
    placement,
    stack_from_layer,
)
from napari_unet.plugin.train.job import stacks_of


def test_axes_size_and_unit_come_from_the_layer() -> None:
    layer = Image(
        np.zeros((2, 3, 4)),
        scale=(0.05, 4, 4),
        units=("um", "nm", "nm"),
        axis_labels=("z", "y", "x"),
        name="tissue",
    )
    stack = stack_from_layer(layer)
    assert stack.axes == "ZYX"
    assert stack.pixel_size == pytest.approx({"Z": 50, "Y": 4, "X": 4})
    assert stack.unit == "nm"
    assert stack.name == "tissue"
    assert stack.pixels is layer.data


def test_a_mask_knows_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mask.tif"
    layer = Labels(np.zeros((3, 4), np.uint8), metadata={"source": str(file)})
    image = Image(np.zeros((3, 4)), metadata={"source": str(file)})
    stack, mask = stacks_of(image, layer)
    assert (stack.source, mask.source) == (None, file)
    assert mask_from_layer(Labels(np.zeros((3, 4), np.uint8))).source is None


@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 4), "YX"), ((2, 3, 4), "ZYX"), ((5, 2, 3, 4), "TZYX")]
)
def test_axes_without_names_follow_their_number(
    shape: tuple[int, ...], axes: str
) -> None:
    stack = stack_from_layer(Labels(np.zeros(shape, np.uint8)))
    assert stack.axes == axes
    assert stack.pixel_size == {}
    assert stack.unit is None


def test_named_axes_in_any_order_are_kept() -> None:
    layer = Image(np.zeros((4, 2, 3)), axis_labels=("y", "c", "x"))
    assert stack_from_layer(layer).axes == "YCX"


def test_rgb_is_a_channel_axis() -> None:
    stack = stack_from_layer(Image(np.zeros((2, 5, 6, 3), np.uint8), rgb=True))
    assert stack.axes == "ZYXC"
    assert stack.n_channels == 3
    assert stack.n_sections == 2


def test_multiscale_is_taken_at_full_resolution() -> None:
    layer = Image([np.zeros((8, 8)), np.zeros((4, 4))], multiscale=True)
    assert stack_from_layer(layer).shape == (8, 8)


def test_five_dimensions_without_names_are_refused() -> None:
    layer = Image(np.zeros((1, 1, 1, 4, 4)), name="mystery")
    with pytest.raises(StackFormatError, match=r"'mystery' has 5 .*axis_labels"):
        stack_from_layer(layer)


@pytest.mark.parametrize("unit", ["nm", "µm", "mm", None])
def test_a_stack_survives_the_way_into_a_layer_and_back(unit: str | None) -> None:
    size = {"Z": 50.0, "Y": 4.0, "X": 2.0} if unit else {}
    pixels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    stack = Stack(pixels, "ZYX", size, unit, name="a", source=Path("a.tif"))
    data, meta, kind = layer_from_stack(stack, "image")
    assert kind == "image"
    layer = Image(data, **meta)
    back = stack_from_layer(layer)
    assert (back.axes, back.pixel_size, back.unit) == ("ZYX", size, unit)
    assert layer.metadata == {"source": "a.tif"}
    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.dtype == np.int16


def test_an_unknown_unit_is_left_out() -> None:
    stack = Stack(np.zeros((3, 4)), "YX", {"Y": 2.0, "X": 2.0}, "parrots")
    _, meta, _ = layer_from_stack(stack, "image")
    assert "units" not in meta
    assert meta["scale"] == (2, 2)


def test_channels_become_layers_and_colours_stay_together() -> None:
    fluorescence = Stack(
        np.zeros((2, 3, 4), np.uint16), "CYX", channel_names=("DNA", "actin"), name="a"
    )
    _, meta, _ = layer_from_stack(fluorescence, "image")
    assert meta["channel_axis"] == 0
    assert meta["name"] == ["a DNA", "a actin"]
    assert meta["axis_labels"] == ("y", "x")
    _, meta, _ = layer_from_stack(Stack(np.zeros((3, 4, 3), np.uint8), "YXC"), "image")
    assert meta["rgb"] is True


def test_a_result_lies_where_its_image_lies() -> None:
    image = Image(
        np.zeros((2, 3, 4)),
        scale=(5, 2, 2),
        translate=(1, 2, 3),
        units=("nm",) * 3,
        axis_labels=("z", "y", "x"),
        rotate=30,
        affine=np.diag([1, 2, 1, 1.0]),
    )
    result = Labels(np.zeros((2, 3, 4), np.uint8), **placement(image))
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(result, name), getattr(image, name))
    np.testing.assert_allclose(result.affine.affine_matrix, image.affine.affine_matrix)
    assert result.units == image.units
    assert result.axis_labels == image.axis_labels


def test_a_result_has_no_channel_axis() -> None:
    image = Image(np.zeros((2, 3, 4)), scale=(1, 5, 6), axis_labels=("c", "y", "x"))
    result = Labels(np.zeros((3, 4), np.uint8), **placement(image))
    np.testing.assert_allclose(result.scale, (5, 6))
    assert result.axis_labels == ("y", "x")


def test_a_scale_without_units_tells_the_proportions_of_the_voxels() -> None:
    stack = stack_from_layer(Image(np.zeros((2, 3, 4)), scale=(10, 2, 2)))
    assert stack.pixel_size == {"Z": 10, "Y": 2, "X": 2}
    assert stack.unit is None
    assert stack.anisotropy == 5
