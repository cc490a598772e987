"""The page of a report, read as a browser reads it."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import napari_unet as nu
from napari_unet.cli import main
from napari_unet.data import Stack, open_stack, write_stack
from napari_unet.errors import ConfigError, MaskError, OutputExistsError

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "img", "rect"}
# Section 0 is right; in 1 a wall is missing between two cells of 2 × 2; 2 is worse.
TRUTH = np.full((3, 2, 5), 255, np.uint8)
TRUTH[:, :, 2] = 0
FOUND = TRUTH.copy()
FOUND[1, :, 2] = 255
FOUND[2, :, 1:] = 0


class Reader(HTMLParser):
    """Checks that tags are closed, and collects what a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.words.append(data.strip())


def page(tmp_path: Path, *given: Any, **options: Any) -> Reader:
    nu.write_report(tmp_path / "report.html", *given, **options)
    return Reader((tmp_path / "report.html").read_text("utf-8"))


def picture(read: Reader, alt: str) -> np.ndarray:
    (address,) = (each["src"] for tag, each in read.tags if each.get("alt") == alt)
    assert address is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def test_the_page_says_all_and_needs_nothing_else(tmp_path: Path) -> None:
    image = np.arange(30).reshape(TRUTH.shape)
    read = page(tmp_path, FOUND, Stack(TRUTH, "ZYX", name="<b>&"), image=image)
    assert read.words[0] == "Evaluation of The prediction"
    assert "against <b>& · 3 sections of 2 × 5 pixels" in read.words[2]
    titles = [each for each in read.words if " section: " in each]
    assert titles == [
        "The best section: 0 · mean IoU 1.0000",
        "The median section: 1 · mean IoU 0.4000",
        "The worst section: 2 · mean IoU 0.2500",
    ]
    # Class 0: TP 4, FP 6, FN 2. Class 255: TP 18, FP 2, FN 6. 22 of 30 are right.
    assert {"0.3333", "0.6923", "0.5128", "0.7333"} <= {*read.words}
    assert "split, merged" in read.words
    assert {"prediction", "truth", "image"} <= {*read.words}
    assert any("not known" in each for each in read.words)
    sources = [each["src"] for tag, each in read.tags if tag == "img"]
    assert len(sources) == 12
    assert all(each.startswith("data:image/") for each in sources if each)
    text = (tmp_path / "report.html").read_text("utf-8")
    for outside in ("http:", "https:", "//www", "<script", "<link", "url(", "@import"):
        assert outside not in text


def test_the_pictures_are_those_of_the_sections(tmp_path: Path) -> None:
    read = page(tmp_path, FOUND, TRUTH)
    truth = picture(read, "Truth of section 1")
    assert (truth[..., 0] == TRUTH[1]).all()
    assert (picture(read, "Prediction of section 1")[..., 0] == FOUND[1]).all()
    errors = picture(read, "Errors of section 1")
    assert (errors[:, 2] == (0xD5, 0x5E, 0x00)).all()  # false: a wall is missing
    assert (errors[:, :2] == (0xCC, 0x79, 0xA7)).all()  # merged
    right = picture(read, "Errors of section 0")
    assert (right == right[0, 0]).all()
    assert right[0, 0, 0] == right[0, 0, 1]


def test_objects_and_values_have_pages_too(tmp_path: Path) -> None:
    numbers = np.array([[1, 1, 0, 2, 2]])
    read = page(tmp_path, numbers, numbers, kind="objects")
    assert "AP at IoU 0.5" in read.words
    assert {"The only section: 0 · AP at IoU 0.5 1.0000", "1 of 1"} & {*read.words}
    values = page(tmp_path, numbers + 0.5, numbers, kind="values", overwrite=True)
    assert {"R²", "RMSE", "Difference", "0.5"} <= {*values.words}
    volume = np.stack([numbers, numbers])
    read = page(tmp_path, volume, volume, kind="objects", object_dims=3, overwrite=True)
    assert "The first section: 0" in read.words


def test_a_class_that_is_absent_has_dashes(tmp_path: Path) -> None:
    shares = np.array([0.6, 0.4, 0.0], np.float32).repeat(4).reshape(3, 1, 2, 2)
    found = Stack(shares, "CZYX", channel_names=("0", "1", "2"))
    read = page(tmp_path, found, np.zeros((1, 2, 2), np.uint8))
    place = read.words.index("2", read.words.index("pixels"))
    assert read.words[place + 1 : place + 5] == ["–"] * 4
    assert "1.0000" not in read.words[place : place + 6]


def test_nothing_is_overwritten_unless_said(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"report\.html exists"):
        nu.write_report(path, FOUND, TRUTH)
    assert path.read_text() == "mine"
    nu.write_report(path, FOUND, TRUTH, overwrite=True)
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    (tmp_path / "errors.tif").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"errors\.tif exists"):
        nu.write_report(
            tmp_path / "new.html", FOUND, TRUTH, errors=tmp_path / "errors.tif"
        )
    with pytest.raises(ConfigError, match="one of"):
        nu.write_report(tmp_path / "new.html", FOUND, TRUTH, kind="cells")
    assert not (tmp_path / "new.html").exists()


def test_an_error_map_leaves_out_what_is_ignored() -> None:
    truth = np.where(FOUND == 255, np.uint8(255), np.uint8(7))
    errors = nu.error_map(FOUND, truth, ignore=7)
    assert errors.shape == truth.shape
    assert not errors.any()
    assert nu.error_map(FOUND, TRUTH)[1].tolist() == [[4, 4, 2, 4, 4]] * 2
    walls = nu.error_map(FOUND, TRUTH, error_value=0)
    assert walls[1].tolist() == [[0, 0, 1, 0, 0]] * 2
    gap = nu.error_map(TRUTH * 2.0, TRUTH * 1.0, kind="values")
    np.testing.assert_array_equal(gap, TRUTH.astype(np.float32))


def test_a_region_is_compared_with_its_part(tmp_path: Path) -> None:
    part = Stack(FOUND[1:, :, 1:4], "ZYX")
    report = nu.write_report(tmp_path / "a.html", part, TRUTH, region="1:3,:,1:4")
    assert report.shape == (2, 2, 3)
    with pytest.raises(MaskError, match=r"\(2, 2, 3\)"):
        nu.write_report(tmp_path / "b.html", part, TRUTH)


def test_the_command_writes_page_and_errors(tmp_path: Path, capsys: Any) -> None:
    for name, pixels in (("found", FOUND), ("truth", TRUTH)):
        write_stack(
            tmp_path / f"{name}.tif",
            list(pixels),
            shape=pixels.shape,
            axes="ZYX",
            dtype="uint8",
        )
    files = [str(tmp_path / name) for name in ("found.tif", "truth.tif")]
    out = [str(tmp_path / name) for name in ("report.html", "errors.tif")]
    command = ["evaluate", *files, "--report", out[0], "--errors", out[1]]
    assert main([*command, "--image", files[1]]) == 0
    assert "of 6 objects of the truth 0 are split and 2 merged" in " ".join(
        capsys.readouterr().out.split()
    )
    errors = np.asarray(open_stack(out[1]))
    np.testing.assert_array_equal(errors, nu.error_map(FOUND, TRUTH))
    Reader((tmp_path / "report.html").read_text("utf-8"))
    assert main(command) == 1
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--quiet"]) == 0
