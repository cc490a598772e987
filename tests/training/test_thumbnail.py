"""The picture of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_unet import train
from napari_unet.data import Classes, synthetic_em
from napari_unet.model import Model
from napari_unet.training import thumbnail

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"steps": 2, "depth": 1, "width": 4, "patch_size": 32, "batch_size": 1}


def picture_of(run: Path) -> np.ndarray:
    return np.asarray(Image.open(run / "thumbnail.png"))


@pytest.mark.parametrize(
    "options",
    [{}, {"network": "unet-3d", "patch_depth": 4}, {"context": 1}, {"validation": 0}],
)
def test_a_run_ends_with_a_picture(tmp_path: Path, options: dict[str, Any]) -> None:
    image, labels = synthetic_em(6, 96)
    train(image, labels, run=tmp_path / "run", **{**SMALL, **options})
    picture = picture_of(tmp_path / "run")
    rows, columns, _ = picture.shape
    assert columns == 96
    assert rows <= 96
    assert picture.std() > 10
    assert not list((tmp_path / "run").glob(".*"))


def test_classes_have_colours_and_the_commonest_has_none() -> None:
    model: Any = SimpleNamespace(classes=Classes((10, 20, 30)))
    pixels = np.linspace(0, 100, 16).reshape(1, 4, 4)
    labels = np.full((4, 4), 20)
    labels[0, 0], labels[3, 3] = 10, 30
    picture = thumbnail.draw(pixels, labels, model)
    grey = picture[1, 1]
    assert grey[0] == grey[1] == grey[2]
    assert picture[0, 0].tolist() == [0xE6 // 2, 0x9F // 2, 0]  # over black
    assert len(set(picture[3, 3].tolist())) > 1
    assert picture[3, 3].tolist() != picture[0, 0].tolist()


def test_a_run_is_as_good_without_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(thumbnail, "replacing", full)
    image, labels = synthetic_em(2, 64)
    assert isinstance(train(image, labels, run=tmp_path / "run", **SMALL), Model)
    assert "No thumbnail was drawn" in caplog.text
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_pixels_that_are_no_numbers_are_black() -> None:
    pixels = np.array([[[np.nan, 0], [np.inf, 100]]])
    assert thumbnail._grey(pixels).tolist() == [[[0, 0], [255, 255]]]
    assert not thumbnail._grey(np.full((1, 2, 2), np.nan)).any()
