from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import zarr

from napari_unet import predict
from napari_unet.config import NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack, open_stack, write_stack
from napari_unet.data.write.tiles import TileWriter
from napari_unet.errors import (
    ConfigError,
    ModelError,
    OutputExistsError,
    StackFormatError,
    UNetError,
)
from napari_unet.events import PredictionFinished, TilesDone
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction import predict_to_files
from napari_unet.prediction.objects import find_objects
from napari_unet.prediction.results import find_tiffs

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = PredictionConfig("cpu", "fp32")


def random_model(classes: Classes | None = None, channels: int = 1) -> Model:
    classes = classes or Classes((0, 255))
    config = NetworkConfig(channels, classes.n, depth=1, width=4)
    torch.manual_seed(0)
    return Model(build_network(config).eval(), config, classes)


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [each for each in threading.enumerate() if "results" in each.name]


# -- arrays --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classes",
    [
        Classes((0, 255)),
        Classes((1, 2, 3)),
        Classes((0, 1), dtype="bool"),
        Classes((7, 300, 40000), dtype="uint16"),
        Classes((-1, 4), dtype="int32"),
        Classes((1, 2), ignore=(0,)),
    ],
)
def test_labels_come_in_the_values_and_type_of_the_mask(classes: Classes) -> None:
    pixels = image(2, 40, 50)
    labels, shares = predict(
        random_model(classes), pixels, output="both", precision="fp32"
    )
    assert labels.dtype == np.dtype(classes.dtype)
    assert labels.shape == (2, 40, 50)
    assert shares.shape == (2, classes.n, 40, 50)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    expected = np.array(classes.values)[shares.argmax(axis=1)]
    np.testing.assert_array_equal(labels, expected)
    assert len(np.unique(labels)) > 1


def test_output_kinds_agree() -> None:
    model, pixels = random_model(), image(30, 20)
    labels, shares = predict(model, pixels, output="both")
    np.testing.assert_array_equal(predict(model, pixels), labels)
    np.testing.assert_array_equal(
        predict(model, pixels, output="probabilities"), shares
    )


def test_2d_image_gives_2d_labels() -> None:
    labels, shares = predict(random_model(), image(30, 20), output="both")
    assert labels.shape == (30, 20)
    assert shares.shape == (2, 30, 20)


@pytest.mark.parametrize(
    ("axes", "place"), [("YXC", (0, 1, 2)), ("CYX", (2, 0, 1)), ("YCX", (0, 2, 1))]
)
def test_channels_are_found_wherever_they_are(
    axes: str, place: tuple[int, int, int]
) -> None:
    model = random_model(channels=3)
    colours = image(24, 32, 3)
    expected = predict(model, colours, axes="YXC", precision="fp32")
    got = predict(model, colours.transpose(place), axes=axes, precision="fp32")
    np.testing.assert_array_equal(got, expected)


def test_sections_with_channels_equal_single_sections() -> None:
    model = random_model(channels=2)
    pixels = image(3, 2, 24, 32)
    pixels[:] = pixels[:1]  # the same section thrice: the same normalisation as alone
    got = predict(model, pixels, axes="ZCYX", precision="fp32")
    one = predict(model, pixels[0], axes="CYX", precision="fp32")
    assert got.shape == (3, 24, 32)
    for section in got:
        np.testing.assert_array_equal(section, one)


def test_labels_keep_the_order_of_the_axes() -> None:
    model, pixels = random_model(), image(24, 32, 5)
    got = predict(model, pixels, axes="YXZ", precision="fp32")
    expected = predict(model, pixels.transpose(2, 0, 1), axes="ZYX", precision="fp32")
    assert got.shape == (24, 32, 5)
    np.testing.assert_array_equal(got.transpose(2, 0, 1), expected)


def test_times_and_depths_are_both_looped_over() -> None:
    model, pixels = random_model(), image(2, 3, 20, 24)
    got, shares = predict(model, pixels, axes="TZYX", output="both", precision="fp32")
    flat = predict(model, pixels.reshape(6, 20, 24), axes="ZYX", precision="fp32")
    np.testing.assert_array_equal(got.reshape(6, 20, 24), flat)
    assert shares.shape == (2, 3, 2, 20, 24)


