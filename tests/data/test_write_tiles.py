from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from napari_unet.data import open_stack, write_stack
from napari_unet.data.write import tiles
from napari_unet.data.write.layout import Layout
from napari_unet.data.write.tiles import TileWriter

SIZE = {"Z": 50.0, "Y": 4.0, "X": 4.5}


def counted(*shape, dtype="uint8"):
    return (np.arange(np.prod(shape)).reshape(shape) % 251).astype(dtype)


def pieces(shape, edge, seed=0):
    """Cut rows and columns into pieces that are not those of the file, and shuffle."""
    rows, columns = (
        [slice(at, min(at + edge, length)) for at in range(0, length, edge)]
        for length in shape[-2:]
    )
    found = list(itertools.product(*map(range, shape[:-2]), rows, columns))
    np.random.default_rng(seed).shuffle(found)
    return [
        tuple(p if isinstance(p, slice) else int(p) for p in each) for each in found
    ]


def write(path, pixels, axes="ZYX", edge=7, **options):
    layout = Layout(axes, pixels.shape, pixels.dtype.name, **options)
    writer = TileWriter(path, layout)
    for place in pieces(pixels.shape, edge):
        writer.put(place, pixels[place])
    assert writer.share == 1
    writer.close()
    return path


@pytest.fixture(params=["one strip", "tiles"])
def cut(request, monkeypatch):
    """Write small sections as if they were large."""
    if request.param == "tiles":
        monkeypatch.setattr(tiles, "_ONE_STRIP", 0)
        monkeypatch.setattr(tiles, "TILE", 16)
    return request.param


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f4"])
def test_every_fact_comes_back(tmp_path, cut, dtype):
    pixels = counted(3, 2, 40, 53, dtype=dtype)
    names = ("membrane", "cell")
    options = {"pixel_size": SIZE, "unit": "nm", "channel_names": names}
    path = write(tmp_path / "a.tif", pixels, "ZCYX", **options)
    stack = open_stack(path)
    assert (stack.axes, stack.dtype) == ("ZCYX", np.dtype(dtype))
    assert stack.pixel_size == SIZE
    assert (stack.unit, stack.channel_names, stack.remarks) == ("nm", names, ())
    np.testing.assert_array_equal(np.asarray(stack), pixels)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (5, 1, 33, 17), (2, 3, 1, 15, 70)])
def test_any_shape_comes_back(tmp_path, cut, shape, big, monkeypatch):
    if big:
        monkeypatch.setattr(tiles, "CLASSIC_LIMIT", 0)
    pixels = counted(*shape, dtype="uint16")
    path = write(tmp_path / "a.tif", pixels, "TZCYX"[-len(shape) :])
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == big
        assert file.pages[0].is_tiled == (cut == "tiles")
        assert len(file.pages) == np.prod(shape[:-2], dtype=int)
    np.testing.assert_array_equal(np.asarray(open_stack(path)), pixels)


def test_it_says_the_same_as_a_file_written_plane_by_plane(tmp_path):
    pixels = counted(3, 20, 30)
    about = {"pixel_size": SIZE, "unit": "nm"}
    path = write(tmp_path / "a.tif", pixels, **about)
    write_stack(
        tmp_path / "b.tif", pixels, shape=(3, 20, 30), axes="ZYX", dtype="u1", **about
    )
    pages = []
    for name in (path, tmp_path / "b.tif"):
        with tifffile.TiffFile(name) as file:
            tags = {tag.name: tag.value for tag in file.pages[0].tags}
            pages.append(tags)
    for tag in ("StripOffsets", "StripByteCounts", "ImageDescription"):
        for page in pages:
            del page[tag]
    assert pages[0] == pages[1]


def test_real_tiles_from_many_threads(tmp_path):
    pixels = counted(2, 2100, 2300)
    writer = TileWriter(tmp_path / "a.tif", Layout("ZYX", pixels.shape, "uint8"))
    with ThreadPoolExecutor(4) as pool:
        for place in pieces(pixels.shape, 600):
            pool.submit(writer.put, place, pixels[place])
    writer.close()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)


def test_a_file_that_lacks_pixels_is_not_closed(tmp_path):
    writer = TileWriter(tmp_path / "a.tif", Layout("YX", (4, 4), "uint8"))
    writer.put((slice(0, 2), slice(0, 4)), np.zeros((2, 4), np.uint8))
    with pytest.raises(AssertionError, match="1 tiles are missing"):
        writer.close()
    writer.abandon()


def test_memory_is_that_of_the_tiles_begun(tmp_path):
    import tracemalloc

    def peak(rows):
        """Write from the top to the bottom, in pieces of 256 x 4096."""
        row = np.zeros((256, 4096), np.uint8)
        layout = Layout("YX", (rows, 4096), "uint8")
        tracemalloc.start()
        writer = TileWriter(tmp_path / f"{rows}.tif", layout)
        for at in range(0, rows, 256):
            writer.put((slice(at, at + 256), slice(0, 4096)), row)
        writer.close()
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(4096)
    assert peak(16384) < peak(4096) + 2**19
