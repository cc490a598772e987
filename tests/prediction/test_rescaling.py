"""Images whose pixels are not of the size that a model was trained at."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet import predict, predict_lazy
from napari_unet.cli import main
from napari_unet.config import NetworkConfig, PredictionConfig
from napari_unet.data import Classes, Stack, open_stack, write_stack
from napari_unet.data.region import Region, find_region
from napari_unet.data.rescale import Resampled, nearest, resample
from napari_unet.errors import ModelError, StackFormatError
from napari_unet.events import PredictionFinished, PredictionStarted
from napari_unet.model import Model
from napari_unet.networks import build_network
from napari_unet.prediction.block import Block
from napari_unet.prediction.engine import prepare
from napari_unet.prediction.lazy import LazyPrediction
from napari_unet.prediction.pixel_size import scale_remark
from napari_unet.prediction.rescaling import Rescaling, rescaling
from napari_unet.prediction.to_files import predict_to_files

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sized(sizes: dict[str, float], unit: str | None = "nm", dims: int = 2) -> Any:
    """Return what is asked of a model."""
    return SimpleNamespace(
        pixel_size=sizes, unit=unit, name="m", config=SimpleNamespace(dims=dims)
    )


def image(*shape: int, size: float = 4.0, unit: str | None = "nm") -> Stack:
    axes = "TZYX"[-len(shape) :]
    pixels = np.random.default_rng(shape).integers(0, 255, shape).astype(np.uint8)
    return Stack(pixels, axes, dict.fromkeys("YX", size), unit, "brain")


# -- what is said --------------------------------------------------------------------


def test_a_remark_names_both_sizes_and_the_way_out() -> None:
    assert scale_remark(sized({"Y": 4, "X": 4}), image(8, 8, size=8)) == (
        "The pixels of brain are 8 × 8 nm, but the model was trained at 4 × 4 nm, so "
        "that things look larger or smaller to it than those it learnt. To match it: "
        "--rescale (rescale=True)."
    )


@pytest.mark.parametrize(
    ("size", "unit", "differs"),
    [
        (0.004, "µm", False),
        (4.3, "nm", False),
        (4.5, "nm", True),
        (3.5, "nm", True),
        (4e-6, "mm", False),
        (8e-6, "mm", True),
        (40.0, "Å", False),
        (9.0, None, False),
        (9.0, "cubit", False),
    ],
)
def test_units_are_converted_and_a_tenth_is_tolerated(
    size: float, unit: str | None, differs: bool
) -> None:
    stack = image(8, 8, size=size, unit=unit)
    assert bool(scale_remark(sized({"Y": 4, "X": 4}), stack)) == differs


def test_depth_counts_for_volumes_only() -> None:
    sizes = {"Z": 50.0, "Y": 4.0, "X": 4.0}
    stack = replace(image(6, 8, 8), pixel_size={**sizes, "Z": 25.0})
    assert not scale_remark(sized(sizes), stack)
    assert "25 × 4 × 4 nm" in scale_remark(sized(sizes, dims=3), stack)


def test_what_cannot_be_matched_is_refused() -> None:
    stack = image(8, 8)
    region = find_region(stack)
    with pytest.raises(ModelError, match="The model m does not say how large"):
        rescaling(sized({}), stack, region)
    with pytest.raises(StackFormatError, match="brain does not say how large"):
        rescaling(sized({"Y": 4, "X": 4}), image(8, 8, unit=None), region)
    with pytest.raises(StackFormatError, match="wrong unit"):
        rescaling(sized({"Y": 4, "X": 4}, "µm"), stack, region)
    assert rescaling(sized({"Y": 4, "X": 4}), stack, region) is None


# -- there and back ------------------------------------------------------------------


def tiles_of(shape: tuple[int, ...], edges: tuple[int, ...]) -> list[tuple[slice, ...]]:
    along = [
        [slice(a, min(a + edge, n)) for a in range(0, n, edge)]
        for n, edge in zip(shape, edges, strict=True)
    ]
    return list(product(*along))


def blocks_of(
    grid: Rescaling, edges: tuple[int, ...], labels: NDArray[Any], shares: NDArray[Any]
) -> list[Block | int]:
    """Cut what a network would say of the whole of its grid into blocks of a region."""
    dims, bounds = grid.dims, grid.region.bounds
    loops, box = bounds[:-dims], bounds[-dims:]
    blocks: list[Block | int] = []
    for frame in product(*(range(stop - start) for start, stop in loops)):
        at = tuple(i + start for i, (start, _) in zip(frame, loops, strict=True))
        inner = tuple(slice(*each) for each in box)
        plane, share = labels[at][inner], shares[(slice(None), *at)][:, *inner]
        for tile in tiles_of(plane.shape, edges):
            maps = {"entropy": share[0][tile]}
            part = Block((*frame, *tile), plane[tile], share[:, *tile], maps)
            blocks += [part, 1]
    return blocks


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_blocks_come_back_as_the_whole_would(data: st.DataObject) -> None:
    dims = data.draw(st.sampled_from([2, 3]))
    shape = data.draw(
        st.tuples(*[st.integers(1, 2)] * (4 - dims), *[st.integers(1, 12)] * dims)
    )
    lengths = {a: data.draw(st.integers(1, 20)) for a in "ZYX"[-dims:]}
    region = []
    for length in shape:
        start = data.draw(st.integers(0, length - 1))
        region.append((start, data.draw(st.integers(start + 1, length))))
    edges = data.draw(st.tuples(*[st.integers(1, 9)] * dims))
    stack = Stack(np.zeros(shape, np.uint8), "TZYX")
    grid = _grid(stack, lengths, Region("TZYX", tuple(region)), dims)
    coarse = grid.stack.shape
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, coarse).astype(np.uint8)
    shares = random.random((2, *coarse), np.float32)
    box = tuple(slice(*each) for each in region)
    expected = labels
    for axis in range(4):
        index = nearest(coarse[axis], shape[axis], np.arange(shape[axis]))
        expected = np.take(expected, index, axis)
    wide = np.stack([Resampled(each, shape)[:] for each in shares])

    found = np.full(grid.target.shape, 9, np.uint8)
    found_shares = np.zeros((2, *grid.target.shape), np.float32)
    entropy = np.zeros(grid.target.shape, np.float32)
    times = np.zeros(grid.target.shape, int)
    passed = 0
    for each in grid.back(blocks_of(grid, edges, labels, shares), lambda place: False):
        if isinstance(each, int):
            passed += each
            continue
        assert each.probabilities is not None
        found[each.place] = each.labels
        found_shares[:, *each.place] = each.probabilities
        entropy[each.place] = each.maps["entropy"]
        times[each.place] += 1
    assert (times == 1).all()
    assert passed > 0
    np.testing.assert_array_equal(found, expected[box])
    np.testing.assert_allclose(found_shares, wide[:, *box], atol=1e-6)
    np.testing.assert_allclose(entropy, wide[0][box], atol=1e-6)


def _grid(
    stack: Stack, lengths: dict[str, int], region: Region, dims: int
) -> Rescaling:
    """Make the grid as `rescaling` does, of lengths instead of sizes."""
    olds = dict(zip(stack.axes, stack.shape, strict=True))
    model = sized({axis: olds[axis] / n for axis, n in lengths.items()}, dims=dims)
    known = replace(stack, pixel_size=dict.fromkeys(lengths, 1.0), unit="nm")
    grid = rescaling(model, known, region)
    return grid or Rescaling(known, known, region, region, dims)


def test_only_a_band_is_in_memory() -> None:
    stack = image(1, 1, 40, 8)
    region = find_region(stack)
    grid = rescaling(sized({"Y": 8, "X": 8}), stack, region)
    assert grid is not None and grid.stack.shape == (1, 1, 20, 4)
    labels, shares = np.zeros((1, 1, 20, 4), np.uint8), np.zeros((2, 1, 1, 20, 4))
    rows = []
    for each in grid.back(blocks_of(grid, (5, 2), labels, shares), lambda place: False):
        if isinstance(each, Block):
            rows.append(each.place[2])
    # The last row of a band waits for the one below it.
    assert rows == [slice(0, 9), slice(9, 19), slice(19, 29), slice(29, 40)]


def test_bands_that_are_there_are_skipped() -> None:
    stack = image(1, 1, 8, 8)
    grid = rescaling(sized({"Y": 2, "X": 2}), stack, find_region(stack))
    assert grid is not None
    labels, shares = np.zeros((1, 1, 16, 16), np.uint8), np.zeros((1, 1, 1, 16, 16))
    blocks = blocks_of(grid, (8, 8), labels, shares)
    places = [
        b.place for b in grid.back(blocks, lambda p: False) if isinstance(b, Block)
    ]
    kept = list(grid.back(blocks, lambda place: place == places[0]))
    assert [b.place for b in kept if isinstance(b, Block)] == places[1:]


# -- with a network ------------------------------------------------------------------


def model(dims: int = 2, classes: int = 3) -> Model:
    torch.manual_seed(0)
    config = NetworkConfig(depth=1, width=4, dims=dims, classes=classes)
    sizes = {"Z": 8.0, "Y": 8.0, "X": 8.0}
    values = tuple(range(0, 10 * classes, 10))
    names = tuple(map(str, values))
    return Model(
        build_network(config).eval(), config, Classes(values, names), sizes, "nm", "m"
    )


@pytest.mark.parametrize("dims", [2, 3])
def test_rescaled_is_predicted_on_the_models_grid(dims: int) -> None:
    stack = replace(image(6, 40, 52), pixel_size=dict.fromkeys("ZYX", 0.004), unit="µm")
    network = model(dims)
    options = {"precision": "fp32", "output": "both"}
    labels, shares = predict(network, stack, rescale=True, **options)
    half = {axis: n // 2 for axis, n in zip("ZYX", stack.shape, strict=True)}
    coarse = resample(stack, {axis: half[axis] for axis in "ZYX"[-dims:]})
    expected, coarse_shares = predict(network, coarse, **options)
    for axis in range(3):
        old, new = coarse.shape[axis], stack.shape[axis]
        expected = np.take(expected, nearest(old, new, np.arange(new)), axis)
    np.testing.assert_array_equal(labels, expected)
    for channel in range(3):
        wide = Resampled(coarse_shares[:, channel], stack.shape)[:]
        np.testing.assert_allclose(shares[:, channel], wide, atol=1e-5)
    tiled, tiled_shares = predict(network, stack, rescale=True, tile=16, **options)
    np.testing.assert_allclose(tiled_shares, shares, atol=1e-5)
    assert (tiled == labels).mean() > 0.999


def test_a_region_is_a_part_of_the_whole() -> None:
    stack, config = image(40, 52), PredictionConfig(precision="fp32", rescale=True)
    network = model()

    def shares_of(region: str | None) -> NDArray[np.float32]:
        work = prepare(network, stack, config, region)
        found = np.empty((3, *work.region.shape), np.float32)
        for each in work.blocks(probabilities=True):
            if isinstance(each, Block):
                found[:, *each.place] = each.probabilities
        return found

    np.testing.assert_allclose(
        shares_of("7:30,11:40"), shares_of(None)[:, 7:30, 11:40], atol=1e-5
    )


def test_values_of_a_regression_are_interpolated() -> None:
    stack = image(24, 24)
    network = model(classes=1)
    network = replace(network, classes=None, scale=_scale())
    values = predict(network, stack, rescale=True, precision="fp32")
    coarse = predict(network, resample(stack, {"Y": 12, "X": 12}), precision="fp32")
    np.testing.assert_allclose(values, Resampled(coarse, (24, 24))[:], rtol=1e-4)


def _scale() -> Any:
    from napari_unet.data.masks.scale import Scale

    return Scale(10.0, 2.0)


def test_the_start_of_a_prediction_says_so() -> None:
    def remarks(**options: Any) -> list[str]:
        events: list[Any] = []
        predict(model(), image(16, 16), on_event=events.append, **options)
        (started,) = [each for each in events if isinstance(each, PredictionStarted)]
        return started.remarks

    (remark,) = remarks()
    assert "4 × 4 nm" in remark and "8 × 8 nm" in remark and "--rescale" in remark
    assert remarks(rescale=True) == []


@pytest.mark.parametrize("dims", [2, 3])
def test_a_stopped_one_goes_on_to_the_same_bytes(tmp_path: Path, dims: int) -> None:
    stack = replace(image(3, 60, 52), pixel_size=dict.fromkeys("ZYX", 4.0))
    config = PredictionConfig(precision="fp32", rescale=True, tile=16)

    def run(name: str, stop_after: int = 10**6) -> list[Any]:
        seen: list[Any] = []
        events = predict_to_files(
            model(dims),
            stack,
            tmp_path / f"{name}.zarr",
            config,
            probabilities=True,
            should_stop=lambda: len(seen) >= stop_after,
        )
        for event in events:
            seen.append(event)
        return seen

    whole = run("whole")
    assert isinstance(whole[-1], PredictionFinished)
    broken = run("broken", stop_after=len(whole) // 2)
    assert not isinstance(broken[-1], PredictionFinished)
    assert isinstance(run("broken")[-1], PredictionFinished)
    store = tmp_path / "whole.zarr"
    chunks = [each for each in store.rglob("c/**/*") if each.is_file()]
    assert len(chunks) > 2
    for each in chunks:
        other = tmp_path / "broken.zarr" / each.relative_to(store)
        assert each.read_bytes() == other.read_bytes()
    labels = open_stack(Path(whole[-1].labels))
    expected = predict(model(dims), stack, rescale=True, precision="fp32", tile=16)
    np.testing.assert_array_equal(np.asarray(labels), expected)


class Recording:
    """Pixels that note which of them were read."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.pixels, self.shape = pixels, pixels.shape
        self.dtype, self.ndim = pixels.dtype, pixels.ndim
        self.known = np.zeros(pixels.shape, bool)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        self.known[key] = True
        return self.pixels[key]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("size", [4.0, 11.0])
