from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

import napari_unet as nu
from napari_unet.cli import main
from napari_unet.errors import ConfigError, StackFormatError
from napari_unet.events import PlacesFound, SectionsDone
from napari_unet.prediction.unsure import section_uncertainty, unsure_events

if TYPE_CHECKING:
    from pathlib import Path


def dark(*shape: int, **bright: float) -> np.ndarray:
    """Make an image of zeros with some bright squares of 3 × 3: at_1_20_30=0.5."""
    image = np.zeros(shape, np.float32)
    for name, value in bright.items():
        *section, row, column = map(int, name.removeprefix("at_").split("_"))
        image[(*section, slice(row - 1, row + 2), slice(column - 1, column + 2))] = (
            value
        )
    return image


def positions(*given: object, **options: object) -> list[tuple[int, ...]]:
    return [each.position for each in nu.find_unsure(*given, **options)]


def test_the_middles_of_unsure_spots_are_found_the_brightest_first() -> None:
    image = dark(60, 80, at_20_30=0.5, at_40_60=0.9)
    found = nu.find_unsure(image, 2, size=8)
    assert [each.position for each in found] == [(40, 60), (20, 30)]
    assert found[0].score / found[1].score == pytest.approx(0.9 / 0.5)


def test_the_score_is_the_mean_around() -> None:
    (place,) = nu.find_unsure(np.full((64, 64), 0.25, np.float32), 1, size=8)
    assert place.score == pytest.approx(0.25)


def test_a_broad_unsure_field_beats_a_single_bright_pixel() -> None:
    image = np.zeros((64, 64), np.float32)
    image[10, 10] = 1
    image[36:49, 36:49] = 0.4
    assert positions(image, 1, size=12) == [(42, 42)]


def test_places_are_a_place_apart() -> None:
    image = dark(40, 80, at_20_20=0.9, at_20_25=0.8, at_20_28=0.7, at_20_60=0.3)
    assert positions(image, 2, size=12)[1] == (20, 60)
    many = positions(np.ones((40, 80), np.float32), 100, size=12)
    for i, (y, x) in enumerate(many):
        assert all(max(abs(y - v), abs(x - u)) >= 12 for v, u in many[:i])
    assert len(many) > 12


def test_places_are_spread_over_sections() -> None:
    image = dark(9, 40, 80, at_0_20_20=0.9, at_1_20_21=0.8, at_6_20_20=0.3)
    # The same spot one section further shows nearly the same.
    assert positions(image, 2, size=12) == [(0, 20, 20), (6, 20, 20)]
    image = dark(9, 40, 80, at_0_20_20=0.9, at_0_20_60=0.8, at_6_20_20=0.5)
    # The second of a section counts half: 0.4.
    assert positions(image, 2, size=12) == [(0, 20, 20), (6, 20, 20)]
    assert positions(image, 3, size=12)[1] == (0, 20, 60)


def test_the_pixel_size_says_which_sections_are_near() -> None:
    image = dark(9, 40, 40, at_1_20_20=0.9, at_6_20_20=0.5)
    thick = nu.as_stack(image, pixel_size={"Z": 10, "Y": 1, "X": 1}, unit="nm")
    cubes = nu.as_stack(image, pixel_size={"Z": 1, "Y": 1, "X": 1}, unit="nm")
    assert positions(thick, size=12) == [(1, 20, 20), (6, 20, 20)]
    assert positions(cubes, size=12) == [(1, 20, 20)]


def test_what_is_annotated_is_not_unsure_any_more() -> None:
    image = dark(40, 80, at_20_20=0.9, at_20_60=0.3)
    labels = np.zeros((40, 80), np.uint8)
    labels[10:30, 10:30] = 1
    assert positions(image, annotated=labels, size=12) == [(20, 60)]
    labels[labels == 0] = 254
    assert positions(image, annotated=labels, unlabelled=254, size=12) == [(20, 60)]
    labels[:] = 1
    assert positions(image, annotated=labels, size=12) == []


def test_no_place_lies_in_an_annotated_pixel() -> None:
    # A ring of unsure pixels has its blurred maximum in its middle.
    image = np.zeros((41, 41), np.float32)
    image[15:26, 15:26] = 1
    image[18:23, 18:23] = 0
    labels = np.zeros((41, 41), np.uint8)
    labels[18:23, 18:23] = 1
    (place,) = nu.find_unsure(image, 1, size=16, annotated=labels)
    assert labels[place.position] == 0
    assert image[place.position] == 1


def test_of_probabilities_it_takes_the_entropy() -> None:
    cells = np.full((2, 3, 50, 50), 0.0, np.float32)  # Z, C, Y, X
    cells[:, 0] = 1
    cells[1, :2, 19:22, 29:32] = 0.5
    found = nu.find_unsure(cells, size=8, axes="ZCYX")
    assert [each.position for each in found] == [(1, 20, 30)]
    entropy = section_uncertainty(cells[1])
    assert entropy[20, 30] == pytest.approx(math.log(2) / math.log(3))
    assert entropy[0, 0] == 0


def test_positions_are_indices_into_labels_whatever_the_axes() -> None:
    image = dark(3, 30, 40, at_2_10_20=0.5)
    assert positions(image.transpose(2, 1, 0), axes="XYZ", size=8) == [(20, 10, 2)]


def test_nothing_unsure_and_nan_are_no_places() -> None:
    assert nu.find_unsure(np.zeros((20, 20), np.float32)) == []
    assert nu.find_unsure(np.full((20, 20), np.nan, np.float32)) == []


def test_it_goes_section_by_section_and_stops() -> None:
    image = dark(3, 30, 30, at_0_10_10=0.5)
    seen: list[int] = []
    events = list(
        unsure_events(
            nu.as_stack(image),
            put=lambda index, section: seen.append(index),
            should_stop=lambda: len(seen) == 2,
        )
    )
    assert events == [SectionsDone(1, 3), SectionsDone(2, 3)]
    whole = list(unsure_events(nu.as_stack(image)))
    assert isinstance(whole[-1], PlacesFound)


def test_what_it_cannot_use_is_refused() -> None:
    image = np.zeros((2, 30, 30), np.float32)
    with pytest.raises(ConfigError, match="at least one place"):
        nu.find_unsure(image, 0)
    with pytest.raises(StackFormatError, match=r"must have \(2, 30, 30\)"):
        nu.find_unsure(image, annotated=np.zeros((3, 30, 30), np.uint8))
    with pytest.raises(StackFormatError, match="probabilities are from 0 to 1"):
        nu.find_unsure(image + 7, axes="CYX")


def test_the_command_writes_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = dark(3, 30, 40, at_2_10_20=0.5)
    tifffile.imwrite(tmp_path / "u.tif", image, photometric="minisblack")
    words = ["unsure", str(tmp_path / "u.tif"), "--size", "8", "--axes", "ZYX"]
    assert main([*words, "--json"]) == 0
    (place,) = json.loads(capsys.readouterr().out)
    assert (place["z"], place["y"], place["x"]) == (2, 10, 20)
    out = tmp_path / "places.csv"
    assert main([*words, "--out", str(out)]) == 0
    with out.open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["z", "y", "x", "score"]
    assert row[:3] == ["2", "10", "20"]
    assert main([*words, "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; import numpy as np; import napari_unet as nu; "
        "nu.find_unsure(np.ones((9, 9), np.float32)); "
        "import napari_unet.worker.unsure; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
