import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_unet.data import open_stack
from napari_unet.data.read import folder as folder_module
from napari_unet.data.read.folder import natural_key
from napari_unet.errors import StackFormatError


def plane(value, shape=(6, 7), dtype="uint8"):
    return np.full(shape, value, dtype)


def test_sections_in_natural_order(tmp_path):
    for number in (10, 9, 2, 1):
        tifffile.imwrite(tmp_path / f"z{number}.tif", plane(number))
    (tmp_path / "notes.txt").write_text("no section")
    (tmp_path / "._z1.tif").write_bytes(b"what macOS leaves")
    stack = open_stack(tmp_path)
    assert (stack.axes, stack.shape) == ("ZYX", (4, 6, 7))
    assert np.asarray(stack)[:, 0, 0].tolist() == [1, 2, 9, 10]
    assert stack.section(3, slice(1, 3), slice(2, 6)).shape == (1, 2, 4)
    assert (stack.name, stack.source) == (tmp_path.name, tmp_path)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_sort_as_numbers(numbers):
    names = sorted((f"img_{each}_c2.tif" for each in numbers), key=natural_key)
    assert names == [f"img_{each}_c2.tif" for each in sorted(numbers)]


def test_colour_png_sections(tmp_path):
    pixels = np.arange(2 * 6 * 7 * 3, dtype=np.uint8).reshape(2, 6, 7, 3)
    for index, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / f"{index}.png")
    stack = open_stack(tmp_path)
    assert stack.axes == "ZYXC"
    np.testing.assert_array_equal(np.asarray(stack), pixels)
    np.testing.assert_array_equal(stack.section(1)[2], pixels[1, :, :, 2])


def test_pixel_size_is_that_of_the_sections(tmp_path):
    facts = {"axes": "YX", "unit": "nm"}
    for index in range(2):
        path = tmp_path / f"{index}.tif"
        tifffile.imwrite(
            path, plane(index), imagej=True, resolution=(0.25, 0.25), metadata=facts
        )
    stack = open_stack(tmp_path)
    assert (stack.pixel_size, stack.unit) == ({"Y": 4.0, "X": 4.0}, "nm")


def test_only_what_is_asked_for_is_decoded(tmp_path):
    for index in range(3):
        path = tmp_path / f"{index}.tif"
        tifffile.imwrite(path, plane(index, (32, 32)), compression="zlib")
    with tifffile.TiffFile(tmp_path / "1.tif") as file:
        offset = file.pages[0].dataoffsets[0]
    raw = bytearray((tmp_path / "1.tif").read_bytes())
    raw[offset : offset + 4] = b"\xff" * 4
    (tmp_path / "1.tif").write_bytes(raw)
    stack = open_stack(tmp_path)
    assert stack.section(2).max() == 2
    with pytest.raises(StackFormatError, match=r"1\.tif"):
        stack.section(1)


@pytest.mark.parametrize(
    "odd", [plane(0, (6, 8)), plane(0, dtype="uint16"), plane(0, (6, 7, 3))]
)
def test_the_odd_file_is_named(tmp_path, odd):
    tifffile.imwrite(tmp_path / "1.tif", plane(1))
    tifffile.imwrite(tmp_path / "2.tif", odd)
    tifffile.imwrite(tmp_path / "3.tif", plane(3))
    with pytest.raises(StackFormatError, match=r"2\.tif has the shape"):
        open_stack(tmp_path)


def test_stacks_in_a_folder_are_not_sections(tmp_path):
    tifffile.imwrite(tmp_path / "1.tif", np.zeros((5, 6, 7), np.uint8))
    with pytest.raises(StackFormatError, match=r"1\.tif holds 5 sections"):
        open_stack(tmp_path)


