import json

import numpy as np
import pytest

from napari_unet import evaluate_objects
from napari_unet.cli import main
from napari_unet.data import Stack, open_stack, write_stack
from napari_unet.errors import MaskError, StackFormatError

# In each section the object 1; in the second also 2, which is found one pixel short.
TRUTH = np.array([[[1, 1, 0, 0, 0]], [[1, 1, 0, 2, 2]]], np.uint16)
FOUND = np.array([[[5, 5, 0, 0, 0]], [[5, 5, 0, 0, 6]]], np.int32)


def test_sections_or_volumes():
    sections = evaluate_objects(FOUND, TRUTH)
    assert (sections.objects.true, sections.objects.images) == (3, 2)
    assert sections.objects.matches[0].ap == 1  # 2 is found with an IoU of exactly 0.5
    assert sections.objects.matches[1].ap == 2 / 4
    volume = evaluate_objects(FOUND, TRUTH, dims=3)
    assert (volume.objects.true, volume.objects.images) == (2, 1)
    with pytest.raises(StackFormatError, match="no Z"):
        evaluate_objects(Stack(FOUND, "TYX"), Stack(TRUTH, "TYX"), dims=3)


def test_ignored_pixels_do_not_count():
    truth = np.where(TRUTH == 2, 9, TRUTH)
    scores = evaluate_objects(FOUND, truth, ignore=9).objects
    assert (scores.predicted, scores.true, scores.mean_ap) == (2, 2, 1)


def test_the_table_says_all():
    text = evaluate_objects(FOUND, TRUTH).text()
    assert "2 sections of 1 × 5" in text
    assert "3 objects predicted, 3 in the truth" in text
    assert (
        len([line for line in text.splitlines() if line.lstrip().startswith("0.")])
        == 10
    )


def test_many_objects_fit_the_table():
    found = np.arange(200_000).reshape(1, 400, 500)
    truth = np.where(found < 3, found, 0)
    text = evaluate_objects(found, truth).text(80)
    assert "…" not in text
    assert "199,997" in text


def test_other_shapes_are_refused():
    with pytest.raises(MaskError, match="image's shape"):
        evaluate_objects(FOUND[:1], TRUTH)


def test_the_command_scores_objects(tmp_path, capsys):
    for name, pixels in (("found", FOUND), ("truth", TRUTH)):
        write_stack(
            tmp_path / f"{name}.tif",
            pixels,
            shape=pixels.shape,
            axes="ZYX",
            dtype=pixels.dtype,
        )
    assert open_stack(tmp_path / "found.tif").dtype == np.int32
    files = [str(tmp_path / "found.tif"), str(tmp_path / "truth.tif")]
    told = ["--objects", "--object-dims", "3", "--json"]
    assert main(["evaluate", *files, *told]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["objects"]["true"] == 2
    assert main(["evaluate", *files, "--objects"]) == 0
    assert "mean AP" in capsys.readouterr().out
