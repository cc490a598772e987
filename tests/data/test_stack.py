import numpy as np
import pytest

from napari_unet.data import Stack, as_stack, open_stack
from napari_unet.errors import StackFormatError


def counted(*shape, dtype=np.uint16):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def test_sections_of_a_hyperstack_in_file_order():
    pixels = counted(2, 3, 4, 5, 6)
    stack = as_stack(pixels, axes="TZCYX")
    assert (stack.n_sections, stack.n_channels) == (6, 4)
    assert stack.section_shape == (5, 6)
    assert stack.section_axes == "TZYX"
    np.testing.assert_array_equal(stack.section(4), pixels[1, 1])
    np.testing.assert_array_equal(stack.section(-1), pixels[1, 2])


def test_colours_come_first_in_a_section():
    pixels = counted(2, 5, 6, 3)
    stack = as_stack(pixels, axes="ZYXC")
    assert stack.section(1).shape == (3, 5, 6)
    np.testing.assert_array_equal(stack.section(1)[2], pixels[1, :, :, 2])


def test_colour_samples_beside_channels_are_channels_too():
    pixels = counted(2, 5, 6, 3)
    stack = as_stack(pixels, axes="CYXS")
    assert stack.n_channels == 6
    np.testing.assert_array_equal(stack.section(0)[4], pixels[1, :, :, 1])


def test_transposed_axes_give_rows_before_columns():
    pixels = counted(4, 6, 5)
    np.testing.assert_array_equal(
        as_stack(pixels, axes="ZXY").section(2)[0], pixels[2].T
    )


def test_a_window_of_a_section():
    pixels = counted(3, 8, 9)
    window = as_stack(pixels).section(1, slice(2, 5), slice(4, 9))
    np.testing.assert_array_equal(window[0], pixels[1, 2:5, 4:9])


def test_bytes_come_in_native_order():
    stack = as_stack(counted(2, 3, 5).astype(">u2"))
    assert stack.dtype == np.uint16 and stack.dtype.isnative
    assert stack.section(0).dtype.isnative
    assert np.asarray(stack).dtype.isnative
    np.testing.assert_array_equal(np.asarray(stack), counted(2, 3, 5))


def test_there_is_no_section_beyond_the_last():
    with pytest.raises(IndexError):
        as_stack(counted(3, 4, 5)).section(3)


def test_select_keeps_the_facts_and_reads_nothing():
    class Forbidden:
        shape, dtype, ndim = (6, 4, 5), np.dtype("u1"), 3

        def __getitem__(self, key):
            raise AssertionError("read")

    stack = Stack(Forbidden(), "ZYX", {"Z": 50.0}, "nm", "brain")
    part = stack.select(slice(2, 5))
    assert part.shape == (3, 4, 5)
    assert (part.pixel_size, part.unit, part.name) == ({"Z": 50.0}, "nm", "brain")


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
def test_select_takes_the_sections_of_the_range(axes):
    pixels = counted(5, 5, 3, 4)
    whole = as_stack(pixels, axes=axes)
    part = whole.select(slice(1, None, 2))
    assert part.n_sections == 2
    np.testing.assert_array_equal(part.section(1), whole.section(3))
    expected = pixels[1::2] if axes == "ZCYX" else pixels[:, 1::2]
    np.testing.assert_array_equal(np.asarray(part), expected)


@pytest.mark.parametrize("axes", ["YX", "TZYX"])
def test_select_needs_one_axis_to_select_along(axes):
    stack = as_stack(np.zeros((2,) * len(axes)), axes=axes)
    with pytest.raises(StackFormatError, match="exactly one axis"):
        stack.select(slice(0, 1))


def test_select_of_nothing_is_refused():
    with pytest.raises(StackFormatError, match="has 3 sections"):
        as_stack(counted(3, 4, 5)).select(slice(3, 9))


def test_axes_are_told_only_where_they_can_be():
    assert as_stack(np.zeros((5, 6))).axes == "YX"
    assert as_stack(np.zeros((3, 5, 6))).axes == "ZYX"
    for shape in [(5, 6, 3), (5, 6, 4), (2, 3, 4, 5)]:
        with pytest.raises(StackFormatError, match="axes="):
            as_stack(np.zeros(shape))
    with pytest.raises(StackFormatError, match="at least rows and columns"):
        as_stack(np.zeros(7))


@pytest.mark.parametrize("axes", ["ZY", "ZZX", "QYX", "TZC", "TZYX", ""])
def test_axes_that_do_not_fit_are_refused(axes):
    with pytest.raises(StackFormatError):
        Stack(np.zeros((2, 3, 4)), axes)


def test_lower_case_and_sample_axes_are_understood():
    assert as_stack(np.zeros((4, 5, 3)), axes="yxs").axes == "YXC"


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2), complex), np.full((2, 2), "a"), np.zeros((0, 4))]
)
def test_what_is_no_image_is_refused(pixels):
    with pytest.raises(StackFormatError):
        as_stack(pixels, axes="YX")


@pytest.mark.parametrize("size", [{"Z": 1.0}, {"Y": 0.0}, {"X": float("nan")}])
def test_an_impossible_pixel_size_is_refused(size):
    with pytest.raises(StackFormatError, match="pixel size"):
        as_stack(np.zeros((2, 2)), pixel_size=size)


def test_a_ragged_list_is_refused_with_a_remedy():
    with pytest.raises(StackFormatError, match="multiscale"):
        as_stack([np.zeros((4, 4)), np.zeros((2, 2))])


