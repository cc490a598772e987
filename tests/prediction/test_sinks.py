from __future__ import annotations

import itertools
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_unet.config import PredictionConfig
from napari_unet.data import Classes
from napari_unet.data.region import Region
from napari_unet.data.write.layout import Layout
from napari_unet.data.write.zarr_store import ZarrWriter
from napari_unet.errors import ConfigError, StackFormatError, UNetError
from napari_unet.prediction import sinks
from napari_unet.prediction.block import Block, with_classes
from napari_unet.prediction.object_blocks import ObjectBlocks
from napari_unet.prediction.objects import find_objects
from napari_unet.prediction.sinks import Background, ResultSink
from napari_unet.prediction.stores import ArrayStore, open_tiffs

CLASSES = Classes((3, 200), names=("background", "foreground"))


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not [each for each in threading.enumerate() if "results" in each.name]


# -- threads -------------------------------------------------------------------------


def block(number):
    return Block((number,), np.zeros(1, np.uint8), None, {})


def test_one_thread_keeps_the_order():
    taken = []
    beside = Background(lambda each: taken.append(each.place[0]))
    for number in range(20):
        beside.put(block(number))
    beside.join()
    beside.close()
    assert taken == list(range(20))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_network_waits_while_the_disk_is_behind(threads):
    go, taken = threading.Event(), []

    def take(each):
        go.wait()
        taken.append(each)

    beside = Background(take, threads)
    for number in range(threads + 2):
        beside.put(block(number))
    late = threading.Thread(target=lambda: beside.put(block(99)))
    late.start()
    time.sleep(0.1)
    assert late.is_alive()
    go.set()
    late.join()
    beside.join()
    beside.close()
    assert len(taken) == threads + 3


def test_an_error_comes_back_and_the_rest_is_dropped():
    taken = []

    def take(each):
        taken.append(each.place[0])
        if each.place[0] == 1:
            raise UNetError("full")

    beside = Background(take)
    with pytest.raises(UNetError, match="full"):
        for number in range(100):
            beside.put(block(number))
    beside.close()
    assert len(taken) < 10

    go = threading.Event()
    beside = Background(lambda each: go.wait() and take(each))
    beside.put(block(1))
    go.set()
    with pytest.raises(UNetError, match="full"):
        beside.join()
    beside.close()


# -- results -------------------------------------------------------------------------


def made(axes, shape, classes=2, seed=0, steps=(1, 7, 9)):
    """Probabilities (..., C, Y, X) and their blocks, as a network would give them."""
    rng = np.random.default_rng(seed)
    shares = rng.random((*shape[:-2], classes, *shape[-2:])).astype(np.float32)
    shares /= shares.sum(-3, keepdims=True)
    parts = []
    for axis, length in zip(axes, shape, strict=True):
        step = steps["ZYX".index(axis)] if axis in "ZYX" else 1
        starts = range(0, length, step)
        cuts = [slice(at, min(at + step, length)) for at in starts]
        alone = axis not in "YX" and step == 1
        parts.append(list(range(length)) if alone else cuts)
    blocks = []
    outer = [parts[axes.index(axis)] for axis in axes if axis not in "ZYX"]
    inner = [parts[axes.index(axis)] for axis in "ZYX" if axis in axes]
    order = [axis for axis in axes if axis not in "ZYX"]
    order += [axis for axis in "ZYX" if axis in axes]
    for where in itertools.product(*outer, *inner):
        place = tuple(where[order.index(axis)] for axis in axes)
        pixels = np.moveaxis(shares[with_classes(place)], -3, 0)
        maps = {"entropy": pixels.max(0)}
        blocks.append(Block(place, pixels.argmax(0).astype("u1"), pixels, maps))
    return shares, blocks


def work_of(axes, shape, classes=CLASSES):
    flat = {"Z": 1.0, "X": 1.0}
    model = SimpleNamespace(target=classes, pixel_size=flat)
    region = Region(axes, tuple((5, 5 + length) for length in shape))
    return SimpleNamespace(model=model, region=region)


def run(sink, blocks):
    try:
        for each in blocks:
            if not sink.skip(each.place):
                sink.put(each)
        sink.join()
    finally:
        sink.close()


KINDS = {"labels": "uint8", "probabilities": "float32", "uncertainty": "float32"}


def layouts_of(axes, shape, names, classes=2):
    found = {}
    for name in names:
        kind = KINDS.get(name, "int32")
        if name == "probabilities":
            whole = (*shape[:-2], classes, *shape[-2:])
            found[name] = Layout(f"{axes[:-2]}CYX", whole, kind)
        else:
            found[name] = Layout(axes, shape, kind)
    return found


