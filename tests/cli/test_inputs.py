"""Folders of images through the command line, from training to scores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from PIL import Image

from napari_unet.cli import main
from napari_unet.data import open_stack
from napari_unet.model import read_info

if TYPE_CHECKING:
    from pathlib import Path

TINY = ["--steps=2", "--depth=1", "--width=2", "--patch-size=16", "--quiet"]


def write_images(folder: Path, count: int = 5, ending: str = "png") -> None:
    """Write pictures of several sizes, and masks of 0 and 255."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        shape = (24 + 4 * number, 40 - 2 * number)
        mask = np.zeros(shape, np.uint8)
        mask[4:16, 5:20] = 255
        pixels = random.integers(0, 60, shape).astype(np.uint8) + mask // 2
        Image.fromarray(pixels).save(folder / "images" / f"x_{number + 8}.{ending}")
        Image.fromarray(mask).save(folder / "masks" / f"x_{number + 8}_mask.png")


def train(images: Path, masks: Path, run: Path, *more: str) -> dict[str, Any]:
    command = ["train", str(images), str(masks), "--run", str(run), *TINY, *more]
    assert main(command) == 0
    record: dict[str, Any] = json.loads((run / "config.json").read_text())
    return record


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_folders_of_images_from_training_to_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, ending="jpg")
    images, masks, run = tmp_path / "images", tmp_path / "masks", tmp_path / "run"
    record = train(images, masks, run, "--validation", "0.2")
    assert record["split"] == {
        "training": "4 images (x_9, x_10, x_11, x_12)",
        "validation": "1 image (x_8)",
    }
    assert read_info(run)["history"]["images"] == 5
    out = tmp_path / "out"
    assert main(["predict", str(run), str(images), "--out", str(out), "--quiet"]) == 0
    assert names(out) == sorted(f"x_{n}.labels.tif" for n in range(8, 13))
    assert open_stack(out / "x_10.labels.tif").shape == (32, 36)
    assert main(["evaluate", str(out), str(masks), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["shape"] == [5, 40, 40]
    sizes = [(24 + 4 * n) * (40 - 2 * n) for n in range(5)]
    supports = {each["name"]: each["support"] for each in scores["overlap"]["classes"]}
    assert supports == {"0": sum(sizes) - 5 * 180, "255": 5 * 180}


def test_each_file_is_normalised_alone(tmp_path: Path) -> None:
    write_images(tmp_path)
    images, run = tmp_path / "images", tmp_path / "run"
    train(images, tmp_path / "masks", run)
    one = images / "x_9.png"
    for name, given in (("a", [images]), ("b", [one])):
        command = ["predict", str(run), *map(str, given), "--out", str(tmp_path / name)]
        assert main([*command, "--quiet", "--precision", "fp32"]) == 0
    alone, among = (open_stack(tmp_path / n / "x_9.labels.tif") for n in "ba")
    np.testing.assert_array_equal(np.asarray(alone), np.asarray(among))


def test_files_of_a_folder_as_one_stack(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = np.indices((32, 32)).sum(0).astype(np.uint8) // 16 % 2
            Image.fromarray(pixels).save(tmp_path / name / f"z{number}.png")
    images, masks, run = tmp_path / "images", tmp_path / "masks", tmp_path / "run"
    record = train(images, masks, run, "--as-stack")
    assert [each["image"]["shape"] for each in record["data"]["pairs"]] == [[3, 32, 32]]
    out = ["predict", str(run), str(images), "--quiet", "--out"]
    assert main([*out, str(tmp_path / "one")]) == 0
    assert names(tmp_path / "one") == ["images.labels.tif"]
    assert main([*out, str(tmp_path / "each"), "--no-as-stack"]) == 0
    assert len(names(tmp_path / "each")) == 3
    (masks / "z0.png").rename(masks / "z0_mask.png")
    (masks / "z1.png").rename(masks / "mask_z1.png")
    assert main(["train", str(images), str(masks), "--run", "r", "--as-stack"]) == 1


def test_other_folders_judge(tmp_path: Path) -> None:
    write_images(tmp_path / "train", 2)
    write_images(tmp_path / "val", 3)
    record = train(
        tmp_path / "train" / "images",
        tmp_path / "train" / "masks",
        tmp_path / "run",
        f"--val-image={tmp_path / 'val' / 'images'}",
        f"--val-labels={tmp_path / 'val' / 'masks'}",
    )
    assert record["split"]["training"] == "2 images (x_8, x_9)"
    assert record["split"]["validation"] == "3 images (x_8, x_9, x_10)"
    command = ["train", str(tmp_path / "train" / "images"), "--run", "r"]
    command.insert(2, str(tmp_path / "train" / "masks"))
    assert main([*command, "--val-image", "c"]) == 2


def test_dry_run_lists_the_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, 2)
    folders = [str(tmp_path / "images"), str(tmp_path / "masks")]
    run = tmp_path / "run"
    assert main(["train", *folders, "--run", str(run), "--dry-run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 images with masks: 2 by the name without _mask."
    assert said[1].endswith("x_8_mask.png  (the name without _mask)")
    assert not run.exists()
    (tmp_path / "masks" / "x_8_mask.png").unlink()
    assert main(["train", *folders, "--run", str(run)]) == 1
    assert "1 images without a partner (x_8.png)" in capsys.readouterr().err


def test_dry_run_says_what_would_be_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, 1)
    image = tmp_path / "images" / "x_8.png"
    mask = tmp_path / "masks" / "x_8_mask.png"
    command = ["train", str(image), str(mask), "--dry-run", "--patch-size=16"]
    assert main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["mask_values"] == ["0 → class 0 (81.2 %)", "255 → class 1 (18.8 %)"]
    assert facts["patch"] == "16 × 16"
    assert facts["network"] == "unet, depth 4, width 16"
    assert facts["training"].startswith("section 0, rows")
    assert facts["steps"].startswith("about ") and facts["memory"].endswith("GB (cpu)")
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"{image}  {mask}" in said
    assert "81.2 %" in said and "held out" in said and "16 × 16" in said
    assert main([*command, "--quiet"]) == 0
    assert not capsys.readouterr().out
    assert main([*command, "--ignore=0"]) == 1
    assert "at least two classes" in capsys.readouterr().err


def test_zarr_from_training_to_prediction(tmp_path: Path) -> None:
    store, run = tmp_path / "cells.zarr", tmp_path / "run"
    random = np.random.default_rng(0)
    mask = (np.indices((3, 32, 40)).sum(0) // 12 % 2 * 255).astype(np.uint8)
    pixels = random.integers(0, 60, mask.shape).astype(np.uint8) + mask // 2
    for path, data in ((store, pixels), (store / "labels" / "cells", mask)):
        about = [
            {
                "axes": [{"name": axis, "unit": "nanometer"} for axis in "zyx"],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [50, 4, 4]}
                        ],
                    }
                ],
            }
        ]
        group = zarr.open_group(path, mode="a", zarr_format=2)
        group.attrs["multiscales"] = about
        group.create_array("0", data=data, chunks=(2, 16, 16))
    train(store, store / "labels" / "cells", run)
    assert read_info(run)["pixel_size"] == {"Z": 50, "Y": 4, "X": 4}
    out = ["--out", str(tmp_path / "out"), "--quiet"]
    assert main(["predict", str(run), str(store), *out]) == 0
    labels = open_stack(tmp_path / "out" / "cells.labels.tif")
    assert (labels.axes, labels.shape, labels.unit) == ("ZYX", mask.shape, "nm")
    inside = [str(store / "0"), str(store / "labels" / "cells")]
    assert main(["predict", str(run), *inside, *out]) == 0
    assert names(tmp_path / "out")[1:] == [
        "cells_0.labels.tif",
        "cells_labels_cells.labels.tif",
    ]


