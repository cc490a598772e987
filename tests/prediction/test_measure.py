from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from napari_unet import Stack, StackFormatError, measure_objects, open_stack
from napari_unet.errors import ConfigError, OutputExistsError, UNetError
from napari_unet.prediction.measure import measure_parts
from napari_unet.prediction.table import Table, join_tables, write_table

if TYPE_CHECKING:
    from pathlib import Path

MICRONS = {"Z": 2.0, "Y": 0.5, "X": 0.5}


def two_squares() -> np.ndarray:
    """A square of 4 x 4 in the first of two sections, one of 3 x 3 in the second."""
    labels = np.zeros((2, 10, 12), np.int32)
    labels[0, 2:6, 3:7] = 5
    labels[1, 0:3, 0:3] = 2
    return labels


def test_a_square_in_pixels_and_in_microns() -> None:
    stack = Stack(two_squares(), "ZYX", pixel_size=MICRONS, unit="µm")
    table = measure_objects(stack)
    assert not table.remarks
    assert table["label"].tolist() == [5, 2]
    assert table["section"].tolist() == [0, 1]
    assert table["y_px"].tolist() == [3.5, 1]
    assert table["x_um"].tolist() == [2.25, 0.5]
    assert table["area_px"].tolist() == [16, 9]
    assert table["area_um2"].tolist() == [4, 2.25]
    # through the middles of its outermost pixels: 4 x 3 and 4 x 2 of them
    assert table["perimeter_um"].tolist() == [6, 4]
    assert table["equivalent_diameter_um"][0] == pytest.approx(2 * math.sqrt(4 / np.pi))
    # an ellipse with the second moments of n pixels side by side, (n² - 1) / 12
    assert table["major_axis_um"][0] == pytest.approx(0.5 * 4 * math.sqrt(15 / 12))
    assert table["eccentricity"].tolist() == [0, 0]
    assert table["solidity"].tolist() == [1, 1]
    assert table["bbox_x_start"].tolist() == [3, 0]
    assert table["bbox_x_stop"].tolist() == [7, 3]
    assert table["touches_border"].tolist() == [False, True]


def test_a_disc_has_about_the_outline_of_a_circle() -> None:
    rows, columns = np.ogrid[-25:26, -25:26]
    disc = (rows**2 + columns**2 <= 20**2).astype(np.uint8)
    table = measure_objects(disc)
    assert table["area_px"][0] == pytest.approx(np.pi * 20**2, rel=0.01)
    assert table["perimeter_px"][0] == pytest.approx(2 * np.pi * 20, rel=0.05)
    assert table["major_axis_px"][0] == pytest.approx(40, rel=0.02)


def test_without_a_pixel_size_lengths_are_in_pixels_and_it_is_said() -> None:
    table = measure_objects(two_squares())
    assert "area_um2" not in table.columns
    assert table["perimeter_px"].tolist() == [12, 8]
    assert "not known" in table.remarks[0]


def test_the_pixel_size_of_the_image_serves_where_the_labels_have_none() -> None:
    labels = two_squares()
    image = Stack(labels, "ZYX", pixel_size=MICRONS, unit="nm")
    assert measure_objects(labels, image)["area_nm2"].tolist() == [4, 2.25]


def test_pixels_that_are_no_squares_have_no_outline_but_an_area_and_axes() -> None:
    labels = np.zeros((9, 9), np.uint8)
    labels[2:6, 2:6] = 1
    stack = Stack(labels, "YX", pixel_size={"Y": 2.0, "X": 1.0}, unit="µm")
    table = measure_objects(stack)
    assert not [name for name in table.columns if "perimeter" in name]
    assert table["area_um2"].tolist() == [32]
    assert table["major_axis_um"][0] == pytest.approx(2 * table["minor_axis_um"][0])


