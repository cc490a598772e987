"""The parts of the Batch widget that need no window of napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.batch.inputs import Item
from napari_unet.batch.manifest import Manifest, Record
from napari_unet.data import write_stack
from napari_unet.plugin.batch import open as batch_open
from napari_unet.plugin.batch.fields import suggest_output
from napari_unet.plugin.batch.open import Place, read_layers
from napari_unet.plugin.batch.process import explain
from napari_unet.plugin.batch.rows import DONE, FAILED, RESULTS, WAITING, Row, survey
from napari_unet.plugin.batch.table import BatchModel, BatchTable

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

MANY = 10_000


def done(name: str, seconds: float) -> Row:
    return Row(Item(name, Path(name)), DONE, facts={"seconds": seconds})


def test_what_is_not_known_comes_last_either_way(qtbot: QtBot) -> None:
    model = BatchModel()
    rows = [Row(Item("a", Path("a"))), done("b", 3), done("c", 1), done("d", 3)]
    model.show(rows, RESULTS)
    found = []
    for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
        model.sort(3, order)
        found.append("".join(model.row_at(place).item.name for place in range(4)))
    assert found == ["cbda", "bdca"]


def test_names_are_sorted_as_people_do(qtbot: QtBot) -> None:
    model = BatchModel()
    model.show([done("10.tif", 1), done("9.tif", 1)], RESULTS)
    model.sort(0)
    assert model.row_at(0).item.name == "9.tif"


def test_of_many_rows_only_those_in_view_are_asked_for(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = BatchTable()
    qtbot.addWidget(table)
    table.resize(900, 300)
    with qtbot.waitExposed(table):
        table.show()
    table.show_rows([Row(Item(f"{n}.tif", Path("a"))) for n in range(MANY)], RESULTS)
    qtbot.wait(50)
    asked: list[int] = []
    data = BatchModel.data

    def counted(self: BatchModel, index: object, role: int = 0) -> object:
        asked.append(role)
        return data(self, index, role)

    monkeypatch.setattr(BatchModel, "data", counted)
    for row in table.model.rows:
        row.settle(DONE, facts={"seconds": 1.0})
        table.model.touch(row)
    qtbot.wait(100)
    in_view = 300 // 22 * len(RESULTS)
    assert 0 < len(asked) < 10 * in_view * 10  # far from one for each of the rows


def test_a_survey_tells_what_is_done_also_without_inputs(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif", "c.tif"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"")
    out = tmp_path / "out"
    manifest = Manifest(out)
    manifest.add(Record("a.tif", "done", "p", facts={"pixels": 5}))
    manifest.add(Record("b.tif", "failed", "p", reason="why"))
    rows = survey([str(tmp_path / "images")], out, None)  # while it is written
    assert [row.state for row in rows] == [DONE, FAILED, WAITING]
    assert (rows[0].megapixels, rows[1].reason) == (5e-6, "why")
    manifest.close()
    (out / "batch.csv").write_text("name,image\na.tif,/data/a.tif\n")
    rows = survey([], out, None)
    assert [str(row.item.image) for row in rows] == ["/data/a.tif", "b.tif"]


@pytest.mark.parametrize(
    ("code", "crashed", "errors", "said"),
    [
        (0, False, [], ""),
        (1, False, ["a warning"], ""),
        (2, False, ["napari-unet: Two are the same."], "Two are the same."),
        (
            *(2, False),
            ["usage: x", "napari-unet batch: error: argument --tile: invalid"],
            "argument --tile: invalid",
        ),
        (9, True, [], "memory ran out"),
        (11, True, ["Segmentation fault"], "crashed (signal 11): Segmentation fault"),
        (3, False, [], "ended with code 3"),
    ],
)
def test_how_a_process_ended_is_a_sentence(
    code: int, crashed: bool, errors: list[str], said: str
) -> None:
    found = explain(code, crashed, errors)
    assert said in found
    assert bool(said) == bool(found)


def test_an_output_folder_is_suggested_beside_the_input(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for inputs, name in {
        ("images",): "images predicted",
        ("images/*.tif",): "images predicted",
        ("images/a.ome.tif",): "images/a predicted",
        ("images/a.tif", "images/b.tif"): "images predicted",
        ("list.csv",): "list predicted",
    }.items():
        found = suggest_output([str(tmp_path / each) for each in inputs])
        assert found == tmp_path / name


def write(path: Path, pixels: np.ndarray) -> str:
    about = {"shape": pixels.shape, "axes": "ZYX", "dtype": pixels.dtype}
    size = {"pixel_size": {"Z": 5.0, "Y": 2.0, "X": 2.0}, "unit": "um"}
    write_stack(path, pixels, **about, **size)
    return path.name


@pytest.mark.parametrize("large", [0, 2**28])
def test_results_of_a_region_lie_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(batch_open, "_LARGE", large)
    pixels = np.arange(4 * 8 * 9, dtype=np.uint16).reshape(4, 8, 9)
    write(tmp_path / "a.tif", pixels)
    part = pixels[1:3, 2:6, 3:9]
    files = {"labels": write(tmp_path / "a.labels.tif", part)}
    row = Row(Item("a.tif", tmp_path / "a.tif", None, "1:3,2:6,3:9"), DONE, "", files)
    layers, remark = read_layers(row, Place(tmp_path, None, None))
    assert not remark
    (image, about, _), (labels, meta, kind) = layers
    assert (about["name"], meta["name"], kind) == ("a", "a labels", "labels")
    assert meta["translate"] == [5.0, 4.0, 6.0]
    assert isinstance(image, np.ndarray) is bool(large)  # else it stays in the file
    np.testing.assert_array_equal(np.asarray(image), pixels)
    np.testing.assert_array_equal(np.asarray(labels), part)


def test_results_open_without_the_image(tmp_path: Path) -> None:
    files = {"labels": write(tmp_path / "a.labels.tif", np.zeros((1, 4, 4), np.uint8))}
    row = Row(Item("a.tif", tmp_path / "gone.tif"), DONE, "", files)
    layers, remark = read_layers(row, Place(tmp_path, None, None))
    assert "does not exist" in remark
    assert [meta["name"] for _, meta, _ in layers] == ["gone labels"]
