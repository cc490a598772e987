from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet import write_stack
from napari_unet.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two stacks with a square each, and the images they belong to."""
    objects, images = tmp_path / "objects", tmp_path / "images"
    facts = {"axes": "ZYX", "pixel_size": {"Z": 2.0, "Y": 0.5, "X": 0.5}, "unit": "µm"}
    for name, size in (("a", 4), ("b", 5)):
        labels = np.zeros((2, 9, 9), np.uint8)
        labels[1, 1 : 1 + size, 1 : 1 + size] = 3
        shape = {"shape": labels.shape, "dtype": "uint8", **facts}
        write_stack(objects / f"{name}.objects.tif", labels, **shape)
        write_stack(images / f"{name}.tif", labels * 10, **shape)
    return objects, images


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def test_one_stack_with_its_image(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects, images = folders
    out = tmp_path / "table.csv"
    files = [str(objects / "a.objects.tif"), str(images / "a.tif")]
    assert main(["measure", *files, "--out", str(out)]) == 0
    assert "1 objects in" in capsys.readouterr().out
    (row,) = read(out)
    assert (row["section"], row["area_um2"], row["mean"]) == ("1", "4", "30")
    assert "file" not in row
    assert main(["measure", *files, "--out", str(out)]) == 1  # it is there
    again = ["--out", str(out), "--overwrite", "--object-dims", "3", "--json"]
    assert main(["measure", *files, *again]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] == 1
    assert read(out)[0]["volume_um3"] == "8"


def test_folders_are_paired_by_name_into_one_table(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "all.csv"
    assert main(["measure", *map(str, folders), "--out", str(out), "--quiet"]) == 0
    rows = read(out)
    assert [row["file"] for row in rows] == ["a.objects.tif", "b.objects.tif"]
    assert [row["area_px"] for row in rows] == ["16", "25"]
    assert [row["mean"] for row in rows] == ["30", "30"]
    objects = tmp_path / "objects.csv"
    assert main(["measure", str(folders[0]), "--out", str(objects), "--quiet"]) == 0
    assert len(read(objects)) == 2


def test_a_name_that_is_no_table_is_refused_before_anything_is_read(
    tmp_path: Path,
) -> None:
    nothing = str(tmp_path / "missing.tif")
    assert main(["measure", nothing, "--out", str(tmp_path / "t.txt")]) == 2
