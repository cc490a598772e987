from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import notification_manager

from napari_unet.data import open_stack, write_stack
from napari_unet.errors import StackFormatError
from napari_unet.plugin.reader import get_reader
from napari_unet.plugin.writer import write

if TYPE_CHECKING:
    from pathlib import Path

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
    notification_manager.records.clear()
    reader = get_reader(str(path))
    assert reader is not None
    reader(str(path))
    shown = [each.message for each in notification_manager.records]
    assert f"train-volume.tif: {remark}" in shown


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
