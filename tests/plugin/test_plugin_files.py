from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import notification_manager

from napari_unet.config import NetworkConfig
from napari_unet.data import Classes, Stack, open_stack, write_stack
from napari_unet.errors import StackFormatError
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.plugin.layers import mask_from_layer
from napari_unet.plugin.reader import get_reader
from napari_unet.plugin.writer import write
from napari_unet.prediction.to_files import predict_to_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer

PIXELS = np.array([[[0, 255, 0], [255, 255, 0]]] * 2, np.uint8)
FACTS = {"scale": (50, 4, 4), "units": ("nm",) * 3, "axis_labels": ("z", "y", "x")}


def save(path: Path, layer: Layer) -> None:
    data, meta, _ = layer.as_layer_data_tuple()
    assert write(str(path), data, meta) == [str(path)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_labels_keep_type_values_size_and_axes(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.labels.tif"
    save(path, Labels(PIXELS.astype(dtype), **FACTS))
    stack = open_stack(path)
    assert stack.dtype == dtype
    assert (stack.axes, stack.unit) == ("ZYX", "nm")
    assert stack.pixel_size == {"Z": 50, "Y": 4, "X": 4}
    np.testing.assert_array_equal(np.asarray(stack), PIXELS)


def test_probabilities_stay_float(tmp_path: Path) -> None:
    shares = np.linspace(0, 1, 12, dtype=np.float32).reshape(2, 2, 3)
    save(tmp_path / "a.prob.tif", Image(shares))
    stack = open_stack(tmp_path / "a.prob.tif")
    assert stack.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(stack), shares)


def test_colours_are_saved_as_channels(tmp_path: Path) -> None:
    colours = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    save(tmp_path / "a.tif", Image(colours, rgb=True))
    stack = open_stack(tmp_path / "a.tif")
    assert stack.n_channels == 3
    np.testing.assert_array_equal(stack.section(1), colours[1].transpose(2, 0, 1))


def test_of_a_multiscale_layer_full_resolution_is_saved(
    tmp_path: Path,
) -> None:
    save(tmp_path / "a.tif", Image([np.ones((8, 8)), np.ones((4, 4))], multiscale=True))
    assert open_stack(tmp_path / "a.tif").shape == (8, 8)


def test_a_file_the_user_agreed_to_replace_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    save(path, Labels(PIXELS))
    save(path, Labels(PIXELS[:1] * 0))
    assert not np.asarray(open_stack(path)).any()
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


def test_names_decide_between_image_and_labels(tmp_path: Path) -> None:
    kinds = {}
    for name in ("train-volume.tif", "my train-labels 2.tif", "test-labels.tiff"):
        path = tmp_path / name
        write_stack(
            path,
            PIXELS,
            shape=PIXELS.shape,
            axes="ZYX",
            dtype="uint8",
            pixel_size={"Z": 50, "Y": 4, "X": 4},
            unit="nm",
        )
        reader = get_reader(str(path))
        assert reader is not None
        ((data, meta, kinds[name]),) = reader(str(path))
        np.testing.assert_array_equal(data, PIXELS)
        assert meta["scale"] == (50, 4, 4)
        assert meta["units"] == ("nm",) * 3
        assert meta["axis_labels"] == ("z", "y", "x")
        assert meta["metadata"] == {"source": str(path)}
    assert list(kinds.values()) == ["image", "labels", "labels"]


def test_remarks_on_a_file_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "train-volume.tif"
    with tifffile.TiffWriter(path) as file:
        for size in (32, 32, 16):
            file.write(np.ones((size, size), np.uint8), contiguous=False)
    (remark, *_) = open_stack(path).remarks
    reader = get_reader(str(path))
    assert reader is not None
    reader(str(path))
    shown = [each.message for each in notification_manager.records]
    assert f"train-volume.tif: {remark}" in shown


def write_zarr(path: Path, pixels: np.ndarray, axes: str) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    halved = tuple(slice(None, None, 2 if axis in "yx" else 1) for axis in axes)
    sizes = {"z": 50.0, "y": 4.0, "x": 4.0}
    datasets = []
    for level, data in enumerate([pixels, pixels[halved]]):
        chunks = tuple(4 if axis in "yx" else 1 for axis in axes)
        array = group.create_array(
            str(level), shape=data.shape, chunks=chunks, dtype=data.dtype
        )
        array[:] = data
        scale = [sizes.get(axis, 1.0) * 2**level for axis in axes]
        change = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": change})
    named = [
        {"name": axis} | ({"unit": "nanometer"} if axis in sizes else {})
        for axis in axes
    ]
    about = [{"axes": named, "datasets": datasets}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": about}


def test_zarr_opens_as_a_pyramid_with_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "cells.zarr"
    pixels = np.arange(2 * 3 * 8 * 12, dtype=np.uint16).reshape(2, 3, 8, 12)
    write_zarr(path, pixels, "czyx")
    write_zarr(path / "labels" / "nuclei", pixels[0] % 7, "zyx")
    labels = zarr.open_group(path / "labels", mode="a")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    reader = get_reader(str(path))
    assert reader is not None
    (image, meta, kind), (mask, about, of_mask) = reader(str(path))
    assert (kind, of_mask) == ("image", "labels")
    assert [each.shape for each in image] == [(2, 3, 8, 12), (2, 3, 4, 6)]
    assert (meta["channel_axis"], meta["multiscale"]) == (0, True)
    assert (about["name"], about["scale"], about["units"]) == (
        "nuclei",
        (50, 4, 4),
        ("nm",) * 3,
    )
    np.testing.assert_array_equal(image[0], pixels)
    np.testing.assert_array_equal(image[1], pixels[..., ::2, ::2])
    viewer = ViewerModel()
    viewer.add_image(image, **meta)
    layer = viewer.add_labels(mask, **about)
    assert [each.name for each in viewer.layers] == [
        "cells channel 0",
        "cells channel 1",
        "nuclei",
    ]
    assert layer.multiscale and layer.metadata == {
        "source": str(path / "labels/nuclei")
    }
    stack = mask_from_layer(layer)
    assert (stack.shape, stack.pixel_size["Z"], stack.unit) == ((3, 8, 12), 50, "nm")
    np.testing.assert_array_equal(stack.section(1)[0], pixels[0, 1] % 7)


def test_labels_in_zarr_open_as_labels_by_their_path(tmp_path: Path) -> None:
    path = tmp_path / "cells.zarr" / "labels" / "nuclei"
    write_zarr(path, np.ones((3, 8, 12), np.uint8), "zyx")
    reader = get_reader(str(path))
    assert reader is not None
    ((_, _, kind),) = reader(str(path))
    assert kind == "labels"


@pytest.mark.parametrize("probabilities", [False, True])
def test_a_predicted_store_opens_as_what_it_holds(
    tmp_path: Path, probabilities: bool
) -> None:
    config = NetworkConfig(depth=1, width=2)
    model = Model(build_network(config).eval(), config, Classes((0, 255), ("0", "255")))
    stack = Stack(np.zeros((2, 24, 24), np.uint8), "ZYX", name="a")
    path = tmp_path / "a.zarr"
    for _ in predict_to_files(model, stack, path, probabilities=probabilities):
        pass
    reader = get_reader(str(path))
    assert reader is not None
    kinds = ["image", "labels"] if probabilities else ["labels"]
    assert [kind for _, _, kind in reader(str(path))] == kinds


def test_what_is_no_single_file_is_left_to_others(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path / "a.tif")]) is None
    assert get_reader(str(tmp_path / "missing.tif")) is None


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "train-volume.tif"
    path.write_bytes(b"II*\0 not really")
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(StackFormatError, match=r"train-volume\.tif"):
        reader(str(path))


def test_the_real_stack_is_read(data_folder: Path) -> None:
    path = data_folder / "isbi2012" / "train-labels.tif"
    reader = get_reader(str(path))
    assert reader is not None
    ((data, meta, kind),) = reader(str(path))
    assert kind == "labels"
    assert data.shape == (24, 512, 512)
    assert sorted(np.unique(data)) == [0, 255]
    assert Labels(data, **meta).data.dtype == np.uint8


def test_labels_that_were_opened_can_be_painted_on(
    make_napari_viewer: Callable[..., Viewer], tmp_path: Path
) -> None:
    path = tmp_path / "train-labels.tif"
    tifffile.imwrite(path, np.zeros((3, 20, 20), np.uint8), photometric="minisblack")
    (layer,) = make_napari_viewer().open(path, plugin="napari-unet-lab")
    layer.paint((1, 10, 10), 255)
    assert layer.data[1, 10, 10] == 255
    assert not tifffile.imread(path).any()
