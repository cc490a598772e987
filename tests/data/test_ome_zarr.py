"""OME-Zarr images, written by hand as the specifications 0.4 and 0.5 say."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_unet.data import open_stack
from napari_unet.data.matching import is_several, list_files, pair_files
from napari_unet.data.read.ome_zarr import list_labels, open_levels
from napari_unet.data.read.tiff import stem
from napari_unet.errors import StackFormatError

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ["0.4", "0.5"]
UNITS = {"t": "second", "z": "nanometer", "y": "micrometer", "x": "micrometer"}


def counted(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) % 60013).astype(dtype)


def group(path: Path, version: str, **about: Any) -> Any:
    made = zarr.open_group(path, mode="a", zarr_format=2 if version == "0.4" else 3)
    made.attrs.update(
        about if version == "0.4" else {"ome": {"version": version, **about}}
    )
    return made


def axes_of(letters: str) -> list[dict[str, str]]:
    return [
        {"name": axis} | ({"unit": UNITS[axis]} if axis in UNITS else {})
        for axis in letters
    ]


def write_image(
    path: Path,
    pixels: np.ndarray,
    axes: str,
    scale: list[float],
    version: str = "0.4",
    **more: Any,
) -> None:
    halves = tuple(slice(None, None, 2 if axis in "yx" else 1) for axis in axes)
    step = [2.0 if axis in "yx" else 1.0 for axis in axes]
    kind = "scale"
    datasets = [
        {"path": str(level), "coordinateTransformations": [{"type": kind, kind: each}]}
        for level, each in enumerate([scale, np.multiply(scale, step).tolist()])
    ]
    multiscales = [{"version": version, "axes": axes_of(axes), "datasets": datasets}]
    made = group(path, version, multiscales=multiscales, **more)
    chunks = tuple(16 if axis in "yx" else 1 for axis in axes)
    for level, data in enumerate([pixels, pixels[halves]]):
        array = made.create_array(
            str(level), shape=data.shape, chunks=chunks, dtype=data.dtype
        )
        array[:] = data


@pytest.mark.parametrize("version", VERSIONS)
def test_axes_sizes_units_and_names_come_from_the_metadata(
    tmp_path: Path, version: str
) -> None:
    path, pixels = tmp_path / "cells.ome.zarr", counted(2, 3, 2, 40, 50)
    channels = {"channels": [{"label": "raw"}, {"label": "membrane"}]}
    scale = [1.5, 50.0, 1.0, 0.004, 0.005]
    # Time first, channels after depth: the order is read, not assumed.
    write_image(path, pixels, "tzcyx", scale, version, omero=channels)
    stack = open_stack(path)
    assert (stack.axes, stack.shape, stack.dtype) == ("TZCYX", pixels.shape, np.uint16)
    assert (stack.unit, stack.name, stack.source) == ("µm", "cells", path)
    assert stack.pixel_size == pytest.approx(
        {"T": 1.5, "Z": 0.05, "Y": 0.004, "X": 0.005}
    )
    assert stack.channel_names == ("raw", "membrane")
    np.testing.assert_array_equal(np.asarray(stack), pixels)
    window = stack.section(4, slice(3, 30), slice(10, 45))
    np.testing.assert_array_equal(window, pixels[1, 1, :, 3:30, 10:45])


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_levels_and_arrays_inside_open_by_their_paths(
    tmp_path: Path, version: str
) -> None:
    path = tmp_path / "image.zarr"
    write_image(path, counted(3, 32, 32), "zyx", [2, 1, 1], version)
    cells = counted(3, 32, 32, dtype="uint8")
    group(path / "labels", version, labels=["cells"])
    write_image(path / "labels" / "cells", cells, "zyx", [2, 1, 1], version)
    labels = open_stack(path / "labels" / "cells")
    assert (labels.name, labels.axes, labels.dtype) == ("cells", "ZYX", np.uint8)
    np.testing.assert_array_equal(np.asarray(labels), cells)
    assert list_labels(path) == [path / "labels" / "cells"]
    fine, coarse = open_stack(path / "0"), open_stack(path / "1")
    assert (fine.shape, fine.pixel_size["X"]) == ((3, 32, 32), 1)
    assert (coarse.shape, coarse.pixel_size["X"]) == ((3, 16, 16), 2)
    assert (coarse.name, coarse.source) == ("image", path / "1")
    assert [each.shape for each in open_levels(path)] == [fine.shape, coarse.shape]
    assert [each.pixel_size["Y"] for each in open_levels(path)] == [1, 2]


def test_scales_of_image_and_level_multiply(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", counted(32, 32), "yx", [2, 3])
    made = zarr.open_group(tmp_path / "a.zarr", mode="a")
    about = made.attrs["multiscales"]
    about[0]["coordinateTransformations"] = [{"type": "scale", "scale": [10, 100]}]
    made.attrs["multiscales"] = about
    assert open_stack(tmp_path / "a.zarr").pixel_size == {"Y": 20, "X": 300}


def test_a_scale_of_1_without_unit_is_no_pixel_size(tmp_path: Path) -> None:
    about = {"axes": ["y", "x"], "datasets": [{"path": "0"}]}  # as in version 0.3
    made = group(tmp_path / "a.zarr", "0.4", multiscales=[about])
    made.create_array("0", shape=(8, 9), dtype="uint8")
    stack = open_stack(tmp_path / "a.zarr")
    assert (stack.axes, stack.pixel_size, stack.unit) == ("YX", {}, None)


def test_given_axes_overrule(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", counted(3, 32, 32), "zyx", [2, 1, 1])
    assert open_stack(tmp_path / "a.zarr", axes="TYX").axes == "TYX"
    assert open_stack(tmp_path / "a.zarr" / "0", axes="TYX").axes == "TYX"


def test_a_plain_array_names_its_axes_or_is_guessed(tmp_path: Path) -> None:
    pixels = counted(3, 20, 30)
    zarr.save_array(tmp_path / "a.zarr", pixels)
    stack = open_stack(tmp_path / "a.zarr")
    assert (stack.axes, stack.name) == ("ZYX", "a")
    np.testing.assert_array_equal(np.asarray(stack), pixels)
    zarr.create_array(
        tmp_path / "b", shape=(3, 20, 30), dtype="u1", dimension_names=["t", "y", "x"]
    )
    assert open_stack(tmp_path / "b").axes == "TYX"
    zarr.create_array(tmp_path / "c.zarr", shape=(2, 3, 20, 30), dtype="u1")
    with pytest.raises(StackFormatError, match=r"c\.zarr.*axes="):
        open_stack(tmp_path / "c.zarr")


def test_sharded_arrays_are_read_in_windows(tmp_path: Path) -> None:
    pixels = counted(2, 64, 64)
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=(1, 16, 16),
        shards=(1, 64, 64),
    )
    array[:] = pixels
    got = open_stack(tmp_path / "a.zarr").section(1, slice(10, 40), slice(30, 60))
    np.testing.assert_array_equal(got[0], pixels[1, 10:40, 30:60])


# -- what is refused -----------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plate_says_what_to_open(tmp_path: Path, version: str) -> None:
    path = tmp_path / "plate.zarr"
    wells = [{"path": f"A/{number}"} for number in range(1, 7)]
    group(path, version, plate={"wells": wells})
    group(path / "A" / "1", version, well={"images": [{"path": "0"}, {"path": "1"}]})
    for field in "01":
        write_image(path / "A" / "1" / field, counted(32, 32), "yx", [1, 1], version)
    with pytest.raises(StackFormatError, match=r"is a plate.*A/1/0, .* and 2 more"):
        open_stack(path)
    with pytest.raises(StackFormatError, match=r"A/1/0, .*A/1/1\."):
        open_stack(path / "A" / "1")
    assert open_stack(path / "A" / "1" / "0").axes == "YX"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_group_of_one_image_opens_it_and_of_several_says_so(
    tmp_path: Path, version: str
) -> None:
    path = tmp_path / "converted.zarr"
    group(path, version, **{"bioformats2raw.layout": 3})
    group(path / "OME", version, series=["0"])
    write_image(path / "0", counted(32, 32), "yx", [1, 1], version)
    assert open_stack(path).shape == (32, 32)
    write_image(path / "1", counted(32, 32), "yx", [1, 1], version)
    with pytest.raises(StackFormatError, match=r"a group of images.*zarr/0, .*zarr/1"):
        open_stack(path)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(StackFormatError, match=r"empty\.zarr.*copied as a whole"):
        open_stack(tmp_path / "empty.zarr")
    group(tmp_path / "bare.zarr", "0.4")
    with pytest.raises(StackFormatError, match="group without an image"):
        open_stack(tmp_path / "bare.zarr")
    zarr.create_array(tmp_path / "none.zarr", shape=(0, 5, 5), dtype="u1")
    with pytest.raises(StackFormatError, match="holds no pixels"):
        open_stack(tmp_path / "none.zarr")
    zarr.create_array(tmp_path / "number.zarr", shape=(), dtype="u1")
    with pytest.raises(StackFormatError, match="at least rows and columns"):
        open_stack(tmp_path / "number.zarr")
    zarr.create_array(tmp_path / "text.zarr", shape=(4, 4), dtype=str)
    with pytest.raises(StackFormatError, match=r"holds .* values"):
        open_stack(tmp_path / "text.zarr")


@pytest.mark.parametrize(
    "wrong",
    [
        [{"axes": axes_of("yx")}],
        [{"axes": axes_of("yx"), "datasets": [{}]}],
        [{"axes": [{}, {}], "datasets": [{"path": "0"}]}],
        [{"axes": axes_of("yx"), "datasets": [{"path": "7"}]}],
        [{"axes": axes_of("zyx"), "datasets": [{"path": "0"}]}],
        [
            {
                "axes": axes_of("yx"),
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [{"type": "scale", "scale": [1]}],
                    }
                ],
            }
        ],
        ["?"],
        7,
    ],
    ids=str,
)
def test_damaged_metadata_is_refused(tmp_path: Path, wrong: Any) -> None:
    made = group(tmp_path / "a.zarr", "0.4", multiscales=wrong)
    made.create_array("0", shape=(8, 8), dtype="u1")
    with pytest.raises(StackFormatError, match=r"a\.zarr"):
        open_stack(tmp_path / "a.zarr")


def test_metadata_that_is_no_json_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(8, 8), dtype="u1")
    (tmp_path / "a.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node')
    with pytest.raises(StackFormatError, match=r"a\.zarr cannot be read"):
        open_stack(tmp_path / "a.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("damage", ["cut off", "garbled"])
def test_a_damaged_chunk_spoils_no_other(
    tmp_path: Path, zarr_format: Any, damage: str
) -> None:
    path = tmp_path / "a.zarr"
    pixels = np.random.default_rng(0).integers(0, 255, (2, 32, 32), np.uint8)
    array = zarr.create_array(
        path,
        shape=pixels.shape,
        chunks=(1, 16, 16),
        dtype="u1",
        zarr_format=zarr_format,
    )
    array[:] = pixels
    chunk = path / ("1.0.1" if zarr_format == 2 else "c/1/0/1")
    if damage == "cut off":
        os.truncate(chunk, chunk.stat().st_size // 2)
    else:
        chunk.write_bytes(b"\xff" * chunk.stat().st_size)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.section(0)[0], pixels[0])
    window = stack.section(1, slice(0, 16), slice(0, 16))
    np.testing.assert_array_equal(window[0], pixels[1, :16, :16])
    with pytest.raises(StackFormatError, match=r"a\.zarr cannot be read"):
        stack.section(1)


# -- folders and memory --------------------------------------------------------------


def test_stores_in_a_folder_are_images_of_their_own(tmp_path: Path) -> None:
    for name in ("z2.zarr", "z10.ome.zarr", "z2_mask.zarr", "z10_mask.zarr"):
        zarr.save_array(tmp_path / name, counted(8, 8))
    assert not is_several(tmp_path / "z2.zarr") and is_several(tmp_path)
    files = list_files(tmp_path)
    assert [stem(each) for each in files] == ["z2", "z2_mask", "z10", "z10_mask"]
    assert is_several(tmp_path / "*_mask.zarr")
    pairs = pair_files(files[::2], files[1::2])
    assert [pair.reason for pair in pairs] == ["the name without _mask"] * 2


PEAK = """
import sys
from pathlib import Path
from napari_unet.data import open_stack
from napari_unet.data.normalisation import measure_normalisation
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("VmHWM"))
stack = open_stack(sys.argv[1])
stack.section(0, slice(0, 1000), slice(0, 1000))
before = peak()
measure_normalisation(stack)
for row in range(0, 40000, 8000):
    for column in range(0, 40000, 2000):
        stack.section(300, slice(row, row + 1200), slice(column, column + 1200))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_memory_stays_flat_over_a_zarr_of_a_terabyte(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(600, 40000, 40000),
        chunks=(1, 1000, 1000),
        dtype="u1",
    )
    array[300, :1000] = 7  # the rest is empty and reads as 0
    command = [sys.executable, "-c", PEAK, str(tmp_path / "a.zarr")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=90)
    assert int(done.stdout) < 150_000  # kilobytes


def test_a_folder_named_as_a_store_but_without_metadata_hides_no_array(
    tmp_path: Path,
) -> None:
    pixels = counted(4, 5)
    zarr.save_array(tmp_path / "image.zarr" / "raw", pixels)
    np.testing.assert_array_equal(open_stack(tmp_path / "image.zarr" / "raw"), pixels)