CASES = [
    ("YX", (20, 25), (1, 7, 9)),
    ("ZYX", (3, 20, 25), (1, 7, 9)),
    ("ZYX", (5, 20, 25), (2, 7, 9)),
    ("TZYX", (2, 3, 10, 12), (2, 7, 9)),
    ("ZTYX", (3, 2, 10, 12), (2, 7, 9)),
]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("axes", "shape", "steps"), CASES)
@pytest.mark.parametrize("kind", ["arrays", "tiff", "zarr"])
def test_every_result_arrives_everywhere(
    tmp_path, kind, axes, shape, steps, threads, monkeypatch
):
    monkeypatch.setattr(sinks, "THREADS", threads)
    shares, blocks = made(axes, shape, steps=steps)
    names = ["labels", "probabilities", "objects", "uncertainty"]
    config = PredictionConfig(minimum_size=2)
    layouts = layouts_of(axes, shape, names)
    work = work_of(axes, shape)
    if kind == "arrays":
        arrays = {n: np.zeros(each.shape, each.dtype) for n, each in layouts.items()}
        run(ResultSink(work, config, names, ArrayStore(arrays)), blocks)
        got = arrays
    elif kind == "tiff":
        paths = {name: tmp_path / f"a.{name}.tif" for name in names}
        with open_tiffs(paths, layouts) as store:
            run(ResultSink(work, config, names, store), blocks)
            assert not any(path.exists() for path in paths.values())
        got = {
            name: tifffile.imread(path).reshape(layouts[name].shape)
            for name, path in paths.items()
        }
    else:
        import zarr

        store = ZarrWriter(tmp_path / "a.zarr", layouts, {}, classes=CLASSES)
        run(ResultSink(work, config, names, store), blocks)
        store.finish()
        group = zarr.open_group(tmp_path / "a.zarr", mode="r")
        paths = ["labels/prediction/0", "0", "labels/objects/0", "uncertainty/0"]
        got = {}
        for name, path in zip(names, paths, strict=True):
            letters = layouts[name].axes
            stored = [axis for axis in "TCZYX" if axis in letters]
            order = [stored.index(axis) for axis in letters]
            got[name] = group[path][:].transpose(order)
    np.testing.assert_array_equal(got["probabilities"], shares)
    labels = np.array([3, 200])[shares.argmax(-3)]
    np.testing.assert_array_equal(got["labels"], labels)
    np.testing.assert_array_equal(got["uncertainty"], shares.max(-3))
    np.testing.assert_array_equal(got["objects"], numbered(shares, minimum_size=2))


def numbered(shares, **options):
    """Find the objects of each section, and number on from one to the next."""
    planes, highest = [], 0
    for each in shares.reshape(-1, *shares.shape[-3:]):
        found = find_objects(each, **options)
        planes.append(np.where(found > 0, found + highest, 0))
        highest += found.max()
    return np.reshape(planes, (*shares.shape[:-3], *shares.shape[-2:]))


@pytest.mark.parametrize("steps", [(1, 7, 9), (2, 7, 9)])
@pytest.mark.parametrize("axes", ["TZYX", "ZTYX", "ZYX"])
def test_objects_of_volumes(axes, steps):
    lengths = {"T": 2, "Z": 3, "Y": 20, "X": 21}
    shape = tuple(lengths[axis] for axis in axes)
    shares, blocks = made(axes, shape, steps=steps)
    config = PredictionConfig(minimum_size=2, object_dims=3)
    store = ArrayStore({"objects": np.zeros(shape, np.int32)})
    run(ResultSink(work_of(axes, shape), config, ["objects"], store), blocks)
    found = np.moveaxis(store.arrays["objects"], axes.index("Z"), -3)
    shares = np.moveaxis(shares, axes.index("Z"), -4)
    volumes = shares.reshape(-1, *shares.shape[-4:]).swapaxes(1, 2)
    highest = 0
    for got, volume in zip(found.reshape(-1, 3, 20, 21), volumes, strict=True):
        expected = find_objects(volume, minimum_size=2)
        np.testing.assert_array_equal(got, np.where(expected, expected + highest, 0))
        highest = got.max()


def test_objects_that_cannot_be():
    config = PredictionConfig(object_dims=3)
    with pytest.raises(StackFormatError, match="no Z"):
        ObjectBlocks(
            work_of("TYX", (2, 3, 4)).model, Region("TYX", ((0, 2),) * 3), config
        )
    four = SimpleNamespace(target=Classes((1, 2, 3, 4)), pixel_size={})
    with pytest.raises(ConfigError, match="4 classes"):
        ObjectBlocks(four, Region("YX", ((0, 2),) * 2), PredictionConfig())


@pytest.mark.parametrize("stop", [0, 5, 9, 13])
def test_objects_go_on_with_their_numbers(tmp_path, stop):
    axes, shape = "ZYX", (4, 20, 25)
    shares, blocks = made(axes, shape)
    names = ["objects", "labels"]
    layouts = layouts_of(axes, shape, names)
    work, config = work_of(axes, shape), PredictionConfig(minimum_size=2)
    path = tmp_path / "a.zarr"

    store = ZarrWriter(path, layouts, {}, classes=CLASSES)
    run(ResultSink(work, config, names, store), blocks[:stop])
    store.abandon()

    store = ZarrWriter(path, layouts, {}, classes=CLASSES)
    sink = ResultSink(work, config, names, store)
    per_section = len(blocks) // 4
    skipped = [sink.skip(each.place) for each in blocks]
    done = stop // per_section * per_section
    assert skipped == [True] * done + [False] * (len(blocks) - done)
    run(sink, blocks)
    store.finish()
    import zarr

    found = zarr.open_group(path, mode="r")["labels/objects/0"][:]
    np.testing.assert_array_equal(found, numbered(shares, minimum_size=2))


def test_a_file_on_a_full_disk_says_so_and_goes(tmp_path, monkeypatch):
    from napari_unet.data.write.tiles import TileWriter

    shape = (30, 20, 25)
    _, blocks = made("ZYX", shape, steps=(1, 20, 25))
    layouts = layouts_of("ZYX", shape, ["labels", "probabilities"])
    paths = {name: tmp_path / f"a.{name}.tif" for name in layouts}
    append = TileWriter._append

    def full(self, index, encoded):
        if index[0] == 15 and len(index) == 4:
            raise OSError(28, "No space left on device")
        append(self, index, encoded)

    monkeypatch.setattr(TileWriter, "_append", full)
    with (
        pytest.raises(UNetError, match=r"probabilities\.tif.*No space.*are missing"),
        open_tiffs(paths, layouts) as store,
    ):
        run(ResultSink(work_of("ZYX", shape), PredictionConfig(), paths, store), blocks)
    assert list(tmp_path.iterdir()) == []