@pytest.mark.parametrize(
    "kind", ["bool", "uint16", "int32", "float16", "float32", "float64", ">u2"]
)
def test_any_number_type_can_be_predicted(kind: str) -> None:
    pixels = (image(24, 24) > 120).astype(kind)
    expected = predict(random_model(), pixels.astype(np.uint8), precision="fp32")
    np.testing.assert_array_equal(
        predict(random_model(), pixels, precision="fp32"), expected
    )


def test_pixels_that_are_no_number_do_no_harm() -> None:
    pixels = image(40, 40).astype(np.float32)
    pixels[:5] = np.nan
    pixels[5, 5] = np.inf
    shares = predict(random_model(), pixels, output="probabilities")
    assert np.isfinite(shares).all()


def test_model_may_be_a_path(tmp_path: Path) -> None:
    model = random_model()
    path = model.save(tmp_path / "model.safetensors")
    expected = predict(model, image(20, 20))
    np.testing.assert_array_equal(predict(path, image(20, 20)), expected)
    np.testing.assert_array_equal(predict(str(tmp_path), image(20, 20)), expected)


def test_wrong_input_is_told() -> None:
    with pytest.raises(ModelError, match="expects 1"):
        predict(random_model(), image(20, 20, 3), axes="YXC")
    with pytest.raises(StackFormatError, match="axes="):
        predict(random_model(), image(20, 20, 3))
    with pytest.raises(ConfigError, match="labels, probabilities, both or objects"):
        predict(random_model(), image(9, 9), output="mask")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="tile is 4"):
        predict(random_model(), image(9, 9), tile=4)


def test_events_are_handed_on() -> None:
    events: list[Any] = []
    predict(random_model(), image(2, 20, 20), on_event=events.append)
    assert isinstance(events[-1], PredictionFinished)


# -- files ---------------------------------------------------------------------------


def stack_file(folder: Path) -> Stack:
    pixels = image(3, 40, 48)
    write_stack(
        folder / "cells.ome.tif",
        pixels,
        shape=pixels.shape,
        axes="ZYX",
        dtype="uint8",
        pixel_size={"Z": 50.0, "Y": 4.0, "X": 4.5},
        unit="nm",
    )
    return open_stack(folder / "cells.ome.tif")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_files_keep_what_the_image_says(tmp_path: Path) -> None:
    model = random_model(Classes((3, 200, 1000), dtype="uint16"))
    stack, out = stack_file(tmp_path), tmp_path / "out"
    *_, last = predict_to_files(model, stack, out, CONFIG, probabilities=True)
    paths = [str(out / "cells.labels.tif"), str(out / "cells.prob.tif")]
    assert last == PredictionFinished(*paths)
    assert names(out) == ["cells.labels.tif", "cells.prob.tif"]
    labels, shares = map(open_stack, paths)
    assert (labels.axes, shares.axes) == ("ZYX", "ZCYX")
    for result in (labels, shares):
        assert dict(result.pixel_size) == {"Z": 50.0, "Y": 4.0, "X": 4.5}
        assert result.unit == "nm"
    assert shares.channel_names == ("3", "200", "1000")
    expected = predict(model, stack, output="both", precision="fp32")
    np.testing.assert_array_equal(np.asarray(labels), expected[0])
    np.testing.assert_array_equal(np.asarray(shares), expected[1])
    assert labels.dtype == np.uint16
    assert shares.dtype == np.float32


def test_without_probabilities_there_is_one_file(tmp_path: Path) -> None:
    stack, out = stack_file(tmp_path), tmp_path / "out"
    *_, last = predict_to_files(random_model(), stack, out, CONFIG)
    assert last == PredictionFinished(str(out / "cells.labels.tif"), None)
    assert names(out) == ["cells.labels.tif"]


