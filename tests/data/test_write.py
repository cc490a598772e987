import os
import sys
import tracemalloc

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.data import open_stack, write_stack
from napari_unet.errors import OutputExistsError, StackFormatError


def counted(*shape, dtype="uint8"):
    return (np.arange(np.prod(shape)).reshape(shape) % 251).astype(dtype)


def write(path, pixels, axes="ZYX", **options):
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    options = {"shape": pixels.shape, "axes": axes, "dtype": pixels.dtype, **options}
    return write_stack(path, iter(planes), **options)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"])
def test_every_fact_comes_back(tmp_path, dtype):
    pixels = counted(3, 2, 16, 17, dtype=dtype)
    path = write(
        tmp_path / "new" / "a.tif",
        pixels,
        "ZCYX",
        pixel_size={"Z": 50.0, "Y": 4.0, "X": 4.5},
        unit="nm",
        channel_names=("membrane", "cell"),
    )
    stack = open_stack(path)
    assert (stack.axes, stack.dtype) == ("ZCYX", np.dtype(dtype))
    assert stack.pixel_size == {"Z": 50.0, "Y": 4.0, "X": 4.5}
    assert (stack.unit, stack.channel_names) == ("nm", ("membrane", "cell"))
    assert stack.remarks == ()
    np.testing.assert_array_equal(np.asarray(stack), pixels)


AXES = ["YX", "ZYX", "CYX", "CZYX", "ZCYX", "TZYX", "TCYX", "TZCYX", "CTZYX"]
INTERRUPTIONS = [ValueError("no"), KeyboardInterrupt(), MemoryError()]


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(AXES),
    st.data(),
)
def test_any_shape_and_axes_come_back(tmp_path, axes, data):
    shape = tuple(data.draw(st.integers(1, 4)) for _ in axes)
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    stack = open_stack(write(tmp_path / "a.tif", pixels, axes, overwrite=True))
    assert (stack.axes, stack.shape) == (axes, shape)
    np.testing.assert_array_equal(np.asarray(stack), pixels)


@pytest.mark.parametrize(
    ("given_type", "stored"),
    [("bool", "uint8"), ("float16", "float32"), ("int64", "int32"), (">u2", "uint16")],
)
def test_types_that_ome_lacks_keep_their_values(tmp_path, given_type, stored):
    pixels = (counted(2, 5, 6) % 2).astype(given_type)
    stack = open_stack(write(tmp_path / "a.tif", pixels))
    assert stack.dtype == stored
    np.testing.assert_array_equal(np.asarray(stack), pixels)


def test_values_that_do_not_fit_are_refused(tmp_path):
    for value in (-1, 256, 0.5):
        with pytest.raises(StackFormatError, match="cannot hold"):
            write(tmp_path / "a.tif", np.full((1, 4, 4), value), dtype="uint8")
    with pytest.raises(StackFormatError, match="cannot hold"):
        write(tmp_path / "a.tif", np.full((1, 4, 4), 2**40))
    assert list(tmp_path.iterdir()) == []


def test_without_a_unit_there_is_none_afterwards(tmp_path):
    path = write(tmp_path / "a.tif", counted(2, 5, 6), pixel_size={"Y": 2.0, "X": 2.0})
    assert (open_stack(path).pixel_size, open_stack(path).unit) == (
        {"Y": 2.0, "X": 2.0},
        None,
    )
    path = write(tmp_path / "b.tif", counted(2, 5, 6))
    assert (open_stack(path).pixel_size, open_stack(path).unit) == ({}, None)


def test_time_is_in_seconds_whatever_the_unit(tmp_path):
    size = {"T": 2.5, "Y": 1.0, "X": 1.0}
    pixels = counted(2, 5, 6)
    path = write(tmp_path / "a.tif", pixels, "TYX", pixel_size=size, unit="µm")
    assert (open_stack(path).pixel_size, open_stack(path).unit) == (size, "µm")


def test_other_programs_see_ome_and_a_resolution(tmp_path):
    path = write(
        tmp_path / "a.tif", counted(2, 5, 6), pixel_size={"Y": 4.0, "X": 2.0}, unit="nm"
    )
    with tifffile.TiffFile(path) as file:
        assert file.is_ome and file.series[0].axes == "ZYX"
        assert file.pages[0].compression == 8
        resolution = file.pages[0].tags["XResolution"].value
    assert resolution[0] / resolution[1] == pytest.approx(1e7 / 2)


