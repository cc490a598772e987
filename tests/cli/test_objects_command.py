from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet import open_stack, write_stack
from napari_unet.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """Two sections of two cells with a membrane between them."""
    cells = np.full((2, 12, 13), 255, np.uint8)
    cells[:, :, 6] = 0
    facts = {"axes": "ZYX", "pixel_size": {"Z": 2.0, "Y": 0.5, "X": 0.5}, "unit": "µm"}
    return write_stack(
        tmp_path / "masks" / "a.tif", cells, shape=cells.shape, dtype="uint8", **facts
    )


def found(path: Path) -> np.ndarray:
    return np.asarray(open_stack(path))


def test_pieces_by_default_and_cells_over_the_membrane(
    mask: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["objects", str(mask), "--out", str(out)]) == 0
    assert "a.objects.tif" in capsys.readouterr().out
    pieces = open_stack(out / "a.objects.tif")
    assert np.asarray(pieces)[:, 0, [0, 6, 12]].tolist() == [[1, 0, 2], [3, 0, 4]]
    assert pieces.pixel_size["Z"] == 2
    assert main(["objects", str(mask), "--out", str(out)]) == 1  # it is there
    how = ["--inside", "255", "--border", "rest", "--neck", "1", "--object-dims", "3"]
    single = ["--out", str(tmp_path / "one.tif"), *how]
    assert main(["objects", str(mask), *single]) == 0
    cells = found(tmp_path / "one.tif")
    assert cells[:, 0, [0, 12]].tolist() == [[1, 2], [1, 2]]
    assert cells.min() == 1


def test_a_folder_and_then_its_table(mask: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out", tmp_path / "t.csv"
    assert main(["objects", str(mask.parent), "--out", str(out), "--quiet"]) == 0
    assert main(["measure", str(out), "--out", str(table), "--quiet"]) == 0
    assert len(table.read_text("utf-8").splitlines()) == 5


def test_two_files_are_not_written_over_each_other(mask: Path, tmp_path: Path) -> None:
    again = ["objects", str(mask), str(mask), "--out", str(tmp_path / "out")]
    assert main(again) == 2
    assert main(["objects", str(mask), "--out", str(mask), "--overwrite"]) == 2
    assert found(mask).max() == 255


def test_options_that_leave_nothing_are_refused(mask: Path, tmp_path: Path) -> None:
    wrong = ["--minimum-size", "9", "--maximum-size", "3"]
    assert main(["objects", str(mask), "--out", str(tmp_path), *wrong]) == 2
