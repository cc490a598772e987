from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from napari_unet.batch.inputs import list_items
from napari_unet.errors import ConfigError, StackFormatError

if TYPE_CHECKING:
    from pathlib import Path


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_is_searched_and_its_structure_kept(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    _touch(folder / "b10.tif", folder / "b9.tif", folder / "deep/er/a.PNG")
    _touch(folder / "notes.txt", folder / ".hidden.tif", folder / ".trash/a.tif")
    names = [item.name for item in list_items([folder], tmp_path / "out")]
    assert names == ["b9.tif", "b10.tif", "deep/er/a.PNG"]


def test_the_output_folder_is_no_input(tmp_path: Path) -> None:
    _touch(tmp_path / "a.tif", tmp_path / "out/a.labels.tif")
    (item,) = list_items([tmp_path], tmp_path / "out")
    assert item.name == "a.tif"
    with pytest.raises(ConfigError, match="among the images"):
        list_items([tmp_path], tmp_path)


def test_a_zarr_store_is_one_image(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "in/big.zarr", data=np.zeros((4, 8, 8), np.uint8))
    (item,) = list_items([tmp_path / "in"], tmp_path / "out")
    assert item.name == "big.zarr"


def test_patterns_keep_the_folders_that_vary(tmp_path: Path) -> None:
    _touch(tmp_path / "day1/a.tif", tmp_path / "day2/a.tif", tmp_path / "day2/b.txt")
    items = list_items([tmp_path / "day*" / "*"], tmp_path / "out")
    assert [item.name for item in items] == ["day1/a.tif", "day2/a.tif"]


def test_an_image_named_twice_is_predicted_once(tmp_path: Path) -> None:
    _touch(tmp_path / "a.tif")
    inputs = [tmp_path / "a.tif", tmp_path, tmp_path / "*.tif"]
    assert len(list_items(inputs, tmp_path / "out")) == 1


def test_a_table_names_truth_and_region(tmp_path: Path) -> None:
    table = tmp_path / "in.csv"
    table.write_text("path,truth,region\nx/a.tif,t/a.tif,0:8\nb.tif,,\n")
    first, second = list_items([table], tmp_path / "out")
    assert (second.name, second.truth, second.region) == (
        "x/a.tif",
        tmp_path / "t/a.tif",
        "0:8",
    )
    assert (first.name, first.truth, first.region) == ("b.tif", None, None)


def test_a_table_without_the_column_path_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "in.csv"
    table.write_text("file\na.tif\n")
    with pytest.raises(ConfigError, match="must have path"):
        list_items([table], tmp_path / "out")


@pytest.mark.parametrize("between", [";", "\t"])
def test_tables_of_other_spreadsheets_are_read(tmp_path: Path, between: str) -> None:
    table = tmp_path / "in.csv"
    rows = ("path", "truth", "region"), ("a, b.tif", "", "0:8,0:9")
    table.write_text("".join(f"{between.join(row)}\n" for row in rows))
    (item,) = list_items([table], tmp_path / "out")
    assert (item.name, item.truth, item.region) == ("a, b.tif", None, "0:8,0:9")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("path,truth\n", "names no image"),
        ("path,region\na.tif,0:1,0:2\n", "Line 2 .* between quotes"),
        ("path,truth\na.tif,\n,b.tif\n", "Line 3 .* no path"),
    ],
)
def test_tables_with_faults_are_refused(tmp_path: Path, lines: str, why: str) -> None:
    table = tmp_path / "in.csv"
    table.write_text(lines)
    with pytest.raises(ConfigError, match=why):
        list_items([table], tmp_path / "out")


@pytest.mark.parametrize("other", ["a.tif,1:2,", "a.tif,0:1,u.tif"])
def test_one_image_for_two_results_is_refused(tmp_path: Path, other: str) -> None:
    table = tmp_path / "in.csv"
    table.write_text(f"path,region,truth\na.tif,0:1,t.tif\n{other}\n")
    with pytest.raises(ConfigError, match=r"a\.tif is named twice"):
        list_items([table], tmp_path / "out")


def test_a_table_adds_to_a_folder(tmp_path: Path) -> None:
    _touch(tmp_path / "in/x/a.tif", tmp_path / "in/x/b.tif")
    table = tmp_path / "in.csv"
    table.write_text("path,region\nin/x/a.tif,0:1\n")
    for inputs in ([tmp_path / "in", table], [tmp_path / "in", table, tmp_path / "in"]):
        items = list_items(inputs, tmp_path / "out")
        assert [(each.name, each.region) for each in items] == [
            ("x/a.tif", "0:1"),
            ("x/b.tif", None),
        ]


@pytest.mark.parametrize("other", ["a.png", "A.TIF", "a.ome.tif"])
def test_two_images_with_one_output_are_refused(tmp_path: Path, other: str) -> None:
    _touch(tmp_path / "in/a.tif", tmp_path / "in" / other)
    with pytest.raises(ConfigError, match="same files"):
        list_items([tmp_path / "in"], tmp_path / "out")


@pytest.mark.parametrize("missing", ["nothing.tif", "empty", "*.nothing"])
def test_inputs_that_hold_nothing_are_refused(tmp_path: Path, missing: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StackFormatError, match="Check"):
        list_items([tmp_path / missing], tmp_path / "out")


def test_truth_is_found_in_the_same_place_by_name(tmp_path: Path) -> None:
    _touch(tmp_path / "in/x/a.tif", tmp_path / "in/x/b.tif")
    _touch(tmp_path / "truth/x/a_mask.png", tmp_path / "truth/a.tif")
    first, second = list_items([tmp_path / "in"], tmp_path / "out", tmp_path / "truth")
    assert first.truth == tmp_path / "truth/x/a_mask.png"
    assert second.truth is None
    _touch(tmp_path / "truth/x/a.tif")
    with pytest.raises(ConfigError, match="scored by"):
        list_items([tmp_path / "in"], tmp_path / "out", tmp_path / "truth")


def test_a_folder_without_any_truth_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path / "in/x/a.tif", tmp_path / "others/x/b.tif")
    for folder, why in {"others": r"x[\\/]a_mask\.tif", "typo": "no folder"}.items():
        with pytest.raises(ConfigError, match=why):
            list_items([tmp_path / "in"], tmp_path / "out", tmp_path / folder)


def test_a_pattern_leaves_the_results_of_an_earlier_run_out(tmp_path: Path) -> None:
    _touch(tmp_path / "a.tif", tmp_path / "out/a.labels.tif")
    items = list_items([tmp_path / "**" / "*.tif"], tmp_path / "out")
    assert [item.name for item in items] == ["a.tif"]
