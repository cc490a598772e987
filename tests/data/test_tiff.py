import logging
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from napari_unet.data import open_stack
from napari_unet.data.read.calibration import normal_unit
from napari_unet.data.read.tiff_pages import tifffile_errors
from napari_unet.errors import StackFormatError

TYPES = ["bool", "u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"]


def counted(*shape, dtype="uint8"):
    return (np.arange(np.prod(shape)).reshape(shape) % 251).astype(dtype)


def write(path, pixels, **options):
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **options})


def check(path, pixels, axes):
    stack = open_stack(path)
    assert (stack.axes, stack.shape, stack.dtype) == (axes, pixels.shape, pixels.dtype)
    np.testing.assert_array_equal(np.asarray(stack), pixels)
    return stack


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_in_both_byte_orders(tmp_path, dtype, order):
    pixels = counted(3, 17, 19, dtype=dtype)
    path = tmp_path / "a.tif"
    write(path, pixels, byteorder=order)
    stack = check(path, pixels, "ZYX")
    assert stack.section(1).dtype == pixels.dtype
    np.testing.assert_array_equal(stack.section(1)[0], pixels[1])


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"tile": (16, 32)}])
def test_compressed_tiled_and_big(tmp_path, compression, options):
    pixels = counted(4, 40, 50, dtype="uint16")
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, pixels, compression=compression, photometric="minisblack", **options
    )
    stack = check(path, pixels, "ZYX")
    plain = not compression and "tile" not in options
    assert isinstance(stack.pixels, np.memmap) == plain
    window = stack.section(2, slice(3, 30), slice(10, 45))
    np.testing.assert_array_equal(window[0], pixels[2, 3:30, 10:45])


def test_predictor_is_undone(tmp_path):
    pixels = np.random.default_rng(0).random((3, 20, 30)).astype("float32")
    write(tmp_path / "a.tif", pixels, compression="zlib", predictor=True)
    check(tmp_path / "a.tif", pixels, "ZYX")


def test_colour_is_a_channel_axis(tmp_path):
    pixels = counted(20, 30, 3)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    assert check(tmp_path / "a.tif", pixels, "YXC").n_sections == 1
    stacked = counted(5, 20, 30, 3)
    tifffile.imwrite(tmp_path / "b.tif", stacked, photometric="rgb", compression="zlib")
    stack = check(tmp_path / "b.tif", stacked, "ZYXC")
    np.testing.assert_array_equal(stack.section(3)[1], stacked[3, :, :, 1])


def test_palette_gives_indices(tmp_path):
    pixels = counted(20, 30)
    palette = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="palette", colormap=palette
    )
    check(tmp_path / "a.tif", pixels, "YX")


def test_imagej_axes_and_pixel_size(tmp_path):
    pixels = counted(2, 5, 3, 16, 17, dtype="uint16")
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        imagej=True,
        resolution=(4.0, 2.0),
        metadata={"axes": "TZCYX", "spacing": 3.0, "unit": "um"},
    )
    stack = check(tmp_path / "a.tif", pixels, "TZCYX")
    assert stack.pixel_size == pytest.approx({"Z": 3.0, "Y": 0.5, "X": 0.25})
    assert stack.unit == "µm"


@pytest.mark.parametrize("unit", ["inch", "pixel", ""])
def test_screen_resolution_is_no_pixel_size(tmp_path, unit):
    facts = {"axes": "ZYX", "spacing": 1.0, "unit": unit}
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, counted(2, 5, 6), imagej=True, resolution=(72.0, 72.0), metadata=facts
    )
    assert (open_stack(path).pixel_size, open_stack(path).unit) == ({}, None)
    tifffile.imwrite(path, counted(2, 5, 6), resolution=(72, 72), resolutionunit="INCH")
    assert (open_stack(path).pixel_size, open_stack(path).unit) == ({}, None)


def test_units_have_one_sign():
    for each in ("um", "micron", "\\u00B5m", "\u03bcm", "Microns", " µm "):
        assert normal_unit(each) == "µm"
    assert normal_unit("nm") == "nm"
    assert normal_unit("pixel") is normal_unit("") is normal_unit(None) is None


def test_ome_facts(tmp_path):
    pixels = counted(3, 2, 16, 17)
    facts = {
        "axes": "ZCYX",
        "PhysicalSizeX": 4.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 5.0,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 0.05,
        "PhysicalSizeZUnit": "µm",
        "Channel": {"Name": ["raw", "membrane"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=facts)
    stack = check(tmp_path / "a.ome.tif", pixels, "ZCYX")
    assert stack.pixel_size == pytest.approx({"Z": 50.0, "Y": 5.0, "X": 4.0})
    assert (stack.unit, stack.name) == ("nm", "a")
    assert stack.channel_names == ("raw", "membrane")


def test_ome_planes_out_of_order(tmp_path):
    # Written TCZ, and the XML says so: the pages are not sorted as in ZCYX.
    pixels = counted(2, 3, 16, 17)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "CZYX"})
    stack = check(tmp_path / "a.ome.tif", pixels, "CZYX")
    np.testing.assert_array_equal(stack.section(2), pixels[:, 2])


