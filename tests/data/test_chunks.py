"""Pixels in chunks are those of the array they are cut from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.data import open_stack
from napari_unet.data.read import lazy, tiff_pages
from napari_unet.data.read.lazy import Foreign
from napari_unet.errors import StackFormatError


class Counting:
    """An array in chunks that counts what is read of it."""

    def __init__(self, pixels: np.ndarray, chunks: Any) -> None:
        self.pixels, self.chunks = pixels, chunks
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.read = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self.pixels[key]
        self.read += part.size
        return part


def counted(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) % 251).astype(dtype)


def indices(length: int) -> st.SearchStrategy[int | slice]:
    return st.integers(-length, length - 1) | st.slices(length)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_index_gives_what_numpy_gives(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    chunks = data.draw(st.tuples(*[st.integers(1, 10)] * 3))
    key = tuple(data.draw(indices(length)) for length in shape)
    pixels = counted(*shape)
    got = Foreign(Counting(pixels, chunks), "a")[key]
    np.testing.assert_array_equal(got, pixels[key])
    assert np.shape(got) == pixels[key].shape


def test_chunks_may_differ_in_size() -> None:
    pixels = counted(7, 9)
    uneven = Foreign(Counting(pixels, ((2, 0, 5), (4, 1, 4))), "a")
    np.testing.assert_array_equal(uneven[1:6, ::-2], pixels[1:6, ::-2])


def test_neighbouring_windows_decode_no_chunk_twice() -> None:
    array = Counting(counted(2, 64, 64), (1, 16, 16))
    chunked = Foreign(array, "a")
    for start in (0, 20, 40):  # the chunks at 16 and 32 are touched twice
        chunked[0, 0:30, start : start + 20]
    assert array.read == 32 * 64


def test_no_more_is_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "KEPT", 3 * 256)
    array = Counting(counted(64, 64), (16, 16))
    chunked = Foreign(array, "a")
    for row in (0, 16, 32, 0, 16, 32):
        chunked[row : row + 16, :16]
    assert array.read == 3 * 256
    chunked[48:, :16]  # the first one has to go
    chunked[16:32, :16]
    assert array.read == 4 * 256
    chunked[:16, :16]
    assert array.read == 5 * 256
    np.testing.assert_array_equal(np.asarray(chunked), array.pixels)


def test_a_chunk_beyond_the_limit_is_kept_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lazy, "KEPT", 10)
    array = Counting(counted(2, 8, 8), (1, 8, 8))
    chunked = Foreign(array, "a")
    for section in (0, 0, 1, 1, 0):
        chunked[section, :4, :4]
    assert array.read == 3 * 64


def test_what_fails_to_read_is_named() -> None:
    class Failing(Counting):
        def __getitem__(self, key: Any) -> np.ndarray:
            raise RuntimeError("error -5 while decompressing")

    failing = Foreign(Failing(counted(4, 4), (2, 2)), "a.zarr")
    with pytest.raises(StackFormatError, match=r"a\.zarr cannot be read: error -5"):
        failing[:2]


# -- TIFF in windows -----------------------------------------------------------------


@pytest.fixture
def _in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read small pages as large ones are read."""
    monkeypatch.setattr(tiff_pages, "_SMALL", 0)


LAYOUTS: list[dict[str, Any]] = [
    {"tile": (16, 32)},
    {"rowsperstrip": 7},
    {"tile": (16, 16), "compression": "zlib"},
    {"rowsperstrip": 7, "compression": "lzw", "predictor": True},
    {"compression": "zstd", "byteorder": ">"},
    {"contiguous": False, "metadata": None},
    {"contiguous": False, "metadata": None, "byteorder": ">"},
]


@pytest.mark.usefixtures("_in_parts")
@pytest.mark.parametrize("colours", ["none", "contig", "separate"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_windows_of_a_tiff(
    tmp_path: Path, layout: dict[str, Any], colours: str
) -> None:
    shape = {"none": (40, 50), "contig": (40, 50, 3), "separate": (3, 40, 50)}[colours]
    pixels = counted(4, *shape, dtype="uint16")
    options = {"photometric": "minisblack"} if colours == "none" else {
        "photometric": "rgb",
        "planarconfig": colours,
    }  # fmt: skip
    layout = dict(layout)
    order = layout.pop("byteorder", "<")
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order) as file:
        for page in pixels if "contiguous" in layout else [pixels]:
            file.write(page, **options, **layout)
    stack = open_stack(tmp_path / "a.tif")
    assert stack.shape == pixels.shape
    channels = {"none": pixels[:, None], "contig": np.moveaxis(pixels, -1, 1)}
    expected = channels.get(colours, pixels)
    for window in np.s_[0:40, 0:50], np.s_[3:30, 10:45], np.s_[39:40, 49:50]:
        got = stack.section(2, *window)
        np.testing.assert_array_equal(got, expected[2][:, *window])
        assert got.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(stack), pixels)


