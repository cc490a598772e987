"""Training of networks that see (Z, Y, X)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unet import Model, predict, train
from napari_unet.config import TrainingConfig
from napari_unet.data import IGNORE, Stack, open_stack
from napari_unet.errors import ConfigError, StackFormatError
from napari_unet.events import Event, StepDone, TrainingStarted, Validated
from napari_unet.training import loop
from napari_unet.training.augmentation import sampling_points
from napari_unet.training.dataset import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {
    "network": "unet-3d",
    "depth": 2,
    "width": 4,
    "patch_size": 24,
    "precision": "fp32",
    "device": "cpu",
}

STILL = TrainingConfig(
    **SMALL,
    augment="none",
    validation=0,
    loss="cross-entropy",
)


def blobs(*shape: int, seed: int = 0) -> tuple[Stack, Stack]:
    """Bright blobs in noise, and where they are."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=shape), 3)
    labels = (smooth > np.quantile(smooth, 0.7)).astype(np.uint8)
    image = (80 * labels + random.integers(0, 90, shape)).astype(np.uint8)
    return Stack(image, "ZYX"), Stack(255 * labels, "ZYX")


# -- patches -------------------------------------------------------------------------


def test_batch_of_volumes() -> None:
    data = Dataset([blobs(30, 40, 50)], STILL)
    image, labels, weights = data.batch(1)
    assert (image.shape, image.dtype) == ((2, 1, 24, 24, 24), torch.float32)
    assert (labels.shape, labels.dtype) == ((2, 24, 24, 24), torch.int64)
    assert (weights.shape, weights.dtype) == ((2, 24, 24, 24), torch.float32)
    assert image.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(
    ("z", "voxel", "depth"),
    [
        (51, {"Z": 2.0, "Y": 2.0, "X": 2.0}, 24),
        (51, {}, 24),
        (5, {}, 8),  # not deeper than the volume, but for the grid of 4
        (51, {"Z": 50.0, "Y": 4.0, "X": 4.0}, 2),
    ],
)
def test_patch_is_as_deep_as_wide_in_space(
    z: int, voxel: dict[str, float], depth: int
) -> None:
    image, labels = blobs(z, 30, 30)
    data = Dataset([(replace(image, pixel_size=voxel), labels)], STILL)
    assert data.config.patch_depth == depth
    ratio = voxel["Z"] / voxel["X"] if voxel else 1
    assert data.network.anisotropy == data.config.anisotropy == ratio
    assert data.batch(0).labels.shape[1:] == (depth, 24, 24)


def test_anisotropy_told_counts_more_than_the_pixel_size() -> None:
    image, labels = blobs(20, 30, 30)
    image = replace(image, pixel_size={"Z": 5.0, "X": 1.0})
    data = Dataset([(image, labels)], replace(STILL, anisotropy=2.0))
    assert data.network.anisotropy == 2


def test_unvaried_patches_of_volumes_are_exact_crops() -> None:
    image, labels = blobs(30, 40, 50)
    data = Dataset([(image, labels)], STILL)
    pixels = np.asarray(image).astype(np.float32)
    normal = (pixels - pixels.mean()) / pixels.std()
    places = set()
    windows = np.lib.stride_tricks.sliding_window_view(
        np.asarray(labels) // 255, (24, 24, 24)
    )
    for step in range(3):
        batch = data.batch(step)
        for values, classes in zip(batch.image, batch.labels, strict=True):
            found = np.argwhere((windows == classes.numpy()).all((-3, -2, -1)))
            assert len(found) == 1
            z, y, x = found[0]
            crop = normal[z : z + 24, y : y + 24, x : x + 24]
            np.testing.assert_allclose(values[0].numpy(), crop, atol=2e-3)
            places.add((z, y, x))
    assert len(places) > 3