def test_it_is_smaller_than_the_pixels(tmp_path):
    pixels = np.zeros((4, 256, 256), np.uint8)
    assert write(tmp_path / "a.tif", pixels).stat().st_size < pixels.nbytes / 20


def test_an_existing_file_is_safe(tmp_path):
    path = write(tmp_path / "a.tif", counted(2, 5, 6))
    before = path.read_bytes()

    def forbidden():
        raise AssertionError("asked for pixels")
        yield

    with pytest.raises(OutputExistsError, match=r"a\.tif exists.*overwrite=True"):
        write_stack(path, forbidden(), shape=(2, 5, 6), axes="ZYX", dtype="uint8")
    assert path.read_bytes() == before
    write(path, counted(3, 5, 6), overwrite=True)
    assert open_stack(path).shape == (3, 5, 6)


@pytest.mark.parametrize("error", INTERRUPTIONS)
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interruption_leaves_nothing(tmp_path, error, after):
    def planes():
        yield from counted(4, 64, 64)[:after]
        raise error

    options = {"shape": (4, 64, 64), "axes": "ZYX", "dtype": "uint8"}
    with pytest.raises(type(error)) as caught:
        write_stack(tmp_path / "a.tif", planes(), **options)
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_the_older_file(tmp_path):
    path = write(tmp_path / "a.tif", counted(2, 5, 6))
    with pytest.raises(ZeroDivisionError):
        write_stack(
            path,
            (np.full((5, 6), 1 // (1 - index)) for index in range(2)),
            shape=(2, 5, 6),
            axes="ZYX",
            dtype="uint8",
            overwrite=True,
        )
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]
    np.testing.assert_array_equal(np.asarray(open_stack(path)), counted(2, 5, 6))


@pytest.mark.parametrize("count", [0, 2, 4])
def test_the_number_of_planes_must_be_right(tmp_path, count):
    planes = [np.zeros((5, 6), np.uint8)] * count
    with pytest.raises(StackFormatError, match="plane"):
        write_stack(
            tmp_path / "a.tif", planes, shape=(3, 5, 6), axes="ZYX", dtype="uint8"
        )
    assert list(tmp_path.iterdir()) == []


def test_the_shape_of_planes_must_be_right(tmp_path):
    planes = [np.zeros((6, 5), np.uint8)]
    with pytest.raises(StackFormatError, match="expects"):
        write_stack(tmp_path / "a.tif", planes, shape=(5, 6), axes="YX", dtype="uint8")


@pytest.mark.parametrize(
    ("name", "shape", "axes", "extra"),
    [
        ("a.png", (2, 5, 6), "ZYX", {}),
        ("a.tif", (2, 5, 6), "YXC", {}),
        ("a.tif", (2, 5, 6), "YX", {}),
        ("a.tif", (2, 2, 5, 6), "ZZYX", {}),
        ("a.tif", (0, 5, 6), "ZYX", {}),
        ("a.tif", (2, 5, 6), "CYX", {"channel_names": ("one",)}),
        ("a.tif", (2, 5, 6), "ZYX", {"dtype": "complex64"}),
    ],
)
def test_what_cannot_be_written_is_refused_first(tmp_path, name, shape, axes, extra):
    options = {"shape": shape, "axes": axes, "dtype": "uint8", **extra}
    with pytest.raises(StackFormatError, match="a"):
        write_stack(tmp_path / name, iter(()), **options)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_stack(tmp_path):
    def peak(sections):
        planes = (np.full((512, 512), index, np.float32) for index in range(sections))
        tracemalloc.start()
        write_stack(
            tmp_path / f"{sections}.tif",
            planes,
            shape=(sections, 512, 512),
            axes="ZYX",
            dtype="float32",
        )
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)
    assert peak(32) < peak(4) + 2**20


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_the_file_has_the_usual_mode(tmp_path):
    mask = os.umask(0o022)
    try:
        path = write(tmp_path / "a.tif", counted(2, 5, 6))
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o644
