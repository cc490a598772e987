"""The call with a region, and with results that go to files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet import predict
from napari_unet.cli import main
from napari_unet.config import NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack, open_stack, write_stack
from napari_unet.data.masks.scale import Scale
from napari_unet.errors import (
    ConfigError,
    OutputExistsError,
    StackFormatError,
    UNetError,
)
from napari_unet.events import PredictionFinished
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction import predict_to_files, results

CLASSES = Classes((3, 200), names=("background", "foreground"))
FP32: dict[str, Any] = {"device": "cpu", "precision": "fp32"}


def random_model(target: Classes | Scale = CLASSES, **more: Any) -> Model:
    config = NetworkConfig(1, target.n, depth=1, width=4, **more)
    torch.manual_seed(0)
    network = build_network(config).eval()
    if isinstance(target, Scale):
        return Model(network, config, None, scale=target)
    return Model(network, config, target)


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def stack(*shape: int, axes: str = "ZYX") -> Stack:
    size = {axis: {"Z": 50.0}.get(axis, 4.0) for axis in axes if axis in "ZYX"}
    return Stack(image(*shape), axes, size, "nm", "cells")


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# -- regions -------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["labels", "probabilities", "objects"])
def test_a_region_is_part_of_the_whole(output: Any) -> None:
    model, whole = random_model(), image(5, 60, 70)
    options = {"output": output, "tile": 32, "minimum_size": 0, **FP32}
    part = predict(model, whole, region="1:4,10:50,3:", **options)
    expected = predict(model, whole, **options)[1:4, ..., 10:50, 3:]
    if output == "objects":  # cut at the border of the region, and numbered anew
        np.testing.assert_array_equal(part > 0, expected > 0)
    else:
        np.testing.assert_allclose(part, expected, atol=1e-5)
    assert part.shape == expected.shape


def test_a_region_in_any_words() -> None:
    model, whole = random_model(), image(5, 60, 70)
    first = predict(model, whole, region="1:2,0:60,5:9", **FP32)
    for region in ([(1, 2), (0, 60), (5, 9)], [slice(1, 2), slice(None), slice(5, 9)]):
        np.testing.assert_array_equal(
            predict(model, whole, region=region, **FP32), first
        )
    with pytest.raises(ConfigError, match="holds nothing"):
        predict(model, whole, region="9:12,:,:")


def test_a_region_of_axes_in_another_order() -> None:
    model, pixels = random_model(), image(60, 70, 5)
    part = predict(model, pixels, axes="YXZ", region="1:4,10:50,3:", **FP32)
    expected = predict(model, pixels, axes="YXZ", **FP32)[10:50, 3:, 1:4]
    np.testing.assert_array_equal(part, expected)


# -- files ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["folder", "a.zarr"])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TZYX", "ZTYX"])
@pytest.mark.parametrize("region", [None, "2:20,5:"])
def test_out_gives_what_the_arrays_would_be(
    tmp_path: Path, name: str, axes: str, region: str | None
) -> None:
    lengths = {"T": 2, "Z": 3, "Y": 30, "X": 40}
    given = stack(*(lengths[axis] for axis in axes), axes=axes)
    options: dict[str, Any] = {"output": "both", "region": region, "tile": 32, **FP32}
    labels, shares = predict(random_model(), given, **options)
    out = tmp_path / name
    events: list[Any] = []
    stacks = predict(random_model(), given, out=out, on_event=events.append, **options)
    order = "TCZYX" if name == "a.zarr" else axes[:-2] + "CYX"
    for got, expected, letters in zip(
        stacks, (labels, shares), (axes, axes[:-2] + "CYX"), strict=True
    ):
        assert isinstance(got, Stack)
        assert got.axes == "".join(axis for axis in order if axis in letters)
        assert {**got.pixel_size} == {
            a: 50.0 if a == "Z" else 4.0 for a in axes if a != "T"
        }
        assert got.unit == "nm"
        pixels = np.asarray(got).transpose([got.axes.index(a) for a in letters])
        np.testing.assert_array_equal(pixels, expected)
    assert isinstance(events[-1], PredictionFinished)
    assert len(events[-1].files) == 2


@pytest.mark.parametrize(
    "more", [{"uncertainty": "entropy"}, {"uncertainty": "disagreement", "tta": 4}]
)
def test_uncertainty_comes_last(tmp_path: Path, more: dict[str, Any]) -> None:
    options: dict[str, Any] = {"tile": 32, **more, **FP32}
    given = stack(2, 40, 50)
    labels, unsure = predict(random_model(), given, **options)
    assert (unsure.dtype, unsure.shape) == (np.float32, (2, 40, 50))
    assert 0 <= unsure.min() < unsure.max() <= 1
    for out in (tmp_path, tmp_path / "a.zarr"):
        events: list[Any] = []
        got = predict(random_model(), given, out=out, on_event=events.append, **options)
        for each, expected in zip(got, (labels, unsure), strict=True):
            np.testing.assert_array_equal(np.asarray(each), expected)
        assert Path(events[-1].uncertainty).name in (
            "cells.uncertainty.tif",
            "uncertainty",
        )
    assert listed(tmp_path) == ["a.zarr", "cells.labels.tif", "cells.uncertainty.tif"]


def test_out_may_be_one_file(tmp_path: Path) -> None:
    got = predict(random_model(), stack(2, 20, 20), out=tmp_path / "mine.tif")
    assert isinstance(got, Stack)
    assert got.source == tmp_path / "mine.tif"
    assert listed(tmp_path) == ["mine.tif"]
    with pytest.raises(ConfigError, match=r"one file.*2 results.*\.zarr"):
        predict(random_model(), stack(2, 20, 20), output="both", out=tmp_path / "b.tif")
    with pytest.raises(OutputExistsError, match=r"mine\.tif exists already"):
        predict(random_model(), stack(2, 20, 20), out=tmp_path / "mine.tif")
    predict(random_model(), stack(3, 9, 9), out=tmp_path / "mine.tif", overwrite=True)
    assert open_stack(tmp_path / "mine.tif").shape == (3, 9, 9)


@pytest.mark.parametrize("axes", ["ZYX", "ZTYX"])
def test_volumes_go_to_files_too(tmp_path: Path, axes: str) -> None:
    model = random_model(name="unet-3d", dims=3)
    given = stack(*({"T": 2, "Z": 5, "Y": 24, "X": 20}[a] for a in axes), axes=axes)
    region = ",".join({"T": ":", "Z": "1:5", "Y": "3:", "X": ":"}[a] for a in axes)
    options: dict[str, Any] = {"tile": 16, "region": region, "object_dims": 3, **FP32}
    for output in ("labels", "probabilities", "objects"):
        expected = predict(model, given, output=output, **options)
        letters = f"{axes[:-2]}CYX" if output == "probabilities" else axes
        for out in (tmp_path / output / "a.zarr", tmp_path / output / "a.tif"):
            got = predict(model, given, output=output, out=out, **options)
            assert isinstance(got, Stack)
            pixels = np.asarray(got).transpose([got.axes.index(a) for a in letters])
            np.testing.assert_array_equal(pixels, expected)


def test_values_and_objects_in_a_store(tmp_path: Path) -> None:
    model = random_model(Scale(5.0, 2.0))
    values = predict(model, image(40, 50), **FP32)
    out = tmp_path / "a.zarr"
    *_, last = predict_to_files(
        model,
        stack(40, 50, axes="YX"),
        out,
        PredictionConfig("cpu", "fp32"),
        objects=True,
    )
    assert last == PredictionFinished(
        prediction=str(out), objects=str(out / "labels" / "objects")
    )
    np.testing.assert_array_equal(np.asarray(open_stack(last.prediction)), values)
    objects = predict(model, image(40, 50), output="objects", **FP32)
    np.testing.assert_array_equal(np.asarray(open_stack(last.objects)), objects)


@pytest.mark.parametrize("kind", ["bool", "float32"])
def test_labels_in_a_store_are_whole_numbers(tmp_path: Path, kind: str) -> None:
    model = random_model(Classes((0, 1), dtype=kind))
    got = predict(model, stack(20, 20, axes="YX"), out=tmp_path / "a.zarr", **FP32)
    assert isinstance(got, Stack)
    assert got.dtype.kind in "iu"
    np.testing.assert_array_equal(
        np.asarray(got), predict(model, image(20, 20), **FP32)
    )


def test_values_that_tiff_cannot_hold(tmp_path: Path) -> None:
    model = random_model(Classes((0, 2**40), dtype="int64"))
    with pytest.raises(StackFormatError, match=r"int32 .*ome-zarr"):
        predict(model, stack(20, 20, axes="YX"), out=tmp_path / "a.tif")
    got = predict(model, stack(20, 20, axes="YX"), out=tmp_path / "a.zarr")
    assert np.asarray(got).max() == 2**40


def test_an_unfinished_store_of_another_network_is_told_or_replaced(
    tmp_path: Path,
) -> None:
    flat, deep, pixels = random_model(), random_model(dims=3), stack(4, 40, 40)
    store = tmp_path / "a.zarr"
    config = PredictionConfig(tile=16, **FP32)
    list(predict_to_files(flat, pixels, store, config, should_stop=lambda: True))
    assert listed(tmp_path) == ["a.zarr.part"]
    with pytest.raises(OutputExistsError, match="something else"):
        predict(deep, pixels, out=store, **FP32)
    with pytest.raises(OutputExistsError, match="0:2,0:40,0:40"):
        predict(flat, pixels, out=store, region="0:2,:,:", **FP32)
    got = predict(deep, pixels, out=store, overwrite=True, **FP32)
    np.testing.assert_array_equal(np.asarray(got), predict(deep, pixels, **FP32))


def test_a_tiff_file_is_no_ome_zarr(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ome-zarr, but .*a\.tif is a TIFF"):
        predict(random_model(), image(8, 8), out=tmp_path / "a.tif", format="ome-zarr")
    assert listed(tmp_path) == []


def test_the_image_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    write_stack(path, image(1, 20, 20), shape=(20, 20), axes="YX", dtype="uint8")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="replace the image"):
        predict(random_model(), path, out=path, overwrite=True)
    assert path.read_bytes() == before


def test_what_does_not_fit_in_memory_asks_for_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model()
    monkeypatch.setattr(results, "known_memory", lambda: 9999)
    with pytest.raises(ConfigError, match=r"out="):
        predict(model, image(100, 100))


def test_a_stopped_store_goes_on_and_another_model_is_refused(tmp_path: Path) -> None:
    given, out = stack(40, 100, 100), tmp_path / "a.zarr"
    config = PredictionConfig("cpu", "fp32", tile=32)
    seen: list[Any] = []

    def begin(model: Model, **more: Any) -> list[Any]:
        return list(predict_to_files(model, given, out, config, **more))

    stopped = begin(
        random_model(), should_stop=lambda: bool(seen.append(0)) or len(seen) > 2
    )
    assert not isinstance(stopped[-1], PredictionFinished)
    assert listed(tmp_path) == ["a.zarr.part"]
    other = random_model()
    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    with pytest.raises(OutputExistsError, match=r"model .*overwrite"):
        begin(other)
    with pytest.raises(OutputExistsError, match=r"results .*probabilities"):
        begin(random_model(), probabilities=True)
    started, *_ = begin(random_model())
    assert re.fullmatch(
        r"a\.zarr is \d+% there already, and goes on\.", *started.remarks
    )
    assert listed(tmp_path) == ["a.zarr"]
    expected = predict(random_model(), given, tile=32, **FP32)
    np.testing.assert_array_equal(np.asarray(open_stack(out)), expected)


def test_another_model_may_overwrite(tmp_path: Path) -> None:
    given, out = stack(4, 50, 50), tmp_path / "a.zarr"
    stop = lambda: True  # noqa: E731
    config = PredictionConfig("cpu", "fp32", tile=32)
    list(predict_to_files(random_model(), given, out, config, should_stop=stop))
    other = random_model(Classes((7, 9)))
    got = predict(other, given, out=out, overwrite=True, **FP32)
    np.testing.assert_array_equal(np.asarray(got), predict(other, given, **FP32))
    assert listed(tmp_path) == ["a.zarr"]


# -- the command ---------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, Path]:
    model = random_model().save(tmp_path / "model.safetensors")
    path = tmp_path / "cells.tif"
    write_stack(path, image(3, 40, 50), shape=(3, 40, 50), axes="ZYX", dtype="uint8")
    return str(model), str(path), tmp_path / "out"


def test_the_command_writes_a_store_of_a_region(
    files: tuple[str, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model, path, out = files
    command = ["predict", model, path, "--out", str(out), "--precision", "fp32"]
    more = ["--format", "ome-zarr", "--ome-zarr", "0.4", "--region", "0:2,5:30,:"]
    assert main([*command, *more, "--probabilities"]) == 0
    assert listed(out) == ["cells.prediction.zarr"]
    assert "cells.prediction.zarr" in capsys.readouterr().out
    labels = open_stack(out / "cells.prediction.zarr" / "labels" / "prediction")
    expected = predict(model, path, region="0:2,5:30,:", precision="fp32")
    np.testing.assert_array_equal(np.asarray(labels), expected)
    assert main([*command, *more]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*command, *more, "--overwrite"]) == 0
    assert main([*command, "--region", "1:2:3"]) == 2
    assert "must be ranges" in capsys.readouterr().err


def test_several_images_do_not_share_a_store(
    files: tuple[str, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model, path, out = files
    code = main(["predict", model, path, path, "--out", str(out / "a.zarr")])
    assert code == 2
    assert "would both be written" in capsys.readouterr().err


# -- disks and memory ----------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode
    except FileNotFoundError:
        mounted = 1
    if mounted:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_of_tiff_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(UNetError, match=r"prob\.tif.*No space.*GB are missing"):
        predict(random_model(), stack(40, 100, 100), output="both", out=small_disk)
    assert listed(small_disk) == []


def test_full_disk_of_a_store_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    given, model = stack(40, 100, 100), random_model()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(950_000))
    out = small_disk / "a.zarr"
    with pytest.raises(UNetError, match=r"a\.zarr\.part.*No space.*same again"):
        predict(model, given, out=out, **FP32)
    assert listed(small_disk) == ["a.zarr.part", "ballast"]
    ballast.unlink()
    got = predict(model, given, out=out, **FP32)
    predict(model, given, out=tmp_path / "b.zarr", **FP32)
    for path in (tmp_path / "b.zarr").rglob("*"):
        if path.is_file():
            same = out / path.relative_to(tmp_path / "b.zarr")
            assert same.read_bytes() == path.read_bytes()
    np.testing.assert_array_equal(np.asarray(got), predict(model, given, **FP32))


MEASURE = """
import resource, sys
import numpy as np
from napari_unet import Model, Stack, predict