@pytest.mark.parametrize("dims", [2, 3])
def test_objects_are_those_of_the_probabilities(tmp_path: Path, dims: int) -> None:
    model = random_model(Classes((0, 255), names=("background", "foreground")))
    stack, out = stack_file(tmp_path), tmp_path / "out"
    shares = predict(model, stack, output="probabilities", precision="fp32")
    threshold = float(np.median(shares[:, 1]))
    told = {"object_dims": dims, "object_threshold": threshold, "minimum_size": 3}
    config = PredictionConfig("cpu", "fp32", **told)
    *_, last = predict_to_files(model, stack, out, config, objects=True)
    assert last == PredictionFinished(
        str(out / "cells.labels.tif"), None, str(out / "cells.objects.tif")
    )
    assert names(out) == ["cells.labels.tif", "cells.objects.tif"]
    objects = open_stack(last.objects)
    assert (objects.axes, objects.unit, objects.dtype) == ("ZYX", "nm", np.int32)
    found = np.asarray(objects)
    by_call = predict(model, stack, output="objects", precision="fp32", **told)
    np.testing.assert_array_equal(found, by_call)
    if dims == 3:
        np.testing.assert_array_equal(
            found, find_objects(shares.swapaxes(0, 1), **told)
        )
    else:
        del told["object_dims"]
        first = find_objects(shares[0], **told)
        np.testing.assert_array_equal(found[0], first)
        assert set(np.unique(found[1])) & set(np.unique(first)) == {0}
    assert found.max() > 1


def test_objects_need_to_be_told_among_classes(tmp_path: Path) -> None:
    events = predict_to_files(
        random_model(Classes((1, 2, 3, 4))),
        stack_file(tmp_path),
        tmp_path,
        objects=True,
    )
    with pytest.raises(ConfigError, match=r"4 classes \(1, 2, 3, 4\)"):
        next(events)
    assert names(tmp_path) == ["cells.ome.tif"]


@pytest.mark.parametrize("axes", ["YX", "TZYX", "YXC"])
def test_files_of_other_axes(tmp_path: Path, axes: str) -> None:
    lengths = {"T": 2, "Z": 3, "Y": 20, "X": 24, "C": 2}
    pixels = image(*(lengths[axis] for axis in axes))
    stack = Stack(pixels, axes, name="array")
    model = random_model(channels=stack.n_channels)
    list(predict_to_files(model, stack, tmp_path, CONFIG, probabilities=True))
    labels = open_stack(tmp_path / "array.labels.tif")
    shares = open_stack(tmp_path / "array.prob.tif")
    assert labels.axes == axes.replace("C", "")
    assert shares.axes == axes.replace("C", "")[:-2] + "CYX"
    expected = predict(model, stack, output="both", precision="fp32")
    np.testing.assert_array_equal(np.asarray(labels), expected[0])
    np.testing.assert_array_equal(np.asarray(shares), expected[1])


def test_existing_file_stops_before_anything_is_computed(tmp_path: Path) -> None:
    stack, out = stack_file(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "cells.prob.tif").write_text("precious")
    model = random_model()
    model.network.register_forward_pre_hook(lambda *_: pytest.fail("computed"))
    events = predict_to_files(model, stack, out, CONFIG, probabilities=True)
    with pytest.raises(OutputExistsError, match=r"cells\.prob\.tif exists.*overwr"):
        next(events)
    assert (out / "cells.prob.tif").read_text() == "precious"


def test_overwriting_when_told_to(tmp_path: Path) -> None:
    stack, out = stack_file(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "cells.labels.tif").write_text("old")
    list(predict_to_files(random_model(), stack, out, CONFIG, overwrite=True))
    assert open_stack(out / "cells.labels.tif").shape == (3, 40, 48)


def test_the_image_is_never_replaced(tmp_path: Path) -> None:
    store, folder = tmp_path / "image.zarr", tmp_path / "sections"
    zarr.save_array(store / "raw", image(16, 16))
    for name in ("a.tif", "b.tif"):
        write_stack(
            folder / name, [image(16, 16)], shape=(16, 16), axes="YX", dtype="u1"
        )
    os.link(folder / "a.tif", tmp_path / "linked.tif")
    for source, out in [
        (store / "raw", store),  # which would go with its store
        (folder, folder / "b.tif"),
        (folder / "a.tif", tmp_path / "linked.tif"),
    ]:
        with pytest.raises(ConfigError, match="would replace the image"):
            predict(random_model(), open_stack(source), out=out, overwrite=True)


