from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.config import TrainingConfig
from napari_unet.data import IGNORE, Stack
from napari_unet.errors import MaskError, TrainingError
from napari_unet.networks import measure_geometry, network_config
from napari_unet.training.dataset import Dataset

STILL = TrainingConfig(
    depth=1,
    width=2,
    patch_size=16,
    batch_size=3,
    flip=False,
    rotate=False,
    scale=0,
    elastic=0,
    intensity=0,
    validation=0,
    border_weight=0,
    class_balance=False,
)


def pair(*shape: int, seed: int = 0) -> tuple[Stack, Stack]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, shape).astype(np.uint8)
    image = (100 * labels + random.integers(0, 20, shape)).astype(np.uint8)
    axes = "ZYX"[-len(shape) :]
    return Stack(image, axes), Stack(255 * labels, axes)


def test_an_epoch_covers_the_annotated_pixels() -> None:
    image, labels = pair(2, 48, 48)
    assert Dataset([(image, labels)], STILL).steps_to_cover == math.ceil(
        2 * 48 * 48 / (3 * STILL.patch_size**2)  # type: ignore[operator]
    )
    unpadded = replace(STILL, network="unet-2015", depth=1, width=2, patch_size=20)
    assert measure_geometry(network_config(unpadded, 1, 2)).crop == 8
    found = Dataset([(image, labels)], unpadded).steps_to_cover
    assert found == math.ceil(2 * 48 * 48 / (3 * 4 * 4))


# -- the split -----------------------------------------------------------------------


def test_margin_is_at_least_what_the_network_sees() -> None:
    config = replace(STILL, depth=2, validation=0.2)
    data = Dataset([pair(200, 64)], config)
    radius = measure_geometry(network_config(config, 1, 2)).radius
    split = data.splits[0]
    assert split.validation_rows == (160, 200)
    assert split.training_rows == (0, 160 - radius)


def test_patches_hold_no_pixel_of_the_validation() -> None:
    image, labels = pair(6, 40, 40)
    marked = np.asarray(image).copy()
    marked[0] = 255  # sections held out shine
    data = Dataset([(Stack(marked, "ZYX"), labels)], replace(STILL, validation=0.1))
    assert data.splits[0].validation == (0,)
    shine = float(data.held_out[0].image.min())
    for step in range(20):
        assert data.batch(step).image.max() < shine - 0.1

    image, labels = pair(200, 40)
    marked = np.asarray(image).copy()
    marked[150:] = 255
    data = Dataset([(Stack(marked, "YX"), labels)], replace(STILL, validation=0.25))
    assert data.splits[0].validation_rows == (150, 200)
    shine = float(data.held_out[0].image.min())
    for step in range(20):
        assert data.batch(step).image.max() < shine - 0.1


def test_validation_is_normalised_with_the_image_and_labels_are_classes() -> None:
    image, labels = pair(5, 24, 30)
    data = Dataset([(image, labels)], replace(STILL, validation=0.2))
    pixels = np.asarray(image).astype(float)
    normal = (pixels - pixels.mean()) / pixels.std()
    assert data.held_out[0].image.shape == (1, 1, 24, 30)
    np.testing.assert_allclose(data.held_out[0].image[0, 0], normal[0], atol=2e-3)
    np.testing.assert_array_equal(
        data.held_out[0].labels[0], np.asarray(labels)[0] // 255
    )


def test_scribbles_on_some_sections_only() -> None:
    random = np.random.default_rng(0)
    labels = np.zeros((9, 40, 40), np.uint8)
    for index in (1, 2, 5, 6, 8):
        labels[index, 4:8, 4:30] = 1
        labels[index, 20:24, 4:30] = 2
    image = Stack(random.integers(0, 255, labels.shape).astype(np.uint8), "ZYX")
    config = replace(STILL, zero_is_unlabelled=True, validation=0.2)
    data = Dataset([(image, Stack(labels, "ZYX"))], config)
    assert data.splits[0].training == (2, 5, 6, 8)
    assert data.splits[0].validation == (1,)
    assert data.target.values == (1, 2)
    assert (data.held_out[0].labels[0] != IGNORE).sum() == 2 * 4 * 26