def test_a_stack_passes_through_and_facts_can_be_added():
    stack = as_stack(np.zeros((2, 3, 5)))
    assert as_stack(stack) is stack
    named = as_stack(stack, axes="TYX", pixel_size={"Y": 2.0}, unit="nm", name="b")
    assert (named.axes, named.pixel_size, named.unit) == ("TYX", {"Y": 2.0}, "nm")
    assert named.name == "b"


def test_new_axes_take_the_sizes_along():
    stack = as_stack(np.zeros((2, 3, 4)), axes="TYX", pixel_size={"T": 3.0, "Y": 1.0})
    assert as_stack(stack, axes="ZYX").pixel_size == {"Z": 3.0, "Y": 1.0}


@pytest.mark.parametrize("library", ["dask", "zarr"])
def test_arrays_in_chunks_are_read_in_windows(library):
    pixels = counted(4, 6, 7)
    if library == "dask":
        array = pytest.importorskip("dask.array").from_array(pixels, chunks=(3, 3, 7))
    else:
        array = pytest.importorskip("zarr").array(pixels, chunks=(3, 3, 7))
    stack = as_stack(array, axes="TYX")
    window = stack.section(2, slice(2, 5), slice(1, 6))
    np.testing.assert_array_equal(window[0], pixels[2, 2:5, 1:6])
    np.testing.assert_array_equal(np.asarray(stack), pixels)
    selected = stack.select(slice(1, 3))
    np.testing.assert_array_equal(np.asarray(selected), pixels[1:3])


def test_a_dask_array_of_unknown_size_is_refused():
    dask_array = pytest.importorskip("dask.array")
    numbers = dask_array.arange(9, chunks=3)
    with pytest.raises(StackFormatError, match="compute_chunk_sizes"):
        as_stack(numbers[numbers > 4])


def test_axes_of_length_1_do_not_hinder_a_selection():
    stack = as_stack(counted(1, 5, 1, 3, 4), axes="TZCYX").select(slice(2, 4))
    assert stack.shape == (1, 2, 1, 3, 4)
    np.testing.assert_array_equal(stack.section(1)[0], counted(5, 3, 4)[3])


def test_npy_is_mapped(tmp_path):
    pixels = counted(3, 4, 5)
    np.save(tmp_path / "a.npy", pixels)
    stack = open_stack(tmp_path / "a.npy")
    assert isinstance(stack.pixels, np.memmap)
    assert (stack.axes, stack.name) == ("ZYX", "a")
    np.testing.assert_array_equal(np.asarray(stack), pixels)


def test_npy_of_many_dimensions_needs_axes(tmp_path):
    np.save(tmp_path / "a.npy", counted(2, 3, 4, 5))
    with pytest.raises(StackFormatError, match=r"a\.npy.*axes="):
        open_stack(tmp_path / "a.npy")
    assert open_stack(tmp_path / "a.npy", axes="ZCYX").n_channels == 3


def test_a_damaged_npy_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", counted(3, 4, 5))
    whole = (tmp_path / "a.npy").read_bytes()
    for part in (b"", whole[:40], whole[:150], b"nothing of the kind"):
        (tmp_path / "a.npy").write_bytes(part)
        with pytest.raises(StackFormatError, match=r"a\.npy"):
            open_stack(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.array([{}], object))
    with pytest.raises(StackFormatError):
        open_stack(tmp_path / "a.npy")


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(StackFormatError, match=r"gone\.tif does not exist"):
        open_stack(tmp_path / "gone.tif")


@pytest.mark.parametrize(
    ("axes", "shape", "volumes"),
    [
        ("ZYX", (3, 4, 5), [[0, 1, 2]]),
        ("TZYX", (2, 3, 4, 5), [[0, 1, 2], [3, 4, 5]]),
        ("ZTCYX", (3, 2, 2, 4, 5), [[0, 2, 4], [1, 3, 5]]),
    ],
)
def test_a_volume_is_all_sections_along_z(
    axes: str, shape: tuple[int, ...], volumes: list[list[int]]
) -> None:
    stack = Stack(np.zeros(shape, np.uint8), axes)
    assert stack.seen_together(3).tolist() == volumes
    assert stack.seen_together(2).tolist() == [[i] for i in range(stack.n_sections)]
    assert stack.shape_seen(3) == (3, 4, 5)
    assert stack.shape_seen(2) == (4, 5)


def test_without_z_there_are_no_volumes() -> None:
    stack = Stack(np.zeros((3, 4, 5), np.uint8), "TYX", name="film")
    with pytest.raises(StackFormatError, match=r"film has the axes TYX and no Z"):
        stack.seen_together(3)


def test_neighbours_are_mirrored_at_the_ends() -> None:
    stack = Stack(np.zeros((4, 2, 2), np.uint8), "ZYX")
    assert stack.neighbours(1).tolist() == [[1, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 2]]
    assert stack.neighbours(0).tolist() == [[0], [1], [2], [3]]


def test_neighbours_lie_along_z_only() -> None:
    stack = Stack(np.zeros((2, 3, 4, 5), np.uint8), "ZTYX")
    assert stack.neighbours(1).tolist() == [
        [3, 0, 3],
        [4, 1, 4],
        [5, 2, 5],
        [0, 3, 0],
        [1, 4, 1],
        [2, 5, 2],
    ]
    film = Stack(np.zeros((2, 4, 5), np.uint8), "TYX")
    assert film.neighbours(1).tolist() == [[0, 0, 0], [1, 1, 1]]