DSB = "nuclei_dsb2018"
REAL = [
    (f"{DSB}/images", f"{DSB}/labels", ["--objects=border"], [0, 1, 2]),
    (f"{DSB}/images", f"{DSB}/labels", ["--objects=foreground"], [0, 1]),
    ("retina_drive/images", "retina_drive/vessels", [], [0, 255]),
    (
        "nuclei_sparse/raw_images",
        "nuclei_sparse/annotations",
        ["--zero-is-unlabelled"],
        [1, 2],
    ),
    (
        "em_vnc/raw.tif",
        "em_vnc/labels_9class_grey.tif",
        ["--sections=0:5"],
        [0, 32, 64, 96, 128, 159, 191, 223, 255],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("images", "masks", "options", "values"), REAL)
def test_real_masks_train(
    data_folder: Path,
    tmp_path: Path,
    images: str,
    masks: str,
    options: list[str],
    values: list[int],
) -> None:
    record = train(data_folder / images, data_folder / masks, tmp_path, *options)
    assert record["classes"]["values"] == values
    assert (tmp_path / "model.safetensors").exists()


def test_real_distances_train(data_folder: Path, tmp_path: Path) -> None:
    folder, run = data_folder / "nuclei_dsb2018", tmp_path / "run"
    options = ["--objects=distance", "--task=regression"]
    train(folder / "images", folder / "labels", run, *options)
    assert read_info(run)["classes"] is None
    command = ["train", str(folder / "images"), str(folder / "labels"), "--run", "r"]
    assert main([*command, "--objects=distance"]) == 2


def test_real_objects_are_told_apart_from_classes(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data_folder / "nuclei_dsb2018"
    command = ["train", str(folder / "images"), str(folder / "labels")]
    assert main([*command, "--run", str(tmp_path / "r"), *TINY]) == 1
    assert "--objects border" in capsys.readouterr().err


def test_images_can_be_named_one_by_one(tmp_path: Path) -> None:
    write_images(tmp_path, 3)
    images, masks = tmp_path / "images", tmp_path / "masks"
    pairs = [(images / f"x_{n}.png", masks / f"x_{n}_mask.png") for n in (8, 9, 10)]
    more: list[str] = []
    for pair in pairs[1:]:
        more += ["--also", *map(str, pair)]
    record = train(*pairs[0], tmp_path / "run", *more)
    named = [each["image"]["source"] for each in record["data"]["pairs"]]
    assert named == [str(image) for image, _ in pairs]


def test_a_pixel_size_can_be_told(tmp_path: Path) -> None:
    write_images(tmp_path, 1)
    pair = tmp_path / "images" / "x_8.png", tmp_path / "masks" / "x_8_mask.png"
    train(*pair, tmp_path / "run", "--pixel-size", "50,4,4,nm")
    info = read_info(tmp_path / "run")
    assert (info["pixel_size"], info["unit"]) == ({"Y": 4.0, "X": 4.0}, "nm")


@pytest.mark.parametrize("size", ["nm", "4,-4,nm", "1,2,3,4,nm", "4,,4"])
def test_what_is_no_pixel_size_is_refused(
    size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "a", "b", "--pixel-size", size])
    assert "not a pixel size such as 50,4,4,nm" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["unsure", "a.tif", "-n", "none"],
        ["preview", "a", "b", "--out", "o", "--patches", "0"],
        ["networks", "--channels", "0"],
    ],
)
def test_a_number_of_things_is_at_least_one(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = f"{words[-1]!r} is not a whole number of at least 1"
    assert said in capsys.readouterr().err