@pytest.mark.parametrize(
    ("rows", "told", "held_out"),
    [
        (4, {}, 0.0),
        (40, {}, 0.1),
        (4, {"validation": 0.2}, 0.2),
        (4, {"patience": 2}, 0.1),
        (4, {"schedule": "plateau"}, 0.1),
    ],
)
def test_of_a_few_strokes_all_train_unless_told_otherwise(
    rows: int, told: dict[str, Any], held_out: float
) -> None:
    labels = np.full((12, 48, 48), 254, np.uint8)  # as of corrections
    labels[:, 2 : 2 + rows, 4:16] = 1
    labels[:, 2 : 2 + rows, 24:36] = 0
    random = np.random.default_rng(0)
    image = Stack(random.integers(0, 255, labels.shape).astype(np.uint8), "ZYX")
    config = replace(STILL, ignore=(254,), validation=None)
    data = Dataset([(image, Stack(labels, "ZYX"))], replace(config, **told))
    assert data.config.validation == held_out
    assert len(data.splits[0].validation) == round(held_out * 12)
    strokes = 2 * rows * 12 / 48**2
    assert math.isclose(data._sections[0].share_annotated, strokes)


def test_nothing_is_held_out_where_it_could_not_be_scored() -> None:
    labels = np.zeros((200, 40), np.uint8)
    labels[5:9, 5:20] = 1
    labels[20:24, 5:20] = 2
    image = np.random.default_rng(0).random((200, 40)).astype(np.float32)
    config = replace(STILL, zero_is_unlabelled=True, validation=0.2)
    data = Dataset([(Stack(image, "YX"), Stack(labels, "YX"))], config)
    assert data.describe_split() == ("section 0, rows 0 to 199", "nothing")


def test_class_that_is_only_held_out_is_told() -> None:
    image, labels = pair(5, 24, 24)
    mask = np.asarray(labels).copy()
    mask[0, :5] = 77
    config = replace(STILL, validation=0.2)
    with pytest.raises(TrainingError, match=r"\[77\] occur only in the part held out"):
        Dataset([(image, Stack(mask, "ZYX"))], config)


# -- patches -------------------------------------------------------------------------


def test_batch_shapes_and_types() -> None:
    data = Dataset([pair(3, 40, 50)], STILL)
    image, labels, weights = data.batch(1)
    assert (image.shape, image.dtype) == ((3, 1, 16, 16), torch.float32)
    assert (labels.shape, labels.dtype) == ((3, 16, 16), torch.int64)
    assert (weights.shape, weights.dtype) == ((3, 16, 16), torch.float32)
    assert image.is_contiguous(memory_format=torch.channels_last)


def test_same_seed_and_step_same_batch() -> None:
    config = replace(STILL, rotate=True, elastic=2.0, intensity=0.2, flip=True)
    one, other = (Dataset([pair(3, 40, 50)], config) for _ in range(2))
    other.batch(6)  # what was drawn before does not matter
    for mine, its in zip(one.batch(7), other.batch(7), strict=True):
        assert torch.equal(mine, its)
    assert not torch.equal(one.batch(7).image, one.batch(8).image)
    seeded = Dataset([pair(3, 40, 50)], replace(config, seed=1))
    assert not torch.equal(one.batch(7).image, seeded.batch(7).image)


def find(patch: np.ndarray, sections: np.ndarray) -> list[tuple[int, int, int]]:
    """Where a patch lies in a stack, exactly."""
    windows = np.lib.stride_tricks.sliding_window_view(sections, patch.shape, (1, 2))
    return [tuple(place) for place in np.argwhere((windows == patch).all((-2, -1)))]


def test_unchanged_patches_are_exact_crops() -> None:
    image, labels = pair(3, 40, 51)
    data = Dataset([(image, labels)], STILL)
    pixels = np.asarray(image).astype(np.float32)
    normal = (pixels - pixels.mean()) / pixels.std()
    places = set()
    for step in range(12):
        batch = data.batch(step)
        for values, classes in zip(batch.image, batch.labels, strict=True):
            found = find(255 * classes.numpy(), np.asarray(labels))
            assert len(found) == 1
            section, top, left = found[0]
            crop = normal[section, top : top + 16, left : left + 16]
            np.testing.assert_allclose(values[0].numpy(), crop, atol=2e-3)
            places.add(found[0])
    assert len(places) > 30
    assert {section for section, _, _ in places} == {0, 1, 2}
    assert min(top for _, top, _ in places) < 4
    assert max(left for _, _, left in places) > 51 - 16 - 4


