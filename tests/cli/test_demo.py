from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_unet import Model
from napari_unet.cli import demo_run
from napari_unet.cli.demo_run import run_demo
from napari_unet.data import open_stack, synthetic_em, write_stack
from napari_unet.errors import ConfigError, MaskError, StackFormatError
from on_disk import save_stack

FILES = [
    "curves.png",
    "picture.png",
    "run",
    "scores.json",
    "scores.txt",
    "unseen.labels.tif",
    "unseen.prob.tif",
    "unseen.tif",
    "unseen.truth.tif",
]


def data_in(folder: Path, sections: int = 6) -> Path:
    names = ("train-volume.tif", "train-labels.tif")
    for name, stack in zip(names, synthetic_em(sections, 48), strict=True):
        save_stack(folder / name, stack)
    return folder


def test_demo_goes_all_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = data_in(tmp_path / "data", 8), tmp_path / "demo"
    scores = run_demo(out, data, "1s", "bar", window=False)
    assert sorted(path.name for path in out.iterdir()) == FILES
    unseen = open_stack(out / "unseen.tif")
    assert unseen.shape == (2, 48, 48)  # a quarter of 8
    original = np.asarray(open_stack(data / "train-volume.tif"))
    np.testing.assert_array_equal(np.asarray(unseen), original[6:])
    truth = np.asarray(open_stack(data / "train-labels.tif"))[6:]
    np.testing.assert_array_equal(
        np.asarray(open_stack(out / "unseen.truth.tif")), truth
    )
    labels = open_stack(out / "unseen.labels.tif")
    assert (labels.shape, labels.unit) == ((2, 48, 48), "nm")
    assert open_stack(out / "unseen.prob.tif").shape == (2, 2, 48, 48)
    assert json.loads((out / "scores.json").read_text()) == json.loads(
        json.dumps(scores.to_dict())
    )
    table = (out / "scores.txt").read_text()
    assert table in capsys.readouterr().out
    config = json.loads((out / "run" / "config.json").read_text())
    assert config["data"]["pairs"][0]["image"]["shape"] == [
        6,
        48,
        48,
    ]  # no section of the test
    assert Model.load(out / "run").unit == "nm"
    assert (out / "picture.png").read_bytes()[:4] == b"\x89PNG"

    run_demo(out, data, "0.1s", "quiet", window=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data",
        "demo",
        "demo-1",
    ]
    assert sorted(path.name for path in (tmp_path / "demo-1").iterdir()) == FILES
    assert (tmp_path / "demo-1" / "scores.txt").read_text() == table
    assert capsys.readouterr().out == ""


def test_colour_images_go_all_the_way(tmp_path: Path) -> None:
    data = data_in(tmp_path / "data")
    grey = np.asarray(open_stack(data / "train-volume.tif"))
    colours = np.stack([grey, 255 - grey], axis=1)
    (data / "train-volume.tif").unlink()
    write_stack(
        data / "train-volume.tif",
        colours.reshape(-1, 48, 48),
        shape=colours.shape,
        axes="ZCYX",
        dtype="uint8",
    )
    run_demo(tmp_path / "demo", data, "0.1s", "quiet", window=False)
    assert Model.load(tmp_path / "demo" / "run").config.channels == 2
    assert open_stack(tmp_path / "demo" / "unseen.tif").n_channels == 2


def test_bad_data_is_told_before_anything_is_moved(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(StackFormatError, match=r"train-volume\.tif does not exist"):
        run_demo(out, tmp_path, "1s", "quiet", window=False)
    data = data_in(tmp_path / "data", sections=3)
    with pytest.raises(StackFormatError, match="at least 4"):
        run_demo(out, data, "1s", "quiet", window=False)
    (data / "train-labels.tif").write_bytes(
        (data_in(tmp_path / "other", 5) / "train-labels.tif").read_bytes()
    )
    with pytest.raises(MaskError):
        run_demo(out, data, "1s", "quiet", window=False)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_window_is_said_to_be_missing_where_there_is_no_napari(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(demo_run, "find_spec", lambda name: None)
    demo_run._show_window(tmp_path, "bar")
    assert "napari is not installed" in capsys.readouterr().out


@pytest.mark.parametrize("out", ["data", "."])
def test_the_folder_of_the_data_is_never_moved(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="a folder of its own"):
        run_demo(Path(out), tmp_path / "data", "1s", "quiet", window=False)
    assert (tmp_path / "data").is_dir()