def directions(config: TrainingConfig) -> set[tuple[int, ...]]:
    """Along which axes of the volume, and which way, the axes of patches lie."""
    points = sampling_points(config, 64, torch.Generator().manual_seed(0))
    found = set()
    for each in points:
        steps = torch.stack([each.diff(dim=axis).mean((0, 1, 2)) for axis in range(3)])
        assert torch.allclose(steps.abs().sum(1), torch.ones(3), atol=1e-4)
        found.add(tuple(steps.round().int().flatten().tolist()))
    return found


TURNED = replace(STILL, flip=True, rotate=True, deformed=0.0, patch_depth=24)


def test_cubes_of_voxels_are_turned_to_all_sides() -> None:
    all_ways = directions(replace(TURNED, anisotropy=1.0))
    assert len(all_ways) > 30  # of 48
    along_z = {tuple(np.abs(way[:3])) for way in all_ways}
    assert along_z == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}


def test_sections_of_deep_voxels_stay_sections() -> None:
    ways = directions(replace(TURNED, anisotropy=3.0, patch_depth=8))
    assert len(ways) == 16  # 8 in the section, and the order of the sections
    assert {tuple(np.abs(way[:3])) for way in ways} == {(1, 0, 0)}
    bent = replace(TURNED, anisotropy=3.0, deformed=1.0, elastic=3.0, scale=0.2)
    points = sampling_points(bent, 8, torch.Generator().manual_seed(0))
    depth = points[..., 0]
    torch.testing.assert_close(depth.amax((2, 3)), depth.amin((2, 3)))
    assert (points[..., 1:].std(dim=(2, 3)) > 1).all()


def test_nothing_is_invented_where_patches_are_deformed() -> None:
    labels = np.full((9, 40, 40), 2, np.uint8)
    labels[4:, :20] = 1
    image = Stack(100 * labels, "ZYX")
    config = replace(STILL, augment="strong", zero_is_unlabelled=True, intensity=0.0)
    config = replace(config, gamma=0.0, blur=0.0)
    data = Dataset([(image, Stack(labels, "ZYX"))], config)
    low, high = (
        (100 * value - 100 * labels.mean()) / (100 * labels).std() for value in (1, 2)
    )
    for step in range(4):
        batch = data.batch(step)
        assert (batch.labels < 2).all()
        assert batch.image.min() >= low - 0.01
        assert batch.image.max() <= high + 0.01


def test_sections_that_are_not_annotated_are_ignored() -> None:
    image, labels = blobs(12, 30, 30)
    mask = np.zeros((12, 30, 30), np.uint8)
    mask[5] = np.asarray(labels)[5] // 255 + 1
    config = replace(STILL, zero_is_unlabelled=True)
    data = Dataset([(image, Stack(mask, "ZYX"))], config)
    for step in range(3):
        batch = data.batch(step)
        assert batch.labels.shape[1:] == (12, 24, 24)
        annotated = batch.labels != IGNORE
        assert annotated.any(-1).any(-1).sum(1).tolist() == [1, 1]
        assert not batch.weights[~annotated].any()


def test_times_are_volumes_of_their_own() -> None:
    image, labels = blobs(24, 30, 30)
    film = np.stack([np.asarray(image)] * 2)
    masks = np.stack([np.asarray(labels), np.zeros((24, 30, 30), np.uint8)])
    data = Dataset([(Stack(film, "TZYX"), Stack(masks, "TZYX"))], STILL)
    assert data.describe_split()[0] == "volumes 0 to 1, sections 0 to 23, rows 0 to 29"
    shown = [patch.any() for step in range(8) for patch in data.batch(step).labels]
    assert 0 < sum(shown) < 16  # the second time is empty
    with pytest.raises(StackFormatError, match="no Z"):
        Dataset([(Stack(film[0], "TYX"), Stack(masks[0], "TYX"))], STILL)