@pytest.mark.parametrize("shape", [(9, 11), (16, 16), (1, 1), (15, 40), (8, 17)])
def test_sections_smaller_than_a_patch_are_mirrored(shape: tuple[int, int]) -> None:
    labels = np.indices((2, *shape)).sum(0) % 2
    image = Stack((100 * labels).astype(np.uint8), "ZYX")
    data = Dataset([(image, Stack(labels.astype(np.uint8), "ZYX"))], STILL)
    batch = data.batch(0)
    assert (batch.labels < 2).all()
    np.testing.assert_array_equal(
        (batch.image[:, 0] > 0).numpy(), batch.labels.numpy() == 1
    )


@pytest.mark.parametrize("place", [(0, 0), (59, 63), (31, 2), (30, 30)])
def test_patches_hold_annotated_pixels(place: tuple[int, int]) -> None:
    labels = np.zeros((60, 64), np.uint8)
    labels[place] = 1
    labels[place[0] ^ 1, place[1]] = 2
    image = np.random.default_rng(0).random(labels.shape).astype(np.float32)
    config = replace(STILL, zero_is_unlabelled=True)
    data = Dataset([(Stack(image, "YX"), Stack(labels, "YX"))], config)
    for step in range(10):
        batch = data.batch(step)
        annotated = (batch.labels != IGNORE).flatten(1).sum(1)
        assert (annotated > 0).all()
        assert not batch.weights[batch.labels == IGNORE].any()
        assert (batch.weights[batch.labels != IGNORE] == 1).all()


def test_scribbles_are_met_when_patches_are_turned() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[40, 30:60] = 1
    labels[70, 30:60] = 2
    image = np.random.default_rng(0).random(labels.shape).astype(np.float32)
    config = replace(
        STILL, zero_is_unlabelled=True, rotate=True, scale=0.1, patch_size=32
    )
    data = Dataset([(Stack(image, "YX"), Stack(labels, "YX"))], config)
    for step in range(20):
        annotated = (data.batch(step).labels != IGNORE).flatten(1).sum(1)
        assert (annotated > 0).all()


@pytest.mark.parametrize("kind", ["bool", "uint16", "int32", "float32", "float64"])
def test_any_number_type_gives_the_same_patches(kind: str) -> None:
    image, labels = pair(2, 30, 30)
    flat = (np.asarray(image) > 60).astype(np.uint8)
    expected = Dataset([(Stack(flat, "ZYX"), labels)], STILL).batch(1)
    got = Dataset([(Stack(flat.astype(kind), "ZYX"), labels)], STILL).batch(1)
    torch.testing.assert_close(got.image, expected.image, rtol=0, atol=1e-3)
    assert torch.equal(got.labels, expected.labels)


def test_pixels_that_are_no_number_become_the_mean() -> None:
    image, labels = pair(2, 30, 30)
    pixels = np.asarray(image).astype(np.float32)
    pixels[0, :10] = np.nan
    pixels[1, 0, 0] = np.inf
    data = Dataset([(Stack(pixels, "ZYX"), labels)], STILL)
    for step in range(5):
        assert torch.isfinite(data.batch(step).image).all()


def test_channels_are_kept_apart() -> None:
    _, labels = pair(3, 30, 30)
    mask = np.asarray(labels)
    colours = np.stack([mask, 255 - mask], axis=-1)
    data = Dataset([(Stack(colours, "ZYXC"), labels)], STILL)
    image, classes, _ = data.batch(3)
    assert image.shape == (3, 2, 16, 16)
    assert torch.equal(image[:, 0] > 0, classes == 1)
    assert torch.equal(image[:, 1] > 0, classes == 0)


def test_mask_of_another_size_is_refused() -> None:
    image, _ = pair(3, 30, 30)
    _, labels = pair(3, 30, 31)
    with pytest.raises(MaskError, match="30, 31"):
        Dataset([(image, labels)], STILL)


def test_digest_tells_data_apart() -> None:
    image, labels = pair(3, 30, 30)

    def digest(image: Stack, labels: Stack, **changes: Any) -> str:
        return Dataset([(image, labels)], replace(STILL, **changes)).digest

    first = digest(image, labels)
    assert first == digest(*pair(3, 30, 30), seed=4)
    pixels = np.asarray(image).copy()
    pixels[2, 29, 29] ^= 1
    assert digest(Stack(pixels, "ZYX"), labels) != first
    mask = np.asarray(labels).copy()
    mask[0, 0, 0] = 255 - mask[0, 0, 0]
    assert digest(image, Stack(mask, "ZYX")) != first