@pytest.mark.parametrize("name", ["result.tif", "result.zarr"])
def test_a_result_of_the_other_kind_is_not_replaced(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    if out.suffix == ".tif":
        out.mkdir()
    else:
        out.write_text("mine")
    with pytest.raises(ConfigError, match="choose another name"):
        predict(random_model(), image(16, 16), out=out, overwrite=True)
    assert names(tmp_path) == [name]


def events_until_tiles(out: Path, stack: Stack, **options: Any) -> Iterator[Any]:
    """Start a prediction of many batches and take it to its first tiles."""
    config = PredictionConfig("cpu", "fp32", tile=32)
    events = predict_to_files(
        random_model(), stack, out, config, probabilities=True, **options
    )
    while not isinstance(next(events), TilesDone):
        pass
    assert any(name.endswith((".tmp", ".part")) for name in names(out))
    return events


def long_stack() -> Stack:
    return Stack(image(40, 150, 150), "ZYX", name="long")


def test_closing_early_leaves_nothing(tmp_path: Path) -> None:
    events = events_until_tiles(tmp_path, long_stack())
    events.close()  # type: ignore[attr-defined]
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_error_thrown_in_leaves_nothing(
    tmp_path: Path, error: type[BaseException]
) -> None:
    events = events_until_tiles(tmp_path, long_stack())
    with pytest.raises(error):
        events.throw(error)  # type: ignore[attr-defined]
    assert names(tmp_path) == []


def test_stopping_leaves_nothing_and_no_last_event(tmp_path: Path) -> None:
    stop: list[bool] = []
    events = events_until_tiles(tmp_path, long_stack(), should_stop=lambda: bool(stop))
    stop.append(True)
    assert not any(isinstance(each, PredictionFinished) for each in events)
    assert names(tmp_path) == []


def test_stopping_keeps_the_former_result(tmp_path: Path) -> None:
    former = tmp_path / "long.labels.tif"
    former.write_text("former")
    events = events_until_tiles(tmp_path, long_stack(), overwrite=True)
    events.close()  # type: ignore[attr-defined]
    assert names(tmp_path) == ["long.labels.tif"]
    assert former.read_text() == "former"


def test_unreadable_section_leaves_nothing(tmp_path: Path) -> None:
    class Torn:
        shape, dtype, ndim = (6, 150, 150), np.dtype(np.uint8), 3
        reads = 0

        def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
            Torn.reads += 1
            if Torn.reads > 9:  # while predicting, not while measuring
                raise StackFormatError("torn")
            return np.zeros((150, 150), np.uint8)

    stack = Stack(Torn(), "ZYX", name="torn")
    with pytest.raises(StackFormatError, match="torn"):
        list(predict_to_files(random_model(), stack, tmp_path, CONFIG))
    assert names(tmp_path) == []


@pytest.mark.parametrize("pieces", [0, 3, 39])
@pytest.mark.parametrize("kind", ["labels", "prob"])
def test_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int, kind: str
) -> None:
    append = TileWriter._append

    def full(self: Any, index: Any, encoded: bytes) -> None:
        if (kind == "prob") == (len(index) == 4) and index[0] >= pieces:
            raise OSError(28, "No space left on device")
        append(self, index, encoded)

    monkeypatch.setattr(TileWriter, "_append", full)
    with pytest.raises(UNetError, match="No space left on device") as caught:
        list(
            predict_to_files(
                random_model(), long_stack(), tmp_path, CONFIG, probabilities=True
            )
        )
    assert kind in str(caught.value)
    assert names(tmp_path) == []


def test_wrong_channels_leave_nothing(tmp_path: Path) -> None:
    stack = Stack(image(20, 20, 3), "YXC", name="rgb")
    with pytest.raises(ModelError, match="channel"):
        list(predict_to_files(random_model(), stack, tmp_path / "out", CONFIG))
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.tif", "a"),
        ("a.b.TIFF", "a.b"),
        ("a.ome.tif", "a"),
        ("a.png", "a"),
        ("folder", "folder"),
        ("", "prediction"),
    ],
)
def test_names_of_results(name: str, stem: str) -> None:
    found = find_tiffs(name, Path("out"), ["labels", "probabilities"])
    assert found["labels"] == Path("out") / f"{stem}.labels.tif"
    assert found["probabilities"] == Path("out") / f"{stem}.prob.tif"