def test_a_lazy_prediction_is_rescaled_likewise(dims: int, size: float) -> None:
    stack = replace(image(3, 50, 60), pixel_size=dict.fromkeys("ZYX", size))
    options = {"rescale": True, "precision": "fp32", "tile": 32}
    lazy = predict_lazy(model(dims), stack, output="probabilities", **options)
    whole = predict(model(dims), stack, output="probabilities", **options)
    np.testing.assert_allclose(np.asarray(lazy), whole, atol=1e-5)
    assert lazy.npartitions > 3


def test_a_lazy_prediction_reads_no_farther_than_it_says() -> None:
    stack = image(200, 240)
    pixels = Recording(np.asarray(stack.pixels))
    config = PredictionConfig(rescale=True, precision="fp32", tile=16)
    work = LazyPrediction(
        prepare(model(), replace(stack, pixels=pixels), config), "labels"
    )
    reach = work.reach()
    assert max(reach) < 60
    for rows, columns in [(work.cuts[0][:2], work.cuts[1][2:4]), ((90, 97), (0, 9))]:
        pixels.known[:] = False
        work(Region("YX", (tuple(rows), tuple(columns))))
        rows_read, columns_read = np.nonzero(pixels.known)
        assert rows_read.min() >= max(0, rows[0] - reach[0])
        assert rows_read.max() < rows[1] + reach[0]
        assert columns_read.min() >= max(0, columns[0] - reach[1])
        assert columns_read.max() < columns[1] + reach[1]


def test_from_the_command_line(tmp_path: Path) -> None:
    network = model()
    network.save(tmp_path / "m.safetensors")
    stack = image(3, 20, 24)
    write_stack(
        tmp_path / "a.tif",
        np.asarray(stack.pixels),
        shape=stack.shape,
        axes="ZYX",
        dtype="uint8",
        pixel_size={"Y": 4.0, "X": 4.0},
        unit="nm",
    )
    command = ["predict", str(tmp_path / "m.safetensors"), str(tmp_path / "a.tif")]
    options = ["--out", str(tmp_path), "--rescale", "--precision=fp32", "--quiet"]
    assert main([*command, *options]) == 0
    labels = open_stack(tmp_path / "a.labels.tif")
    assert (labels.shape, labels.pixel_size["X"]) == ((3, 20, 24), 4)
    expected = predict(network, stack, rescale=True, precision="fp32")
    np.testing.assert_array_equal(np.asarray(labels), expected)
