"""What of an image is given to the worker, and in which way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image

from napari_unet.data import Stack, open_stack
from napari_unet.data.region import find_region
from napari_unet.plugin.layers import stack_from_layer
from napari_unet.plugin.predict.handover import Handover, files_of, needed, same_pixels

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = np.arange(6 * 100 * 80, dtype=np.uint16).reshape(6, 100, 80)


def hand_over(layer: Image, folder: Path, region: str | None = None) -> dict[str, Any]:
    stack = stack_from_layer(layer)
    part = find_region(stack, region) if region else None
    order = Handover(stack, files_of(layer), folder / "image.npy", part, {})
    given = order(threading.Event())
    assert given is not None
    return given


def test_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    file = tmp_path / "original.npy"
    np.save(file, PIXELS)
    mapped = np.load(file, mmap_mode="r")
    for data in (mapped, np.asarray(mapped)):  # as our reader gives it
        given = hand_over(Image(data), tmp_path / "job", "1:2,0:9,0:9")
        assert given == {"image": str(file)}
    assert not (tmp_path / "job").exists()


def test_a_zarr_array_is_opened_where_it_is(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(1, 50, 50))
    layer = Image([array, array[:, ::2, ::2]], multiscale=True)
    assert files_of(layer) == (tmp_path / "a.zarr",)
    given = hand_over(layer, tmp_path / "job")
    assert given == {"image": str(tmp_path / "a.zarr")}


def test_a_dask_array_is_known_by_the_file_it_was_opened_from(tmp_path: Path) -> None:
    da = pytest.importorskip("dask.array")
    file = tmp_path / "original.npy"
    np.save(file, PIXELS)
    lazy = da.from_array(np.load(file, mmap_mode="r"), chunks=(1, -1, -1))
    layer = Image(lazy, metadata={"source": str(file)})
    assert hand_over(layer, tmp_path / "job") == {"image": str(file)}
    # Values made of the file are not the file.
    layer = Image(lazy + 1, metadata={"source": str(file)})
    given = hand_over(layer, tmp_path / "job")
    assert given == {"image": str(tmp_path / "job" / "image.npy")}
    np.testing.assert_array_equal(np.load(given["image"]), PIXELS + 1)


def test_pixels_in_memory_may_have_been_changed(tmp_path: Path) -> None:
    file = tmp_path / "original.npy"
    np.save(file, PIXELS)
    layer = Image(PIXELS, metadata={"source": str(file)})
    given = hand_over(layer, tmp_path / "job")
    assert given == {"image": str(tmp_path / "job" / "image.npy")}


def test_another_shape_type_or_file_is_not_the_same(tmp_path: Path) -> None:
    file = tmp_path / "original.npy"
    np.save(file, PIXELS)
    assert same_pixels(file, Stack(PIXELS, "ZYX"))
    assert not same_pixels(file, Stack(PIXELS[:5], "ZYX"))
    assert not same_pixels(file, Stack(PIXELS.astype(np.int32), "ZYX"))
    assert not same_pixels(file, Stack(PIXELS[::-1], "ZYX"))
    assert not same_pixels(tmp_path / "gone.npy", Stack(PIXELS, "ZYX"))
    (tmp_path / "text.npy").write_text("no image")
    assert not same_pixels(tmp_path / "text.npy", Stack(PIXELS, "ZYX"))


def test_of_pixels_in_memory_only_the_sections_needed_are_written(
    tmp_path: Path,
) -> None:
    given = hand_over(Image(PIXELS), tmp_path, "2:4,10:20,0:5")
    np.testing.assert_array_equal(np.load(given["image"]), PIXELS[2:4])
    assert given["excerpt"] == {"shape": (6, 100, 80), "starts": [2, 0, 0]}
    # The grey values mean what they mean in the whole image.
    assert given["normalisation"]["mean"] == [pytest.approx(PIXELS.mean())]
    assert given["normalisation"]["deviation"] == [pytest.approx(PIXELS.std())]


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ({}, [(1, 2), (2, 4), (0, 3), (0, 9), (0, 9)]),
        ({"context": 1}, [(1, 2), (1, 5), (0, 3), (0, 9), (0, 9)]),
        ({"context": 3}, [(1, 2), (0, 5), (0, 3), (0, 9), (0, 9)]),
        ({"dims": 3}, [(1, 2), (0, 5), (0, 3), (0, 9), (0, 9)]),
    ],
)
def test_a_network_is_given_the_sections_it_sees(
    network: dict[str, int], expected: list[tuple[int, int]]
) -> None:
    stack = Stack(np.zeros((4, 5, 3, 9, 9)), "TZCYX")
    region = find_region(stack, "1:2,2:4,0:4,0:4")
    assert needed(stack, region, network) == expected
    assert needed(stack, None, network) == [(0, length) for length in stack.shape]


def test_a_cancelled_job_is_given_nothing(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    stack = Stack(PIXELS, "ZYX")
    assert Handover(stack, (), tmp_path / "a.npy", None, {})(cancelled) is None


def test_the_reader_leaves_plain_tiffs_on_the_disk(tmp_path: Path) -> None:
    from napari_unet.plugin.layers import layer_from_stack

    file = tmp_path / "a.tif"
    import tifffile

    tifffile.imwrite(file, PIXELS, metadata={"axes": "ZYX"})
    data, meta, _ = layer_from_stack(open_stack(file), "image")
    layer = Image(data, **meta)
    assert hand_over(layer, tmp_path / "job") == {"image": str(file)}