class Pixels:
    dtype, ndim = np.dtype(np.uint8), 3
    def __init__(self, *shape):
        self.shape = shape
    def __getitem__(self, key):
        shape = [len(range(*k.indices(n))) for k, n in zip(key, self.shape)
                 if isinstance(k, slice)]
        return np.random.default_rng(0).integers(0, 255, shape, np.uint8)

model, out, *shape = sys.argv[1:]
stack = Stack(Pixels(*map(int, shape)), "ZYX")
predict(model, stack, out=out, output="both", tile=256, precision="fp32")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(model: Path, out: Path, *shape: int) -> int:
    """Return the megabytes a process takes at most to predict an image."""
    command = [sys.executable, "-c", MEASURE, str(model), str(out), *map(str, shape)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return int(subprocess.check_output(command, env=environment))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="measured by POSIX")
@pytest.mark.parametrize("ending", ["zarr", "tifs"])
def test_memory_stays_flat(tmp_path: Path, ending: str) -> None:
    model = random_model().save(tmp_path / "model.safetensors")
    few = peak(model, tmp_path / f"a.{ending}", 4, 256, 256)
    many = peak(model, tmp_path / f"b.{ending}", 200, 256, 256)
    large = peak(model, tmp_path / f"c.{ending}", 1, 4096, 4096)
    # The results are 120 MB each: they must not be held.
    assert many < few + 30
    assert large < few + 60


def test_several_results_at_once_are_those_of_each_alone() -> None:
    model, pixels = random_model(), image(40, 50)
    several = predict(model, pixels, output=("objects", "labels"), **FP32)
    for name, got in zip(("labels", "objects"), several, strict=True):
        np.testing.assert_array_equal(got, predict(model, pixels, output=name, **FP32))
    with pytest.raises(ConfigError, match="output is"):
        predict(model, pixels, output=("labels", "tables"), **FP32)
    with pytest.raises(ConfigError, match="output is"):
        predict(model, pixels, output=(), **FP32)