def test_a_folder_without_images_or_with_two_kinds(tmp_path):
    with pytest.raises(StackFormatError, match="holds no"):
        open_stack(tmp_path)
    tifffile.imwrite(tmp_path / "1.tif", plane(1))
    Image.fromarray(plane(1)).save(tmp_path / "1.png")
    with pytest.raises(StackFormatError, match="1 TIFF and 1 PNG"):
        open_stack(tmp_path)


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(42, dtype=np.uint8).reshape(6, 7),
        np.arange(0, 42000, 1000).reshape(6, 7).astype(np.uint16),
        np.eye(6, 7, dtype=bool),
        np.arange(168, dtype=np.uint8).reshape(6, 7, 4),
    ],
    ids=["grey", "grey 16", "bool", "RGBA"],
)
def test_a_png_keeps_its_pixels_axes_and_type(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    stack = open_stack(tmp_path / "a.png")
    assert stack.axes == ("YX" if pixels.ndim == 2 else "YXC")
    assert (stack.shape, stack.dtype) == (pixels.shape, pixels.dtype)
    np.testing.assert_array_equal(np.asarray(stack), pixels)


def test_png_with_sixteen_bit_colours(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = np.arange(0, 126 * 500, 500).reshape(6, 7, 3).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    stack = open_stack(tmp_path / "a.png")
    assert stack.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(stack), pixels)


def test_png_with_a_palette_gives_indices(tmp_path):
    pixels = np.arange(42, dtype=np.uint8).reshape(6, 7) % 3
    image = Image.fromarray(pixels).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "a.png")
    stack = open_stack(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(stack), np.asarray(image))
    assert np.asarray(stack).max() == 2
    assert "palette" in stack.remarks[0]


def write_grey_png(path, pixels, depth):
    """Write grey values of few bits, which Pillow cannot."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width = pixels.shape
    bits = np.unpackbits(pixels[..., None], axis=-1)[..., 8 - depth :]
    packed = np.packbits(bits.reshape(height, -1), axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_png_of_few_bits_keeps_its_values(tmp_path, depth):
    pixels = np.arange(42, dtype=np.uint8).reshape(6, 7) % 2**depth
    write_grey_png(tmp_path / "a.png", pixels, depth)
    stack = open_stack(tmp_path / "a.png")
    assert stack.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(stack), pixels)
    # Beside one of 8 bits, as programs write them that save what a section needs.
    Image.fromarray(pixels).save(tmp_path / "b.png")
    sections = np.asarray(open_stack(tmp_path))
    np.testing.assert_array_equal(sections, [pixels, pixels])


def test_a_damaged_png_is_refused(tmp_path):
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for part in (b"", b"no png at all, but long enough to be one", whole[:20]):
        path.write_bytes(part)
        with pytest.raises(StackFormatError, match=r"a\.png"):
            open_stack(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StackFormatError, match=r"a\.png"):
        open_stack(path).section(0)


def test_real_png_images(data_folder):
    for path in sorted((data_folder / "retina_drive").rglob("*.png"))[:4]:
        stack = open_stack(path)
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(stack), np.asarray(image))


def test_of_large_files_only_windows_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "_LARGE", 100)
    pixels = np.arange(4 * 64 * 80).reshape(4, 64, 80).astype(np.uint16)
    for number, section in enumerate(pixels):
        path = tmp_path / f"z{number}.tif"
        tifffile.imwrite(path, section, tile=(16, 16), compression="zlib")
    stack = open_stack(tmp_path)
    for index in (0, 1, 2, 1, -1):
        window = stack.section(index, slice(10, 40), slice(20, 70))
        np.testing.assert_array_equal(window[0], pixels[index, 10:40, 20:70])
    np.testing.assert_array_equal(np.asarray(stack), pixels)
    np.testing.assert_array_equal(np.asarray(stack.select(slice(1, 3))), pixels[1:3])
    tifffile.imwrite(tmp_path / "z0.tif", pixels[0, :32])
    with pytest.raises(StackFormatError, match=r"z0\.tif has the shape"):
        stack.section(0)