def test_a_box_of_anisotropic_voxels() -> None:
    labels = np.zeros((6, 12, 12), np.uint16)
    labels[1:4, 2:8, 3:9] = 9  # 3 deep, 6 x 6 wide: 6 x 3 x 3 µm
    stack = Stack(labels, "ZYX", pixel_size=MICRONS, unit="µm")
    table = measure_objects(stack, dims=3)
    assert table["volume_px"].tolist() == [108]
    assert table["volume_um3"].tolist() == [54]
    assert (table["z_px"][0], table["z_um"][0]) == (2, 4)
    # marching cubes cut the edges off; the box has 2 * 9 + 4 * 18 = 90 µm²
    assert 0.85 * 90 < table["surface_um2"][0] < 90
    assert table["equivalent_diameter_um"][0] == pytest.approx(np.cbrt(6 * 54 / np.pi))
    left_out = {"perimeter_um", "eccentricity", "solidity", "section"}
    assert not left_out & set(table.columns)
    assert not table["touches_border"][0]


def test_a_ball_of_anisotropic_voxels_has_about_its_surface() -> None:
    z, y, x = np.ogrid[-12:13, -24:25, -24:25]
    ball = ((2 * z) ** 2 + y**2 + x**2 <= 20**2).astype(np.uint8)
    stack = Stack(ball, "ZYX", pixel_size={"Z": 2.0, "Y": 1.0, "X": 1.0}, unit="µm")
    table = measure_objects(stack, dims=3)
    assert table["volume_um3"][0] == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    # the stairs of voxels have some more
    assert 1 < table["surface_um2"][0] / (4 * np.pi * 20**2) < 1.13
    assert table["major_axis_um"][0] == pytest.approx(40, rel=0.02)
    assert table["minor_axis_um"][0] == pytest.approx(40, rel=0.02)


