import hashlib
import io
import os
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tifffile

from napari_unet.data.isbi2012 import CHECKSUMS, fetch_isbi2012
from napari_unet.errors import UNetError

STACKS = {
    name: np.random.default_rng(seed).integers(0, 255, (3, 16, 16), np.uint8)
    for seed, name in enumerate([*CHECKSUMS, "test-labels"])
}
SUMS = {name: hashlib.sha256(STACKS[name].tobytes()).hexdigest() for name in CHECKSUMS}


def archive(prefix="ISBI-2012-challenge/", stacks=STACKS):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, pixels in stacks.items():
            content = io.BytesIO()
            facts = {"axes": "TYX"}
            tifffile.imwrite(
                content, pixels, photometric="minisblack", imagej=True, metadata=facts
            )
            opened.writestr(f"{prefix}{name}.tif", content.getvalue())
            opened.writestr(f"__MACOSX/._{name}.tif", b"resource fork")
    return packed.getvalue()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.requests += 1


@pytest.fixture
def server(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    handler = partial(Quiet, directory=served)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.requests = 0
        http.folder = served
        http.url = f"http://127.0.0.1:{http.server_address[1]}/data.zip"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield http
        http.shutdown()
        thread.join()


def listed(folder):
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("prefix", ["", "ISBI-2012-challenge/a/", "../../", "/"])
def test_stacks_are_found_wherever_they_lie(server, tmp_path, prefix):
    (server.folder / "data.zip").write_bytes(archive(prefix))
    folder = tmp_path / "cache" / "isbi"
    stacks = fetch_isbi2012(folder, url=server.url, checksums=SUMS)
    assert list(stacks) == [*CHECKSUMS, "test-labels"]
    for name, stack in stacks.items():
        np.testing.assert_array_equal(np.asarray(stack), STACKS[name])
        assert (stack.axes, stack.unit) == ("ZYX", "nm")
        assert stack.pixel_size == {"Z": 50.0, "Y": 4.0, "X": 4.0}
        assert stack.source == folder / f"{name}.tif"
    assert listed(folder) == sorted(f"{name}.tif" for name in STACKS)
    assert listed(tmp_path) == ["cache", "served"]


def test_the_second_time_needs_no_network(server, tmp_path):
    (server.folder / "data.zip").write_bytes(archive())
    fetch_isbi2012(tmp_path / "cache", url=server.url, checksums=SUMS)
    seen = server.requests
    fetch_isbi2012(tmp_path / "cache", url=server.url, checksums=SUMS)
    assert server.requests == seen


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    (server.folder / "data.zip").write_bytes(archive())
    fetch_isbi2012(tmp_path / "cache", url=server.url, checksums=SUMS)
    path = tmp_path / "cache" / "train-volume.tif"
    os.truncate(path, path.stat().st_size // 2)
    stacks = fetch_isbi2012(tmp_path / "cache", url=server.url, checksums=SUMS)
    np.testing.assert_array_equal(
        np.asarray(stacks["train-volume"]), STACKS["train-volume"]
    )


def test_files_put_there_by_hand_are_taken(tmp_path):
    for name in CHECKSUMS:
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, STACKS[name], photometric="minisblack")
    stacks = fetch_isbi2012(tmp_path, url="http://127.0.0.1:1/", checksums=SUMS)
    assert list(stacks) == list(CHECKSUMS)


def test_offline_is_one_clear_sentence(tmp_path):
    with pytest.raises(UNetError, match="could not be downloaded") as caught:
        fetch_isbi2012(tmp_path, url="http://127.0.0.1:1/data.zip", checksums=SUMS)
    assert str(tmp_path) in str(caught.value)
    assert listed(tmp_path) == []


def test_a_missing_archive_is_one_clear_sentence(server, tmp_path):
    with pytest.raises(UNetError, match="could not be downloaded"):
        fetch_isbi2012(tmp_path / "cache", url=server.url, checksums=SUMS)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.99])
def test_half_an_archive_leaves_nothing(server, tmp_path, keep):
    whole = archive()
    (server.folder / "data.zip").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(UNetError, match="damaged"):
        fetch_isbi2012(tmp_path / "cache", url=server.url, checksums=SUMS)
    assert listed(tmp_path / "cache") == []


def test_flipped_bits_leave_nothing(server, tmp_path):
    raw = bytearray(archive())
    raw[300:340] = bytes(255 - each for each in raw[300:340])
    (server.folder / "data.zip").write_bytes(raw)
    with pytest.raises(UNetError, match="damaged"):
        fetch_isbi2012(tmp_path / "cache", url=server.url, checksums=SUMS)
    assert listed(tmp_path / "cache") == []


def test_other_pixels_or_missing_stacks_are_refused(server, tmp_path):
    other = {**STACKS, "test-volume": STACKS["test-volume"] + 1}
    fewer = {name: STACKS[name] for name in ("train-volume", "train-labels")}
    for stacks, message in [(other, "checksum"), (fewer, r"no test-volume\.tif")]:
        (server.folder / "data.zip").write_bytes(archive(stacks=stacks))
        with pytest.raises(UNetError, match=message):
            fetch_isbi2012(tmp_path / "cache", url=server.url, checksums=SUMS)
        assert listed(tmp_path / "cache") == []


def test_the_checksum_is_that_of_the_real_stack(data_folder):
    pixels = tifffile.imread(data_folder / "isbi2012" / "test-volume.tif")
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    assert digest == CHECKSUMS["test-volume"]