def test_digest_covers_what_only_sets_the_normalisation() -> None:
    labels = np.zeros((3, 30, 30), np.uint8)
    labels[0, :5], labels[0, 10:20] = 1, 2
    image = np.random.default_rng(0).integers(0, 99, labels.shape).astype(np.uint8)
    config = replace(STILL, zero_is_unlabelled=True)
    one = Dataset([(Stack(image, "ZYX"), Stack(labels, "ZYX"))], config)
    image[2] *= 2  # not annotated, but part of the mean and the deviation
    other = Dataset([(Stack(image, "ZYX"), Stack(labels, "ZYX"))], config)
    assert one.digest != other.digest


# -- several images ------------------------------------------------------------------


def test_images_of_several_sizes_are_normalised_alone() -> None:
    pairs = [pair(20, 30, seed=i) for i in range(4)] + [pair(2, 50, 17, seed=9)]
    bright = [
        (Stack(np.asarray(i) * 1.0 + 1000 * n, i.axes), m)
        for n, (i, m) in enumerate(pairs)
    ]
    data = Dataset(bright, replace(STILL, validation=0.2))
    assert [len(part.labels) for part in data.held_out] == [1]
    shapes = set()
    for image, labels in ((e.image, e.labels) for e in data.patches.sources.values()):
        shapes.add(labels.shape)
        assert abs(float(image.float().mean())) < 0.1
        assert torch.equal(image[0] > 0, torch.from_numpy(labels == 1))
    assert shapes == {(20, 30), (50, 17)}
    for step in range(4):
        batch = data.batch(step)
        assert torch.equal(batch.image[:, 0] > 0, batch.labels == 1)


def test_first_images_are_held_out_and_named() -> None:
    pairs = [
        (replace(i, name=f"cell {n}"), m)
        for n, (i, m) in enumerate(pair(20, 24, seed=n) for n in range(10))
    ]
    data = Dataset(pairs, replace(STILL, validation=0.2))
    assert data.describe_split() == (
        "8 images (cell 2, cell 3, cell 4, cell 5 and 4 more)",
        "2 images (cell 0, cell 1)",
    )
    assert len(data.held_out) == 2
    np.testing.assert_array_equal(
        data.held_out[1].labels[0], np.asarray(pairs[1][1]) // 255
    )


def test_other_images_to_judge_by_leave_all_for_training() -> None:
    pairs, others = [pair(20, 24)], [pair(30, 16, seed=1), pair(8, 8, seed=2)]
    data = Dataset(pairs, replace(STILL, validation=0.5), others)
    assert data.describe_split() == ("1 image (0)", "2 images (1, 2)")
    assert [part.image.shape for part in data.held_out] == [
        (1, 1, 30, 16),
        (1, 1, 8, 8),
    ]
    assert [each.labels.shape for each in data.patches.sources.values()] == [(20, 24)]
    assert data.digest != Dataset(pairs, STILL).digest


