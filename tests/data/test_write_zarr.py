from __future__ import annotations

import itertools
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_unet.data import Classes
from napari_unet.data.write import chunks
from napari_unet.data.write.chunks import mean_of_four, mode_of_four
from napari_unet.data.write.layout import Layout
from napari_unet.data.write.ledger import NAME
from napari_unet.data.write.zarr_store import ZarrWriter
from napari_unet.errors import OutputExistsError, UNetError

SIZE = {"Z": 50.0, "Y": 4.0, "X": 4.5}
CLASSES = Classes((0, 255), names=("membrane", "cell"))
VERSIONS = ("0.4", "0.5")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 16)


def labels(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random(shape) > 0.5).astype(np.uint8) * 255


def layout_of(pixels, axes="ZYX", **more):
    about = {"pixel_size": SIZE, "unit": "nm", **more}
    return Layout(axes, pixels.shape, pixels.dtype.name, **about)


def pieces(shape, edge):
    rows, columns = (
        [slice(at, min(at + edge, length)) for at in range(0, length, edge)]
        for length in shape[-2:]
    )
    return list(itertools.product(*map(range, shape[:-2]), rows, columns))


def fill(writer, name, pixels, edge=13, stop=None):
    for place in pieces(pixels.shape, edge)[:stop]:
        writer.put(name, place, pixels[place])


def attributes(path, version):
    attrs = dict(zarr.open_group(path, mode="r").attrs)
    return attrs["ome"] if version == "0.5" else attrs


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_come_back_with_their_metadata(tmp_path, version):
    pixels = labels(3, 40, 60)
    path = tmp_path / "a.zarr"
    writer = ZarrWriter(
        path, {"labels": layout_of(pixels)}, {}, version=version, classes=CLASSES
    )
    assert not path.exists()
    fill(writer, "labels", pixels)
    writer.finish()
    assert [each.name for each in tmp_path.iterdir()] == ["a.zarr"]
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    array = group["labels/prediction/0"]
    assert array.chunks == (1, 20, 15)
    np.testing.assert_array_equal(array[:], pixels)
    assert attributes(path / "labels", version)["labels"] == ["prediction"]
    about = attributes(path / "labels" / "prediction", version)
    (scales,) = about["multiscales"]
    assert scales["axes"] == [
        {"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"
    ]
    first, second, *_ = scales["datasets"]
    assert [each["type"] for each in first["coordinateTransformations"]] == [
        "scale",
        "translation",
    ]
    assert first["coordinateTransformations"][0]["scale"] == [50, 4, 4.5]
    assert first["coordinateTransformations"][1]["translation"] == [0, 0, 0]
    assert second["coordinateTransformations"][0]["scale"] == [50, 8, 9]
    assert second["coordinateTransformations"][1]["translation"] == [0, 2, 2.25]
    assert about["image-label"]["properties"] == [
        {"label-value": 0, "class": "membrane"},
        {"label-value": 255, "class": "cell"},
    ]
    assert about["image-label"]["colors"][0]["rgba"] == [0, 0, 0, 0]
    # Those who look for an image find one: the labels once more.
    (image,) = attributes(path, version)["multiscales"]
    assert image["datasets"][0]["path"] == "labels/prediction/0"


@pytest.mark.parametrize("version", VERSIONS)
def test_probabilities_are_the_image(tmp_path, version):
    pixels = np.random.default_rng(0).random((2, 3, 2, 20, 33)).astype(np.float32)
    layout = layout_of(pixels, "TZCYX", channel_names=("a", "b"))
    kinds = labels(2, 3, 20, 33)
    both = {"labels": layout_of(kinds, "TZYX"), "probabilities": layout}
    path = tmp_path / "a.zarr"
    writer = ZarrWriter(path, both, {}, version=version, classes=CLASSES)
    for place in pieces(kinds.shape, 13):
        whole = (*place[:-2], slice(None), *place[-2:])
        writer.put("probabilities", whole, pixels[whole])
        writer.put("labels", place, kinds[place])
    writer.finish()
    array = zarr.open_group(path, mode="r")["0"]
    assert array.shape == (2, 2, 3, 20, 33)  # T, C, Z, Y, X
    np.testing.assert_array_equal(array[:], np.moveaxis(pixels, 2, 1))
    about = attributes(path, version)
    names = [axis["name"] for axis in about["multiscales"][0]["axes"]]
    assert names == ["t", "c", "z", "y", "x"]
    assert [each["label"] for each in about["omero"]["channels"]] == ["a", "b"]
    got = zarr.open_group(path, mode="r")["labels/prediction/0"][:]
    np.testing.assert_array_equal(got, kinds)


def test_slices_along_any_axis_find_their_place(tmp_path):
    pixels = labels(4, 2, 20, 20)  # Z before T: a volume has its Z first
    writer = ZarrWriter(
        tmp_path / "a.zarr", {"labels": layout_of(pixels, "ZTYX")}, {}, classes=CLASSES
    )
    for time, z in itertools.product(range(2), (slice(0, 3), slice(3, 4))):
        place = (z, time, slice(0, 20), slice(0, 20))
        writer.put("labels", place, pixels[place])
    writer.finish()
    got = zarr.open_group(tmp_path / "a.zarr", mode="r")["labels/prediction/0"][:]
    np.testing.assert_array_equal(got, pixels.swapaxes(0, 1))


def halved(pixels, reduce):
    pad = [(0, 0)] * (pixels.ndim - 2) + [
        (0, length % 2) for length in pixels.shape[-2:]
    ]
    return reduce(np.pad(pixels, pad, mode="edge"))


@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 17, 100), (1, 63, 65), (90, 31)])
def test_each_resolution_is_made_of_the_one_before(tmp_path, shape):
    pixels = labels(*shape)
    shares = np.random.default_rng(1).random(shape).astype(np.float32)
    axes = "ZYX"[-len(shape) :]
    layouts = {
        "labels": layout_of(pixels, axes),
        "uncertainty": layout_of(shares, axes),
    }
    writer = ZarrWriter(tmp_path / "a.zarr", layouts, {})
    fill(writer, "labels", pixels, 29)
    fill(writer, "uncertainty", shares, 29)
    writer.finish()
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    for path, whole, reduce in (
        ("labels/prediction", pixels, mode_of_four),
        ("uncertainty", shares, mean_of_four),
    ):
        level = 0
        while str(level) in group[path]:
            np.testing.assert_array_equal(group[path][str(level)][:], whole)
            whole, level = halved(whole, reduce), level + 1
        assert max(whole.shape[-2:]) <= 16
        assert level == 1 or max(group[path][str(level - 1)].shape[-2:]) <= 17


