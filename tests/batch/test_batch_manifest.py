from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from napari_unet.batch.inputs import Item
from napari_unet.batch.manifest import (
    NAME,
    Manifest,
    Record,
    purpose_of,
    read,
    read_records,
)
from napari_unet.errors import UNetError

if TYPE_CHECKING:
    from pathlib import Path


def _done(folder: Path, image: Path) -> Item:
    manifest = Manifest(folder)
    (folder / "a.labels.tif").write_bytes(b"labels")
    files = {"labels": "a.labels.tif"}
    manifest.add(Record("a.tif", "done", "p", read(image), files))
    manifest.close()
    return Item("a.tif", image)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    path.write_bytes(b"pixels")
    return path


def test_what_is_done_stays_done(tmp_path: Path, image: Path) -> None:
    item = _done(tmp_path / "out", image)
    manifest = Manifest(tmp_path / "out")
    assert manifest.is_done(item, "p")
    assert not manifest.is_done(item, "another model")
    (tmp_path / "out/a.labels.tif").unlink()
    assert not manifest.is_done(item, "p")
    manifest.close()


def test_content_counts_and_not_its_time(tmp_path: Path, image: Path) -> None:
    item = _done(tmp_path / "out", image)
    manifest = Manifest(tmp_path / "out")
    os.utime(image, ns=(1, 1))  # a clock that goes backwards, or a copy
    assert manifest.is_done(item, "p")
    image.write_bytes(b"others")
    assert not manifest.is_done(item, "p")
    manifest.close()


def test_failures_are_known_until_something_changes(
    tmp_path: Path, image: Path
) -> None:
    manifest = Manifest(tmp_path / "out")
    manifest.add(Record("a.tif", "failed", "p", read(image), reason="why"))
    manifest.add(Record("gone.tif", "failed", "p", None, reason="missing"))
    gone = Item("gone.tif", tmp_path / "gone.tif")
    assert manifest.has_failed(Item("a.tif", image), "p")
    assert manifest.has_failed(gone, "p")
    image.write_bytes(b"mended")
    gone.image.write_bytes(b"came back")
    assert not manifest.has_failed(Item("a.tif", image), "p")
    assert not manifest.has_failed(gone, "p")
    manifest.close()


def test_half_a_line_is_dropped_and_the_rest_kept(tmp_path: Path, image: Path) -> None:
    item = _done(tmp_path / "out", image)
    with (tmp_path / "out" / NAME).open("a") as file:
        file.write('{"name": "b.tif", "sta')
    manifest = Manifest(tmp_path / "out")
    assert manifest.is_done(item, "p")
    manifest.settle(precision="fp32")
    manifest.close()
    manifest = Manifest(tmp_path / "out")
    assert manifest.settled == {"precision": "fp32"}
    assert list(manifest.records) == ["a.tif"]
    manifest.close()


def test_a_second_run_is_kept_out(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "out")
    with pytest.raises(UNetError, match="another process"):
        Manifest(tmp_path / "out")
    manifest.close()
    Manifest(tmp_path / "out").close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UNetError, match="cannot be written to"):
        Manifest(tmp_path / "file" / "out")


def test_purposes_differ_by_any_value() -> None:
    assert purpose_of(a=1, b="x") == purpose_of(b="x", a=1)
    assert purpose_of(a=1, b="x") != purpose_of(a=1, b="y")


def test_others_can_read_it_while_it_is_written(tmp_path: Path) -> None:
    assert read_records(tmp_path) == {}
    manifest = Manifest(tmp_path)
    manifest.settle(precision="fp32")
    manifest.add(Record("a.tif", "failed", "p", reason="why"))
    manifest.add(Record("a.tif", "done", "p"))
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"name": "b.ti')  # its line is on its way
    assert read_records(tmp_path) == {"a.tif": Record("a.tif", "done", "p")}
    manifest.close()