def test_every_annotated_pixel_counts_alike() -> None:
    small, large = pair(16, 16), pair(48, 48, seed=1)  # 4 and 36 blocks
    few = np.zeros((48, 48), np.uint8)
    few[:8, :8] = np.asarray(pair(8, 8)[1]) // 255 + 1  # 1 block
    scribbled = (large[0], Stack(few, "YX"))
    pairs = [(i, Stack(np.asarray(m) // 255 + 1, "YX")) for i, m in (small, large)]
    config = replace(STILL, zero_is_unlabelled=True, batch_size=8)
    data = Dataset([*pairs, scribbled], config)
    drawn = [0, 0, 0]
    for step in range(50):
        for labels in data.batch(step).labels:
            if (labels == IGNORE).any():
                drawn[2] += 1
            else:
                source, *_ = data.patches.sources.values()
                small_patch = torch.from_numpy(source.labels).long()
                drawn[0 if torch.equal(labels, small_patch) else 1] += 1
    np.testing.assert_allclose(
        np.array(drawn) / 400, [4 / 41, 36 / 41, 1 / 41], atol=0.05
    )


def test_classes_are_those_of_all_masks() -> None:
    (image, mask), (other, _) = pair(20, 20), pair(20, 20, seed=1)
    third = Stack(np.where(np.indices((20, 20))[0] > 9, 7, 0).astype(np.uint16), "YX")
    data = Dataset([(image, mask), (other, third)], STILL)
    assert data.target.values == (0, 7, 255)
    assert data.target.dtype == "uint16"


def test_images_with_other_channels_are_refused() -> None:
    image, mask = pair(20, 20)
    colour = Stack(np.zeros((20, 20, 3), np.uint8), "YXC", name="photo")
    with pytest.raises(TrainingError, match=r"photo has 3 channel.* the same channels"):
        Dataset([(image, mask), (colour, mask)], STILL)


def test_images_without_annotation_are_left_out() -> None:
    empty = Stack(np.zeros((20, 20), np.uint8), "YX")
    pairs = [pair(20, 20, seed=n) for n in range(4)]
    marked = [(i, Stack(np.asarray(m) // 255 + 1, "YX")) for i, m in pairs]
    config = replace(STILL, zero_is_unlabelled=True, validation=0.25)
    data = Dataset([(pairs[0][0], empty), *marked], config)
    assert [bool(split.validation) for split in data.splits] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert not data.splits[0].training


def test_context_adds_the_sections_above_and_below() -> None:
    """Sections are told apart by their grey value; only one is annotated."""
    image = np.repeat(np.arange(5, dtype=np.uint8), 256).reshape(5, 16, 16)
    labels = np.zeros((5, 16, 16), np.uint8)
    labels[3, :8], labels[3, 8:] = 1, 2
    config = replace(STILL, context=1, zero_is_unlabelled=True)
    data = Dataset([(Stack(image, "ZYX"), Stack(labels, "ZYX"))], config)
    grey = (np.arange(5) - 2) / np.sqrt(2)
    seen = {
        tuple(patch[:, 0, 0].tolist())
        for step in range(40)
        for patch in data.batch(step).image
    }
    with_neighbours, alone = sorted(seen)
    np.testing.assert_allclose(with_neighbours, grey[[2, 3, 4]], atol=1e-3)
    np.testing.assert_allclose(alone, grey[[3, 3, 3]], atol=1e-3)


def test_context_at_the_ends_is_mirrored_and_in_the_digest() -> None:
    image, labels = pair(4, 16, 16)
    scribbled = np.asarray(labels).copy() // 255 + 1
    scribbled[1:] = 0
    other = np.asarray(image).copy()
    other[1] = other[1].T

    def data(pixels: np.ndarray, context: int) -> Dataset:
        config = replace(STILL, context=context, zero_is_unlabelled=True)
        return Dataset([(Stack(pixels, "ZYX"), Stack(scribbled, "ZYX"))], config)

    first = data(np.asarray(image), 1)
    above, _, below = first.batch(0).image[0]
    assert torch.equal(above, below)
    assert first.digest != data(other, 1).digest
    assert data(np.asarray(image), 0).digest == data(other, 0).digest


def test_context_does_not_cross_the_split() -> None:
    """Sections 0 and 1 are held out; each part sees its own sections only."""
    image = np.repeat(np.arange(10, dtype=np.uint8), 256).reshape(10, 16, 16)
    labels = np.tile(np.eye(16, dtype=np.uint8), (10, 1, 1))
    config = replace(STILL, context=1, validation=0.2)
    data = Dataset([(Stack(image, "ZYX"), Stack(labels, "ZYX"))], config)
    assert data.splits[0].validation == (0, 1)
    order = (np.arange(10) - 4.5) / np.std(np.arange(10))

    def sections(patch: Any) -> list[int]:
        return [int(np.abs(order - each).argmin()) for each in patch[:, 0, 0].tolist()]

    assert [sections(each) for each in data.held_out[0].image] == [[1, 0, 1], [0, 1, 1]]
    seen = {
        i for step in range(60) for p in data.batch(step).image for i in sections(p)
    }
    assert seen == set(range(2, 10))


def test_masks_that_may_number_objects_are_remarked_on() -> None:
    image, labels = pair(32, 32)
    ids = np.kron(np.arange(16, dtype=np.uint8).reshape(4, 4), np.ones((8, 8), "u1"))
    assert "16 values" in Dataset([(image, Stack(ids, "YX"))], STILL).remark
    assert Dataset([(image, labels)], STILL).remark == ""


def test_the_masks_choose_the_loss() -> None:
    image = np.zeros((4, 64, 64), np.uint8)
    walls = np.full((4, 64, 64), 255, np.uint8)
    walls[:, ::8] = walls[..., ::8] = 0
    blobs = np.zeros((4, 64, 64), np.uint8)
    blobs[:, 8:30, 8:30] = 255
    losses = {}
    for name, mask in {"walls": walls, "blobs": blobs}.items():
        data = Dataset([(Stack(image, "ZYX"), Stack(mask, "ZYX"))], STILL)
        losses[name] = data.config.loss
    assert losses == {"walls": "border-cross-entropy", "blobs": "cross-entropy-dice"}