@pytest.mark.usefixtures("_in_parts")
def test_jpeg_tiles_share_their_tables(tmp_path: Path) -> None:
    pixels = counted(64, 80)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(16, 16), compression="jpeg")
    whole = tifffile.imread(path)
    got = open_stack(path).section(0, slice(10, 60), slice(20, 70))
    np.testing.assert_array_equal(got[0], whole[10:60, 20:70])


@pytest.mark.usefixtures("_in_parts")
def test_tiles_that_were_never_written_are_0(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiles = iter([np.ones((16, 16), np.uint8), None] * 8)
    tifffile.imwrite(
        path, tiles, shape=(64, 64), dtype="uint8", tile=(16, 16), compression="zlib"
    )
    expected = np.zeros((64, 64), np.uint8)
    expected[:, :16] = expected[:, 32:48] = 1
    np.testing.assert_array_equal(open_stack(path).section(0)[0], expected)


@pytest.mark.parametrize("compression", ["zlib", None])
def test_an_image_that_is_mostly_empty_is_no_damage(
    tmp_path: Path, compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    last = np.full((2048, 2048), 7, np.uint16)
    tiles = iter([0 * last, *[None] * (16 * 16 - 2), last])
    tifffile.imwrite(
        path,
        tiles,
        shape=(32768, 32768),
        dtype="uint16",
        tile=(2048, 2048),
        compression=compression,
        photometric="minisblack",
    )
    stack = open_stack(path)
    got = stack.section(0, slice(32000, None), slice(30000, None))[0]
    assert got.shape == (768, 2768)
    assert (got[:, :720] == 0).all() and (got[:, 720:] == 7).all()


@pytest.mark.usefixtures("_in_parts")
def test_a_damaged_tile_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    tifffile.imwrite(path, noise, tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        offset, count = page.dataoffsets[5], page.databytecounts[5]
    raw = bytearray(path.read_bytes())
    raw[offset : offset + count] = b"\xff" * count
    path.write_bytes(raw)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.section(0, slice(32, 64))[0], noise[32:])
    with pytest.raises(StackFormatError, match=r"a\.tif cannot be read"):
        stack.section(0, slice(16, 32))


@pytest.mark.usefixtures("_in_parts")
def test_a_tile_cut_off_after_opening_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    tifffile.imwrite(path, noise, tile=(16, 16), compression="zlib", metadata=None)
    stack = open_stack(path)
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(StackFormatError, match="cut off"):
        np.asarray(stack)


ZOO = Path(os.environ.get("NAPARI_UNET_DATA", "")) / "tiff_zoo"


@pytest.mark.usefixtures("_in_parts")
def test_the_zoo_is_the_same_in_parts(data_folder: Path) -> None:
    in_parts = 0
    for path in sorted((data_folder / "tiff_zoo").rglob("*.tif*")):
        try:
            stack = open_stack(path)
            whole = np.asarray(stack)
        except StackFormatError:
            continue
        with tifffile.TiffFile(path) as file:
            expected = file.series[0].asarray().reshape(whole.shape)
        np.testing.assert_array_equal(whole, expected)
        in_parts += isinstance(stack.pixels, tiff_pages._Segments)
    assert in_parts > 10


PEAK = """
import sys
from pathlib import Path
import numpy as np
from napari_unet.data import open_stack
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("VmHWM"))
stack = open_stack(sys.argv[1])
stack.section(0, slice(0, 1000), slice(0, 1000))
before = peak()
total = sum(
    int(stack.section(0, slice(row, row + 1200), slice(column, column + 1200)).sum())
    for row in range(0, 20000, 4000) for column in range(0, 20000, 1000)
)
print(peak() - before, total)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_memory_stays_flat_over_a_tiff_of_20000_pixels_squared(tmp_path: Path) -> None:
    tile = np.ones((512, 512), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif",
        (tile for _ in range(40 * 40)),
        shape=(20000, 20000),
        dtype="uint8",
        tile=(512, 512),
        compression="zlib",
        compressionargs={"level": 1},
    )
    command = [sys.executable, "-c", PEAK, str(tmp_path / "a.tif")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=90)
    grown, total = map(int, done.stdout.split())
    assert total == 5 * 1200 * (19 * 1200 + 1000)
    assert grown < 100_000  # kilobytes; the whole is 400 MB