def test_a_part_of_an_ome_set_is_refused_and_names_the_rest(data_folder, tmp_path):
    for name, other in [("spots_C0", "spots_C1"), ("spots_C1", "spots_C0")]:
        source = data_folder / "tiff_zoo" / "ome_multifile" / f"{name}.ome.tif"
        alone = tmp_path / source.name
        alone.write_bytes(source.read_bytes())
        with pytest.raises(StackFormatError, match=rf"{other}\.ome\.tif"):
            open_stack(alone)
        alone.unlink()


def test_a_renamed_ome_file_is_not_a_part_of_a_set(tmp_path):
    pixels = counted(3, 16, 17)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "ZYX"})
    (tmp_path / "a.ome.tif").rename(tmp_path / "b.tif")
    check(tmp_path / "b.tif", pixels, "ZYX")


def test_an_ome_file_with_fewer_planes_than_declared_is_refused(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, counted(3, 16, 17), metadata={"axes": "ZYX"})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'SizeZ="3"', b'SizeZ="9"'))
    with pytest.raises(StackFormatError, match="6 of its 9 planes are missing"):
        open_stack(path)


def write_cut(path, keep, **options):
    write(path, counted(6, 40, 50), **options)
    os.truncate(path, int(path.stat().st_size * keep))


@pytest.mark.parametrize("keep", [0.1, 0.45, 0.8, 0.98])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"imagej": True},
        {"compression": "zlib"},
        {"bigtiff": True},
        {"ome": True},
        {"metadata": None},
        {"metadata": None, "contiguous": False},
    ],
    ids=str,
)
def test_a_file_cut_off_anywhere_is_refused(tmp_path, options, keep):
    write_cut(tmp_path / "a.tif", keep, **options)
    with pytest.raises(StackFormatError, match=r"a\.tif"):
        open_stack(tmp_path / "a.tif")


def test_pages_written_one_by_one_and_cut_off(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in counted(6, 40, 50):
            writer.write(plane, contiguous=False, metadata=None)
    assert open_stack(path).shape == (6, 40, 50)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StackFormatError, match="cut off"):
        open_stack(path)


def test_a_damaged_page_is_found_when_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 255, (4, 64, 64), np.uint8)
    write(path, noise, compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[2].dataoffsets[0], file.pages[2].databytecounts[0]
    raw = bytearray(path.read_bytes())
    raw[offset : offset + count] = b"\xff" * count
    path.write_bytes(raw)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.section(1)[0], noise[1])
    with pytest.raises(StackFormatError, match=r"a\.tif cannot be read"):
        stack.section(2)
    np.testing.assert_array_equal(stack.section(3)[0], noise[3])


def test_a_file_that_vanishes_is_an_error_of_ours(tmp_path):
    path = tmp_path / "a.tif"
    write(path, counted(3, 20, 30), compression="zlib")
    stack = open_stack(path)
    path.unlink()
    with pytest.raises(StackFormatError, match=r"a\.tif"):
        stack.section(2)


def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, counted(16, 16), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[name].overwrite(100_000)
    with pytest.raises(StackFormatError, match="GB"):
        open_stack(path)


def test_complex_numbers_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), "complex64"))
    with pytest.raises(StackFormatError, match="complex64"):
        open_stack(tmp_path / "a.tif")


def test_several_unnamed_axes_are_asked_for(tmp_path):
    pixels = counted(2, 5, 16, 17)
    write(tmp_path / "a.tif", pixels)
    with pytest.raises(StackFormatError, match="axes="):
        open_stack(tmp_path / "a.tif")
    stack = open_stack(tmp_path / "a.tif", axes="TZYX")
    np.testing.assert_array_equal(stack.section(6)[0], pixels[1, 1])


def test_given_axes_overrule_those_of_the_file(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, counted(4, 5, 6), imagej=True, metadata={"axes": "TYX"})
    assert open_stack(path).axes == "TYX"
    assert open_stack(path, axes="zyx").axes == "ZYX"
    with pytest.raises(StackFormatError, match="one letter per dimension"):
        open_stack(path, axes="YX")