def test_halving_by_hand():
    values = np.array([[1, 2, 7, 7, 3, 4], [2, 2, 8, 8, 5, 6]], np.uint8)
    assert mode_of_four(values).tolist() == [[2, 7, 3]]
    assert mode_of_four(np.array([[1, 2], [3, 3]])).tolist() == [[3]]
    assert mode_of_four(np.array([[1, 2], [3, 2]])).tolist() == [[2]]
    assert mean_of_four(np.array([[0, 1], [2, 3]], np.float32)).tolist() == [[1.5]]


def test_region_and_unknown_sizes(tmp_path):
    pixels = labels(20, 20)
    layout = Layout("YX", pixels.shape, "uint8", start={"Y": 100, "X": 7})
    writer = ZarrWriter(tmp_path / "a.zarr", {"labels": layout}, {})
    fill(writer, "labels", pixels)
    writer.finish()
    (scales,) = attributes(tmp_path / "a.zarr", "0.5")["multiscales"]
    scale, shift = scales["datasets"][0]["coordinateTransformations"]
    assert (scale["scale"], shift["translation"]) == ([1, 1], [100, 7])
    assert "unit" not in scales["axes"][0]


@pytest.mark.parametrize("version", VERSIONS)
def test_going_on_gives_the_same_bytes(tmp_path, version):
    pixels, shares = labels(2, 40, 60), np.random.default_rng(0).random((2, 40, 60))
    shares = shares.astype(np.float32)
    layouts = {"labels": layout_of(pixels), "uncertainty": layout_of(shares)}

    def open_at(path):
        return ZarrWriter(path, layouts, {"model": 1}, version=version, classes=CLASSES)

    writer = open_at(tmp_path / "whole.zarr")
    fill(writer, "labels", pixels)
    fill(writer, "uncertainty", shares)
    writer.finish()

    path = tmp_path / "broken.zarr"
    for stop in (2, 9, 0, 17, None):
        writer = open_at(path)
        computed = 0
        for place in pieces(pixels.shape, 13)[:stop]:
            if not (writer.has("labels", place) and writer.has("uncertainty", place)):
                computed += 1
                writer.put("labels", place, pixels[place])
                writer.put("uncertainty", place, shares[place])
        if stop is not None:
            writer.abandon()
            assert not path.exists()
    assert 0 < computed < len(pieces(pixels.shape, 13))
    writer.finish()
    assert files(path) == files(tmp_path / "whole.zarr")


def test_a_damaged_chunk_does_not_count(tmp_path):
    pixels = labels(1, 16, 48)
    layouts = {"labels": layout_of(pixels)}
    writer = ZarrWriter(tmp_path / "a.zarr", layouts, {})
    fill(writer, "labels", pixels, 16, stop=2)
    writer.abandon()
    part = tmp_path / "a.zarr.part"
    first, second = (part / f"labels/prediction/0/c/0/0/{n}" for n in (0, 1))
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(bytes(len(second.read_bytes())))
    writer = ZarrWriter(tmp_path / "a.zarr", layouts, {})
    places = pieces(pixels.shape, 16)
    assert not any(writer.has("labels", place) for place in places)
    fill(writer, "labels", pixels, 16)
    writer.finish()


