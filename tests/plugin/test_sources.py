"""The files that hold layers: found where they do, written where none does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_unet.data import open_stack, write_stack
from napari_unet.plugin.replay.sources import LayerRef, free_folder, keep
from napari_unet.replay.words import Told

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)


def write(path: Path, **facts: Any) -> Path:
    return write_stack(
        path, PIXELS, shape=PIXELS.shape, axes="ZYX", dtype="u2", **facts
    )


def layer(path: Path, data: Any = PIXELS, **meta: Any) -> Image:
    return Image(data.copy(), metadata={"source": str(path)}, **meta)


def test_a_file_is_found_by_its_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    image = layer(path)
    assert LayerRef(image).given().find() == (path, Told())
    image.data[2, 7, 8] += 1
    assert LayerRef(image).given().find() is None


def test_what_the_layer_knows_otherwise_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", pixel_size={"Z": 5, "Y": 1, "X": 1}, unit="nm")
    plain = LayerRef(layer(path)).given().find()
    assert plain == (path, Told(None, {}, None))
    sized = layer(path, scale=(50, 4, 4), units=("nm",) * 3)
    size = {"Z": 50.0, "Y": 4.0, "X": 4.0}
    assert LayerRef(sized).given().find() == (path, Told(None, size, "nm"))
    same = layer(path, scale=(5, 1, 1), units=("nm",) * 3)
    assert LayerRef(same).given().find() == (path, Told())
    series = layer(path, axis_labels=("t", "y", "x"))
    assert LayerRef(series).given().find() == (path, Told("TYX", {}, None))


@pytest.mark.parametrize("part", [PIXELS[1:], PIXELS[:, :5], PIXELS.astype("f4")])
def test_a_part_of_a_file_or_another_type_is_not_it(tmp_path: Path, part: Any) -> None:
    path = write(tmp_path / "a.tif")
    assert LayerRef(layer(path, part)).given().find() is None


def test_nothing_is_written_over(tmp_path: Path) -> None:
    first = Labels(np.eye(6, dtype=np.int32))
    given = LayerRef(first).given()
    path = tmp_path / "run" / "labels.tif"
    assert keep(given, path) == path
    assert keep(given, path) == path  # it is there
    before = path.read_bytes()
    first.data[0, 5] = 3
    other = keep(LayerRef(first).given(), path)
    assert other.name == "labels 2.tif"
    assert path.read_bytes() == before
    np.testing.assert_array_equal(np.asarray(open_stack(other)), first.data)


@pytest.mark.parametrize(
    ("shape", "axes", "written"),
    [
        ((5, 4, 3), "yxc", "CYX"),
        ((4, 5, 2), "xyz", "ZYX"),
        ((2, 3, 4, 5), "tcyx", "TCYX"),
    ],
)
def test_any_order_of_axes_is_kept_by_name(
    tmp_path: Path, shape: tuple[int, ...], axes: str, written: str
) -> None:
    data = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    image = Image(data, axis_labels=tuple(axes), scale=[2.0] * len(shape))
    path = keep(LayerRef(image).given(), tmp_path / "a.tif")
    stack = open_stack(path)
    assert stack.axes == written
    order = [axes.upper().index(axis) for axis in written]
    np.testing.assert_array_equal(np.asarray(stack), data.transpose(order))


def test_the_names_of_classes_come_along(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "classes.yaml").write_text("0: sky\n7: sea\n")
    source = write(tmp_path / "data" / "a.tif")
    labels = Labels(PIXELS % 3, metadata={"source": str(source)})
    kept = keep(LayerRef(labels).given(), tmp_path / "run" / "labels.tif")
    assert kept.with_name("classes.yaml").read_text() == "0: sky\n7: sea\n"


def test_a_folder_that_is_there_is_not_taken(tmp_path: Path) -> None:
    assert free_folder(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "a").mkdir()
    (tmp_path / "a 2").mkdir()
    assert free_folder(tmp_path / "a") == tmp_path / "a 3"