def test_pages_of_two_sizes_leave_a_remark(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(counted(2, 16, 17), metadata=None, photometric="minisblack")
        writer.write(counted(8, 9), metadata=None)
    stack = open_stack(tmp_path / "a.tif")
    assert stack.shape == (2, 16, 17)
    assert "2 images" in stack.remarks[0]


def test_a_pyramid_is_read_at_its_full_size(tmp_path):
    pixels = counted(64, 80)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(pixels, subifds=1, tile=(16, 16))
        writer.write(pixels[::2, ::2], subfiletype=1, tile=(16, 16))
    check(tmp_path / "a.ome.tif", pixels, "YX")


def test_text_and_other_formats_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    for content in (
        b"",
        b"hello",
        b"\xff\xd8\xff\xe0jpeg",
        b"II*\0",
        b"MM\0*" + bytes(4),
    ):
        path.write_bytes(content)
        with pytest.raises(StackFormatError, match=r"a\.tif"):
            open_stack(path)


def test_no_handle_stays_open(tmp_path):
    psutil = pytest.importorskip("psutil")
    write(tmp_path / "a.tif", counted(3, 20, 30), compression="zlib")
    stack = open_stack(tmp_path / "a.tif")
    stack.section(2)
    opened = {each.path for each in psutil.Process().open_files()}
    assert str(tmp_path / "a.tif") not in opened


def test_threads_may_share_a_stack(tmp_path):
    pixels = counted(12, 64, 64, dtype="uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib")
    stack = open_stack(tmp_path / "a.tif")
    wrong = []

    def read(order):
        for index in order:
            if not np.array_equal(stack.section(index)[0], pixels[index]):
                wrong.append(index)

    orders = [range(12), range(11, -1, -1), [0, 6] * 6]
    threads = [threading.Thread(target=read, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    "key",
    [
        np.s_[1],
        np.s_[2, 3, 4],
        np.s_[...],
        np.s_[..., 5],
        np.s_[1:, ..., 2:9],
        np.s_[::-2, 3],
        np.s_[-1],
        np.s_[3:],
        np.s_[:, 4, 5],
    ],
    ids=str,
)
def test_lazy_pixels_are_indexed_as_arrays_are(tmp_path, key):
    pixels = counted(3, 20, 30)
    write(tmp_path / "a.tif", pixels, compression="zlib")
    lazy = open_stack(tmp_path / "a.tif").pixels
    assert not isinstance(lazy, np.ndarray)
    np.testing.assert_array_equal(lazy[key], pixels[key])
    np.testing.assert_array_equal(np.asarray(lazy), pixels)


def test_what_is_kept_cannot_be_changed_by_a_user(tmp_path):
    write(tmp_path / "a.tif", counted(3, 20, 30), compression="zlib")
    section = open_stack(tmp_path / "a.tif").section(0)
    with pytest.raises(ValueError, match="read-only"):
        section[:] = 0


def test_a_missing_codec_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", counted(20, 30), compression="lzw")
    script = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from napari_unet.data import open_stack\n"
        "from napari_unet.errors import StackFormatError\n"
        "try: open_stack(sys.argv[1])\n"
        "except StackFormatError as error:\n"
        "    sys.exit('pip install imagecodecs' not in str(error))\n"
        "sys.exit('read')"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.tif")]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_a_mapped_file_that_is_cut_short_is_not_read(tmp_path, name):
    pixels, path = counted(8, 100, 100), tmp_path / name
    if name == "a.npy":
        np.save(path, pixels)
    else:
        write(path, pixels)
    stack = open_stack(path, axes="ZYX")
    section = stack.section(1)
    part = stack.select(slice(4, 8))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack.pixels)), pixels)
    os.truncate(path, 4096)  # to read on would kill this process
    np.testing.assert_array_equal(section[0], pixels[1])
    for each in (stack, part):
        with pytest.raises(StackFormatError, match=rf"{name} was cut short"):
            each.section(3)
    path.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="keeps open files")
def test_a_mapped_file_that_is_deleted_can_still_be_read(tmp_path):
    pixels = counted(8, 100, 100)
    write(tmp_path / "a.tif", pixels)
    stack = open_stack(tmp_path / "a.tif")
    (tmp_path / "a.tif").unlink()
    np.testing.assert_array_equal(stack.section(7)[0], pixels[7])


def test_what_tifffile_says_is_collected_by_thread_and_not_shown(caplog):
    log = logging.getLogger("tifffile")
    with tifffile_errors() as here:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(log.error, "<page> elsewhere").result()
        log.error("<page> here.")
        log.warning("no error")
    assert here == ["here"]
    assert [each.message for each in caplog.records] == [
        "<page> elsewhere",
        "no error",
    ]
