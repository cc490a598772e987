from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data import Stack
from napari_unet.errors import ModelError
from napari_unet.evaluation.provenance import (
    Provenance,
    find_provenance,
    fingerprints,
    remarks_on_training,
)
from napari_unet.training import train

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(0)
IMAGE = Stack(RANDOM.random((6, 32, 32), np.float32), "ZYX", name="noise")
TRUTH = Stack((np.asarray(IMAGE) > 0.5).astype(np.uint8), "ZYX")


def test_what_trained_is_known_again(tmp_path: Path) -> None:
    options = {"depth": 1, "width": 2, "patch_size": 16, "batch_size": 1, "steps": 2}
    train(IMAGE, TRUTH, run=tmp_path / "run", validation=0.2, **options)
    known = find_provenance(tmp_path / "run")
    assert known.training == "sections 1 to 5, rows 0 to 31"
    assert known.data == ("noise",)
    assert len(known.sha256) == 64
    json.dumps(known.to_dict())
    # As a labels layer holds them, and as TIFF gives them back.
    again = Stack(np.asarray(TRUTH).astype(np.int64), "ZYX")
    (trained, chosen) = remarks_on_training(known, fingerprints(again))
    assert "trained on 5 of these 6 sections (1 to 5)" in trained
    assert "By 1 of these 6 sections (0)" in chosen
    empty = Stack(np.zeros((6, 32, 32), np.uint8), "ZYX")
    assert remarks_on_training(known, fingerprints(empty)) == []
    (trained, _) = remarks_on_training(known, fingerprints(empty, IMAGE))
    assert "5 of these 6" in trained
    one = fingerprints(TRUTH.select(slice(3, 4)))
    assert "trained on this section:" in remarks_on_training(known, one)[0]


def test_a_model_out_of_its_run_says_less(tmp_path: Path) -> None:
    options = {"depth": 1, "width": 2, "patch_size": 16, "batch_size": 1, "steps": 1}
    model = train(IMAGE, TRUTH, validation=0, **options)
    model.save(tmp_path / "mine.safetensors")
    known = find_provenance(tmp_path / "mine.safetensors")
    assert (known.run, known.training) == (None, None)
    assert known.step == 1
    assert remarks_on_training(known, fingerprints(TRUTH)) == []
    with pytest.raises(ModelError, match="does not exist"):
        find_provenance(tmp_path / "none")


def test_sections_are_named_in_ranges() -> None:
    known = Provenance("a", "b", "c", "d", seen=frozenset("abcdef"))
    sections = [{each} for each in "abxcdyez"]
    (remark,) = remarks_on_training(known, sections)
    assert "5 of these 8 sections (0 to 1, 3 to 4, 6)" in remark