def test_half_a_line_is_where_it_was_killed(tmp_path):
    pixels = labels(1, 16, 48)
    layouts = {"labels": layout_of(pixels)}
    ZarrWriter(tmp_path / "a.zarr", layouts, {}).abandon()
    ledger = tmp_path / "a.zarr.part" / NAME
    with ledger.open("ab") as file:
        file.write(b'["labels/prediction/0/c/0/0/0", 12')
    writer = ZarrWriter(tmp_path / "a.zarr", layouts, {})
    fill(writer, "labels", pixels, 16, stop=1)
    writer.abandon()
    lines = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    assert lines[-1][0] == "labels/prediction/0/c/0/0/0"
    writer = ZarrWriter(tmp_path / "a.zarr", layouts, {})
    assert writer.has("labels", pieces(pixels.shape, 16)[0])
    writer.abandon()


def test_something_else_is_refused_and_may_be_overwritten(tmp_path):
    pixels = labels(1, 16, 16)
    layouts = {"labels": layout_of(pixels)}
    path = tmp_path / "a.zarr"
    writer = ZarrWriter(path, layouts, {"model": "one", "tile": 3})
    fill(writer, "labels", pixels)
    writer.abandon()
    with pytest.raises(
        OutputExistsError, match=r'model \("one" instead of "two"\).*--ov'
    ):
        ZarrWriter(path, layouts, {"model": "two", "tile": 3})
    with pytest.raises(OutputExistsError, match="ome_zarr"):
        ZarrWriter(path, layouts, {"model": "one", "tile": 3}, version="0.4")
    writer = ZarrWriter(path, layouts, {"model": "two", "tile": 3}, overwrite=True)
    assert not writer.has("labels", (0, slice(0, 16), slice(0, 16)))
    fill(writer, "labels", pixels)
    writer.finish()
    with pytest.raises(OutputExistsError, match=r"a\.zarr exists"):
        ZarrWriter(path, layouts, {})
    writer = ZarrWriter(path, layouts, {}, overwrite=True)
    assert path.exists()  # until the new one is complete
    fill(writer, "labels", 255 - pixels)
    writer.finish()
    assert [each.name for each in tmp_path.iterdir()] == ["a.zarr"]
    got = zarr.open_group(path, mode="r")["labels/prediction/0"][:]
    np.testing.assert_array_equal(got, 255 - pixels)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    part = tmp_path / "a.zarr.part"
    part.mkdir()
    (part / "precious").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UNetError, match="no unfinished result"):
            ZarrWriter(tmp_path / "a.zarr", {}, {}, overwrite=overwrite)
    assert files(part) == {"precious": b"mine"}


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    layouts = {"labels": layout_of(labels(1, 16, 16))}
    with pytest.raises(UNetError, match="could not be made"):
        ZarrWriter(tmp_path / "file" / "a.zarr", layouts, {})


def test_two_at_once_are_refused(tmp_path):
    layouts = {"labels": layout_of(labels(1, 16, 16))}
    writer = ZarrWriter(tmp_path / "a.zarr", layouts, {})
    with pytest.raises(UNetError, match="another process"):
        ZarrWriter(tmp_path / "a.zarr", layouts, {}, overwrite=True)
    writer.abandon()
    ZarrWriter(tmp_path / "a.zarr", layouts, {}).abandon()


def test_many_threads_write_one_store(tmp_path):
    pixels = labels(4, 100, 120)
    writer = ZarrWriter(tmp_path / "a.zarr", {"labels": layout_of(pixels)}, {})
    places = pieces(pixels.shape, 13)

    def work(number):
        for place in places[number::4]:
            writer.put("labels", place, pixels[place])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    writer.finish()
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(group["labels/prediction/0"][:], pixels)
    expected = halved(halved(pixels, mode_of_four), mode_of_four)
    np.testing.assert_array_equal(group["labels/prediction/2"][:], expected)


def test_full_disk_says_what_is_missing(tmp_path, monkeypatch):
    pixels = labels(1, 16, 64)
    writer = ZarrWriter(tmp_path / "a.zarr", {"labels": layout_of(pixels)}, {})
    fill(writer, "labels", pixels, 16, stop=1)

    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        UNetError, match=r"a\.zarr\.part.*No space left.*GB are missing"
    ):
        fill(writer, "labels", pixels, 16)
    monkeypatch.undo()
    monkeypatch.setattr(chunks, "CHUNK", 16)
    writer.abandon()
    writer = ZarrWriter(tmp_path / "a.zarr", {"labels": layout_of(pixels)}, {})
    assert [writer.has("labels", each) for each in pieces(pixels.shape, 16)] == [
        True,
        False,
        False,
        False,
    ]
    fill(writer, "labels", pixels, 16)
    writer.finish()
    shutil.rmtree(tmp_path / "a.zarr")