def test_intensities_of_each_channel_under_its_name() -> None:
    labels = np.array([[1, 1, 0], [2, 0, 0]])
    image = np.array([[[1, 3, 9], [5, 9, 9]], [[10, 30, 0], [50, 0, 0]]], np.uint8)
    stack = Stack(image, "CYX", channel_names=("DAPI", "GFP"))
    table = measure_objects(labels, stack)
    assert table["mean_DAPI"].tolist() == [2, 5]
    assert table["sd_DAPI"].tolist() == [1, 0]
    assert table["min_GFP"].tolist() == [10, 50]
    assert table["max_GFP"].tolist() == [30, 50]
    assert table["sum_GFP"].tolist() == [40, 50]
    # one channel needs no name, and the sum of many bytes does not overflow
    assert measure_objects(labels, image[0])["sum"].tolist() == [4, 5]
    full = np.full((40, 40), 255, np.uint8)
    assert measure_objects(full // 255, full)["sum"].tolist() == [255 * 1600]


def test_several_images_give_their_names() -> None:
    labels = np.ones((4, 4), np.uint8)
    images = [Stack(np.full((4, 4), n), "YX", name=f"im{n}") for n in (3, 5)]
    table = measure_objects(labels, images)
    assert (table["mean_im3"][0], table["mean_im5"][0]) == (3, 5)


def test_colours_have_their_names() -> None:
    labels, image = np.ones((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)
    image[..., 1] = 7
    table = measure_objects(labels, Stack(image, "YXC"))
    assert [table[f"mean_{c}"][0] for c in ("red", "green", "blue")] == [0, 7, 0]


def test_a_time_series_tells_frame_and_section() -> None:
    labels = np.zeros((2, 3, 5, 5), np.uint8)
    labels[1, 2, 1:3, 1:3] = 4
    table = measure_objects(Stack(labels, "TZYX"))
    assert [int(table[name][0]) for name in ("frame", "section")] == [1, 2]
    volumes = measure_objects(Stack(labels, "TZYX"), dims=3)
    assert (int(volumes["frame"][0]), volumes["z_px"][0]) == (1, 2)
    assert volumes["touches_border"][0]  # in the last section it may be cut off


def test_nothing_to_measure_leaves_the_header() -> None:
    labels, image = np.zeros((2, 5, 5), np.uint8), np.ones((2, 5, 5))
    table = measure_objects(labels, image)
    assert len(table) == 0
    assert {"label", "section", "area_px", "mean"} <= set(table.columns)


def test_huge_labels_and_those_below_0() -> None:
    labels = np.array([[2**40, 2**40, 0], [-1, 3, 0]])
    table = measure_objects(labels)
    assert table["label"].tolist() == [3, 2**40]
    assert table["area_px"].tolist() == [1, 2]


def test_sections_are_read_one_by_one() -> None:
    class Pixels:
        shape, ndim, dtype = (50, 8, 8), 3, np.dtype(np.uint8)
        read = 0

        def __getitem__(self, key: object) -> np.ndarray:
            self.read += 1
            return np.ones((8, 8), np.uint8)

    pixels = Pixels()
    parts = measure_parts(Stack(pixels, "ZYX"))
    next(parts)
    assert pixels.read == 1
    assert len(join_tables([*parts])) == 49


@pytest.mark.parametrize(
    ("objects", "image", "dims", "says"),
    [
        (np.ones((4, 4)), None, 2, "whole numbers"),
        (np.ones((4, 4), int), np.ones((4, 5)), 2, "found in"),
        (np.ones((4, 4), int), None, 3, "no Z"),
        (Stack(np.ones((2, 4, 4), int), "CYX"), None, 2, "2 channels"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    objects: np.ndarray, image: np.ndarray | None, dims: int, says: str
) -> None:
    with pytest.raises(StackFormatError, match=says):
        measure_objects(objects, image, dims=dims)


def test_a_table_is_written_whole_and_read_back(tmp_path: Path) -> None:
    table = Table(
        {
            "label": np.array([1, 2]),
            "mean": np.array([1 / 3, np.nan]),
            "touches_border": np.array([True, False]),
            "file": np.array(["a,b.tif", "ü.tif"]),
        }
    )
    path = write_table(tmp_path / "out" / "t.csv", table)
    with path.open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert rows[0] == {
        "label": "1",
        "mean": "0.333333333",
        "touches_border": "True",
        "file": "a,b.tif",
    }
    assert rows[1]["mean"] == ""
    with pytest.raises(OutputExistsError):
        write_table(path, table)
    write_table(path, table, overwrite=True)
    with pytest.raises(ConfigError, match=r"\.csv"):
        write_table(tmp_path / "t.xlsx", table)
    assert [each.name for each in path.parent.iterdir()] == ["t.csv"]


def test_parquet_is_written_or_what_it_needs_is_said(tmp_path: Path) -> None:
    table, path = Table({"label": np.array([1, 2])}), tmp_path / "t.parquet"
    try:
        import pandas as pd
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(UNetError, match="pip install pandas pyarrow"):
            write_table(path, table)
        assert not [*tmp_path.iterdir()]
    else:
        write_table(path, table)
        assert pd.read_parquet(path)["label"].tolist() == [1, 2]


def test_tables_of_different_columns_are_joined() -> None:
    joined = join_tables(
        [Table({"a": np.array([1])}, ("x",)), Table({"b": np.array([True])}, ("x",))]
    )
    assert np.array_equal(joined["a"], [1, np.nan], equal_nan=True)
    assert np.array_equal(joined["b"], [np.nan, 1], equal_nan=True)
    assert joined.remarks == ("x",)


def test_real_nuclei_are_all_measured(data_folder: Path) -> None:
    masks = sorted((data_folder / "nuclei_dsb2018" / "labels").iterdir())
    for path in masks[:5]:
        stack = open_stack(path)
        labels = stack.section(0)[0]
        table = measure_objects(stack)
        assert table["label"].tolist() == [n for n in np.unique(labels) if n]
        assert table["area_px"].sum() == (labels > 0).sum()
        deepest = distance_transform_edt(labels == table["label"][0]).max()
        assert table["equivalent_diameter_px"][0] >= 2 * deepest - 2