def test_a_part_without_objects_is_not_held_out() -> None:
    image, labels = blobs(20, 40, 40)
    image = replace(image, pixel_size={"Z": 8.0, "X": 1.0})
    mask = np.asarray(labels).copy()
    config = replace(STILL, validation=0.2)
    data = Dataset([(image, Stack(mask, "ZYX"))], config)
    assert data.describe_split()[1] == "volume 0, sections 0 to 3, rows 0 to 39"
    mask[:4] = 0
    data = Dataset([(image, Stack(mask, "ZYX"))], config)
    assert data.describe_split()[1] == "nothing"


# -- training ------------------------------------------------------------------------


def test_a_network_for_volumes_learns() -> None:
    image, labels = blobs(16, 48, 40)
    events: list[Event] = []
    model = train(
        image, labels, steps=40, validation=0.2, on_event=events.append, **SMALL
    )
    losses = [each.loss for each in events if isinstance(each, StepDone)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])
    started = next(each for each in events if isinstance(each, TrainingStarted))
    assert started.validation == "nothing"  # it sees too far for so small a volume
    assert (model.config.dims, model.config.name) == (3, "unet-3d")
    found = predict(model, image, device="cpu", precision="fp32")
    assert (found.shape, found.dtype) == (image.shape, np.uint8)
    assert (found == np.asarray(labels)).mean() > 0.8


def test_held_out_sections_are_scored_as_a_volume() -> None:
    image, labels = blobs(20, 40, 40)
    image = replace(image, pixel_size={"Z": 8.0, "X": 1.0})
    events: list[Event] = []
    train(image, labels, steps=4, validation=0.2, on_event=events.append, **SMALL)
    started = next(each for each in events if isinstance(each, TrainingStarted))
    # It sees 2 sections up and down, which are used for neither.
    assert started.validation == "volume 0, sections 0 to 3, rows 0 to 39"
    assert started.training == "volume 0, sections 6 to 19, rows 0 to 39"
    scored = [each for each in events if isinstance(each, Validated)]
    assert scored[-1].iou.keys() == {"0", "255"}


def test_a_killed_run_on_volumes_goes_on_as_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = blobs(16, 32, 32)
    options = {**SMALL, "checkpoint_every": 0.0, "dropout": 0.2}
    whole = train(*pair, steps=6, run=tmp_path / "whole", **options)

    step = loop.Trainer._step

    def dies(self: loop.Trainer) -> StepDone:
        if self.progress.step == 3:
            raise RuntimeError("killed")
        return step(self)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(loop.Trainer, "_step", dies)
        train(*pair, steps=6, run=tmp_path / "broken", **options)
    resumed = train(*pair, steps=6, run=tmp_path / "broken", resume=True)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[name]), name
    loaded = Model.load(tmp_path / "broken")
    assert loaded.config == whole.config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_depth": 10}, r"patch_depth is 10.*multiple of 4"),
        ({"context": 1}, r"context is 1.*sees all sections"),
    ],
)
def test_options_that_do_not_suit_a_volume_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(*blobs(16, 32, 32), steps=1, **{**SMALL, **options})


def test_a_section_cannot_train_a_network_for_volumes() -> None:
    image = np.eye(64, dtype=np.uint8)
    with pytest.raises(StackFormatError, match="axes YX and no Z"):
        train(image, image, steps=1, **SMALL)


def test_real_nuclei(data_folder: Path) -> None:
    folder = data_folder / "nuclei3d_bbbc050"
    path = sorted((folder / "images").iterdir())[0]
    image = open_stack(path)
    instances = np.asarray(open_stack(folder / "instances" / path.name))
    nuclei = (instances > 0).astype(np.uint8)
    events: list[Event] = []
    model = train(
        image,
        Stack(nuclei, "ZYX"),
        steps=8,
        on_event=events.append,
        **{**SMALL, "patch_size": 32},
    )
    losses = [each.loss for each in events if isinstance(each, StepDone)]
    assert losses[-1] < losses[0]
    found = predict(model, image, device="cpu", precision="fp32")
    assert (found.shape, found.dtype) == ((51, 124, 127), np.uint8)
    assert set(np.unique(found)) <= {0, 1}
