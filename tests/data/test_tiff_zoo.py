"""Every file of the zoo, as its manifest says."""

import csv
import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_unet.data import open_stack
from napari_unet.errors import StackFormatError

FOLDER = Path(os.environ.get("NAPARI_UNET_DATA", "")) / "tiff_zoo"
MANIFEST = FOLDER / "manifest.csv"
BROKEN = ("must fail cleanly", "SILENT DATA LOSS", "not a TIFF")


def rows():
    if not os.environ.get("NAPARI_UNET_DATA") or not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as file:
        return list(csv.DictReader(file))


ROWS = rows()
READABLE = [row for row in ROWS if not row["expectation"].startswith(BROKEN)]
DAMAGED = [row for row in ROWS if row["expectation"].startswith(BROKEN)]


def test_the_zoo_is_complete(data_folder):
    assert (len(READABLE), len(DAMAGED)) == (48, 14)


@pytest.mark.parametrize("row", READABLE, ids=lambda row: row["file"])
def test_readable_files_are_read_as_they_were_written(row):
    stack = open_stack(FOLDER / row["file"])
    assert "x".join(map(str, stack.shape)) == row["expected_shape"]
    assert stack.dtype == np.dtype(row["expected_dtype"])
    assert stack.dtype.isnative
    expected = row["axes"].replace("I", "Z")
    assert stack.axes == (expected if "C" in expected else expected.replace("S", "C"))
    pixels = np.ascontiguousarray(stack)
    assert hashlib.md5(pixels.tobytes()).hexdigest() == row["md5_pixels"]
    np.testing.assert_array_equal(
        stack.section(stack.n_sections - 1).ravel()[-1], pixels.ravel()[-1]
    )


@pytest.mark.parametrize("row", DAMAGED, ids=lambda row: row["file"])
def test_damaged_files_are_refused_by_name(row):
    with pytest.raises(StackFormatError) as caught:
        np.asarray(open_stack(FOLDER / row["file"]))
    message = str(caught.value)
    assert Path(row["file"]).name in message
    assert message.endswith(".") and len(message) > 60


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_memory_stays_below_a_gigabyte(data_folder):
    import subprocess

    script = (
        "import re, sys; from pathlib import Path; import numpy as np\n"
        "from napari_unet.data import open_stack\n"
        "from napari_unet.errors import StackFormatError\n"
        "for path in Path(sys.argv[1]).rglob('*.*'):\n"
        "    try: np.asarray(open_stack(path))\n"
        "    except StackFormatError: pass\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', status)[1])\n"
    )
    command = [sys.executable, "-c", script, str(data_folder / "tiff_zoo")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=90)
    # Not ru_maxrss: a new process inherits it from the one that starts it.
    assert int(done.stdout) < 1e6  # kilobytes


def test_the_files_of_a_companion_set_are_a_stack(data_folder, tmp_path):
    for source in (FOLDER / "ome_multifile").glob("multifile-Z*.tiff"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    stack = open_stack(tmp_path)
    assert (stack.axes, stack.shape) == ("ZYX", (5, 24, 18))


def test_what_else_the_zoo_says(data_folder):
    spots = open_stack(FOLDER / "imagej" / "xyzc_16bit__spots.tif")
    assert spots.unit == "µm"
    assert spots.pixel_size == pytest.approx(
        {"Z": 0.4, "Y": 0.0941344, "X": 0.0941344}, rel=1e-5
    )
    timed = open_stack(FOLDER / "ome" / "test_ome_with_time.tiff")
    assert timed.channel_names == ("Ch1-T1", "ChS2-T3")
    assert "2 images" in open_stack(FOLDER / "pages" / "multipage.tiff").remarks[0]
    loop = open_stack(FOLDER / "corrupt" / "multipage_multiple_frame_loop.tiff")
    assert "circle" in " ".join(loop.remarks)
