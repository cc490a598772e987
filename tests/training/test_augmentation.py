from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.config import TrainingConfig
from napari_unet.presets import AUGMENTATIONS
from napari_unet.training.augmentation import (
    Patch,
    amounts,
    complete_augmentation,
    sample,
    sampling_points,
)
from napari_unet.training.intensity import vary_intensity

STILL = TrainingConfig(
    depth=1,
    patch_size=32,
    flip=False,
    rotate=False,
    deformed=0.5,
    scale=0,
    elastic=0,
    intensity=0,
)
EVERY_WAY = [
    pytest.param(TrainingConfig(augment=word, multiscale=more), id=f"{word}-{more}")
    for word in AUGMENTATIONS
    for more in (False, True)
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def section(height: int, width: int, seed: int = 0) -> Patch:
    """A section whose image is its class and whose weight is ten times its class."""
    random = np.random.default_rng(seed)
    coarse = random.integers(1, 4, (-(-height // 8), -(-width // 8)))
    labels = np.kron(coarse, np.ones((8, 8), int))[:height, :width].astype(np.uint8)
    image = torch.from_numpy(labels.astype(np.float16))[None]
    weights = torch.from_numpy(10 * labels.astype(np.float16))
    return Patch(image, torch.from_numpy(labels), weights)


def test_points_of_an_unchanged_patch_are_its_pixels() -> None:
    points = sampling_points(STILL, 2, generator())
    assert points.shape == (2, 32, 32, 2)
    rows = np.arange(32) - 15.5
    np.testing.assert_array_equal(points[0, :, 7, 0].numpy(), rows)
    np.testing.assert_array_equal(points[1, 7, :, 1].numpy(), rows)


@pytest.mark.parametrize("corner", [(0, 0), (3, 5), (18, 8)])
def test_unchanged_patch_is_the_exact_crop(corner: tuple[int, int]) -> None:
    whole = section(50, 40)
    (points,) = sampling_points(STILL, 1, generator())
    patch = sample(whole, points + torch.tensor(corner) + 15.5)
    window = slice(corner[0], corner[0] + 32), slice(corner[1], corner[1] + 32)
    torch.testing.assert_close(
        patch.image[0], whole.image[0][window].float(), rtol=0, atol=1e-4
    )
    assert torch.equal(patch.labels, whole.labels[window].long())
    assert torch.equal(patch.weights, whole.weights[window].float())
    assert (patch.image.dtype, patch.labels.dtype, patch.weights.dtype) == (
        torch.float32,
        torch.int64,
        torch.float32,
    )


def test_outside_is_mirrored_for_all_three() -> None:
    whole = section(20, 24)
    (points,) = sampling_points(STILL, 1, generator())
    patch = sample(whole, points + torch.tensor([9.5, 11.5]))
    rows, columns = (6, 6), (4, 4)
    expected = np.pad(whole.labels.numpy(), (rows, columns), mode="reflect")
    np.testing.assert_array_equal(patch.labels.numpy(), expected)
    np.testing.assert_allclose(patch.image[0].numpy(), expected, atol=1e-4)
    np.testing.assert_array_equal(patch.weights.numpy(), 10 * expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("place", [(40.5, 44.5), (0.5, 0.5), (78.5, 89.5)])
def test_image_labels_and_weights_move_together(
    seed: int, place: tuple[float, float]
) -> None:
    config = replace(STILL, flip=True, rotate=True, scale=0.3, elastic=4.0)
    whole = section(80, 91, seed)
    (points,) = sampling_points(config, 1, generator(seed))
    patch = sample(whole, points + torch.tensor(place))
    # Away from edges the four pixels around a point are of one class.
    flat = torch.isclose(patch.image[0], patch.image[0].round(), atol=1e-3)
    flat &= patch.image[0] == patch.image[0].clamp(1, 3)
    agree = patch.image[0].round().long() == patch.labels
    assert flat.float().mean() > 0.4
    # Between classes 1 and 3 a linear mean may be 2 by chance.
    assert agree[flat].float().mean() > 0.98
    assert torch.equal(patch.weights, 10 * patch.labels.float())
    assert patch.labels.min() >= 1  # nothing is filled with class 0
    assert patch.image.min() >= 1 - 1e-3
    # The nearest pixel of a linear mean is never a whole class away.
    assert (patch.image[0] - patch.labels).abs().max() <= 1.5 + 1e-3


def lengths_and_angles(points: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    step = (points[:, 16, 31] - points[:, 16, 0]).numpy() / 31
    return np.hypot(*step.T), np.degrees(np.arctan2(step[:, 0], step[:, 1])) % 360


def test_rotation_takes_any_angle_and_keeps_size() -> None:
    points = sampling_points(replace(STILL, rotate=True), 400, generator())
    length, angle = lengths_and_angles(points)
    np.testing.assert_allclose(length, 1, atol=1e-5)
    right = np.isclose(angle % 90, 0, atol=1e-3) | np.isclose(angle % 90, 90, atol=1e-3)
    assert 150 < right.sum() < 250  # half of them keep the pixel grid
    quarters = np.bincount((angle[right] / 90).round().astype(int) % 4, minlength=4)
    assert quarters.min() > 25
    counts, _ = np.histogram(angle[~right], bins=8, range=(0, 360))
    assert counts.min() > 10
    assert len(np.unique(angle[~right].round(3))) == (~right).sum()


def test_half_of_the_patches_keep_the_pixel_grid() -> None:
    config = replace(STILL, flip=True, rotate=True, scale=0.3, elastic=4.0)
    points = sampling_points(config, 400, generator()) + 15.5
    kept = torch.isclose(points, points.round(), atol=1e-4).flatten(1).all(1)
    assert 150 < kept.sum() < 250
    assert points[kept].min() > -1e-4
    assert points[kept].max() < 31 + 1e-4
    whole = section(32, 32)
    for each in points[kept][:10]:
        patch = sample(whole, each)
        torch.testing.assert_close(
            patch.image[0], patch.labels.float(), rtol=0, atol=1e-3
        )
    turned = {sample(whole, each).labels.numpy().tobytes() for each in points[kept]}
    assert len(turned) == 8  # all the mirrorings and right angles, and nothing else


def orientations(points: torch.Tensor) -> np.ndarray:
    down = points[:, 1, 0] - points[:, 0, 0]
    right = points[:, 0, 1] - points[:, 0, 0]
    return (down[:, 0] * right[:, 1] - down[:, 1] * right[:, 0]).numpy()


def test_half_of_the_patches_are_flipped() -> None:
    signs = orientations(sampling_points(replace(STILL, flip=True), 400, generator()))
    np.testing.assert_allclose(np.abs(signs), 1, atol=1e-5)
    assert 150 < (signs < 0).sum() < 250
    assert (orientations(sampling_points(STILL, 9, generator())) == 1).all()


def test_scale_stays_in_its_range() -> None:
    points = sampling_points(replace(STILL, scale=0.2), 300, generator())
    length, angle = lengths_and_angles(points)
    assert 0.8 <= length.min() < 0.83
    assert 1.17 < length.max() <= 1.2
    assert not angle.any()
    assert 100 < (length == 1).sum() < 200


def test_elastic_displacements_have_the_given_spread() -> None:
    config = replace(STILL, patch_size=128, elastic=3.0)
    moved = sampling_points(config, 200, generator())
    still = sampling_points(replace(config, elastic=0), 1, generator())
    shift = (moved - still).numpy()
    shift = shift[shift.any(axis=(1, 2, 3))]
    assert 70 < len(shift) < 130  # half of the patches are not bent
    corners = shift[:, [0, 0, -1, -1], [0, -1, 0, -1]]  # there lie knots
    assert corners.std() == pytest.approx(3.0, rel=0.1)
    assert abs(corners.mean()) < 0.3
    bend = np.diff(shift, axis=1)
    assert np.abs(bend).max() < 0.6  # smooth: far less than a pixel per pixel


def test_same_generator_same_points() -> None:
    config = replace(STILL, flip=True, rotate=True, scale=0.1, elastic=2.0)
    one = sampling_points(config, 3, generator(1))
    assert torch.equal(one, sampling_points(config, 3, generator(1)))
    assert not torch.equal(one, sampling_points(config, 3, generator(2)))


def test_intensity_varies_per_image_and_from_place_to_place() -> None:
    images = torch.randn(300, 2, 32, 32, generator=generator())
    assert torch.equal(vary_intensity(images, STILL, generator(1)), images)
    config = replace(STILL, intensity=0.2)
    changed = vary_intensity(images, config, generator(1))
    assert torch.equal(changed, vary_intensity(images, config, generator(1)))

    # The same random numbers on a blank image leave brightness and noise alone.
    blank = vary_intensity(torch.zeros_like(images), config, generator(1))
    contrast = (changed - blank).abs().log() - images.abs().log()
    seen = images.abs() > 0.5  # where the quotient is exact enough
    assert torch.equal((changed - blank)[seen] > 0, images[seen] > 0)
    per_image = torch.stack([c[s].mean() for c, s in zip(contrast, seen, strict=True)])
    within = torch.stack([c[s].std() for c, s in zip(contrast, seen, strict=True)])
    assert 0.16 < per_image.std() < 0.28  # 0.2 and what is left of the local ones
    assert 0.05 < within.mean() < 0.2

    shift = blank.mean((1, 2, 3))
    assert 0.16 < shift.std() < 0.28
    grain = (blank[:, 0] - blank[:, 1]).std((1, 2)) / math.sqrt(2)
    assert 0 < grain.min() < 0.02
    assert 0.17 < grain.max() < 0.23  # up to the strength, give or take chance


def test_sections_of_one_pixel_are_no_obstacle() -> None:
    whole = Patch(torch.full((1, 1, 1), 2.0), torch.full((1, 1), 2), torch.ones(1, 1))
    config = replace(STILL, rotate=True, elastic=3.0)
    (points,) = sampling_points(config, 1, generator())
    patch = sample(whole, points)
    assert (patch.image == 2).all()
    assert (patch.labels == 2).all()


def test_rotation_is_a_rotation_of_the_picture() -> None:
    # A quarter turn, put in by hand, equals NumPy's.
    whole = section(32, 32)
    (points,) = sampling_points(STILL, 1, generator())
    turned = torch.stack([points[..., 1], -points[..., 0]], dim=-1)
    patch = sample(whole, turned + 15.5)
    expected = np.rot90(whole.labels.numpy(), -1)
    assert math.isclose(float(points[0, 0, 0]), -15.5)
    agrees = [
        np.array_equal(patch.labels.numpy(), np.rot90(whole.labels.numpy(), k))
        for k in (1, -1)
    ]
    assert sum(agrees) == 1
    assert expected.shape == (32, 32)


# -- presets -------------------------------------------------------------------------


def test_default_augmentation_is_as_it_was() -> None:
    assert TrainingConfig().augment == "default"
    assert amounts(TrainingConfig()) == (True, True, 0.5, 0.1, 4.0, 0.3, 0.0, 0.0)


def test_given_options_override_the_preset() -> None:
    config = TrainingConfig(augment="strong", flip=False, elastic=0.0)
    strong = amounts(TrainingConfig(augment="strong"))
    assert amounts(config) == strong._replace(flip=False, elastic=0)
    whole = complete_augmentation(config)
    assert (whole.flip, whole.elastic, whole.scale) == (False, 0, strong.scale)
    assert complete_augmentation(whole) == whole
    assert (whole.augment, whole.seed) == ("strong", config.seed)


@pytest.mark.parametrize("word", AUGMENTATIONS)
def test_presets_say_everything_within_bounds(word: str) -> None:
    assert set(AUGMENTATIONS[word]) == set(amounts(TrainingConfig())._fields)
    TrainingConfig(**AUGMENTATIONS[word])


def test_presets_rise_from_none_to_strong() -> None:
    steps = [amounts(TrainingConfig(augment=word)) for word in AUGMENTATIONS]
    for weaker, stronger in itertools.pairwise(steps):
        pairs = list(zip(weaker, stronger, strict=True))
        assert all(less <= more for less, more in pairs)
        assert weaker != stronger


def test_none_changes_nothing() -> None:
    config = replace(TrainingConfig(augment="none"), patch_size=32)
    still = sampling_points(STILL, 3, generator())
    assert torch.equal(sampling_points(config, 3, generator()), still)
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(vary_intensity(images, config, generator()), images)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 999),
    shape=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@pytest.mark.parametrize("config", EVERY_WAY)
def test_everything_moves_together_in_every_preset(
    config: TrainingConfig,
    seed: int,
    shape: tuple[int, int],
    place: tuple[float, float],
) -> None:
    """A slope as the image tells which pixel each label and weight came from."""
    height, width = shape
    rows, columns = torch.meshgrid(
        torch.arange(height), torch.arange(width), indexing="ij"
    )
    image = torch.stack([rows, columns]).half()
    labels = (1 + (rows + columns) % 200).byte()
    section = Patch(image, labels, 2 * labels.half())
    config = replace(config, patch_size=32)
    (points,) = sampling_points(config, 1, generator(seed))
    centre = torch.tensor(shape) * torch.tensor(place)
    patch = sample(section, points + centre)
    assert patch.labels.min() >= 1  # nothing is filled with class 0
    assert torch.equal(patch.weights, 2 * patch.labels.float())
    # Blur bends the slope only where it is folded, at the section's border.
    inside = (patch.image > 4).all(0)
    inside &= patch.image[0] < height - 5
    inside &= patch.image[1] < width - 5
    expected = 1 + patch.image.sum(0)[inside]
    away = (patch.labels[inside] - expected + 100) % 200 - 100
    assert (away.abs() <= 1 + 1e-2).all()  # half a pixel along each axis


@pytest.mark.parametrize("config", EVERY_WAY)
def test_same_seed_same_pixels_in_every_preset(config: TrainingConfig) -> None:
    config = replace(config, patch_size=32)

    def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        numbers = generator(seed)
        points = sampling_points(config, 2, numbers)
        images = torch.linspace(-1, 1, 2048).view(2, 1, 32, 32)
        return points, vary_intensity(images, config, numbers)

    for one, same, other in zip(draw(1), draw(1), draw(2), strict=True):
        assert torch.equal(one, same)
        if config.augment != "none":
            assert not torch.equal(one, other)


# -- the paper's deformation ---------------------------------------------------------


def test_displacements_of_the_paper_are_on_3_by_3_knots() -> None:
    # 33 pixels, so that the middle knot is pixel 16
    config = replace(STILL, patch_size=33, elastic=10.0, elastic_grid=3, deformed=1.0)
    still = sampling_points(replace(config, elastic=0), 1, generator())
    shift = (sampling_points(config, 1500, generator()) - still).numpy()
    knots = shift[:, ::16, ::16]
    assert knots.shape[1:] == (3, 3, 2)
    np.testing.assert_allclose(knots.std(0), 10, rtol=0.1)
    np.testing.assert_allclose(knots.mean(0), 0, atol=1)
    correlation = np.corrcoef(knots.reshape(1500, 18).T)
    assert np.abs(correlation - np.eye(18)).max() < 0.13
    # Halfway, the cubic through four knots (the border's is repeated) is
    # (-3 k0 + 19 k0 + 19 k1 - 3 k2) / 32.
    first, second, third = knots[:, 0], knots[:, 1], knots[:, 2]
    halfway = (16 * first + 19 * second - 3 * third) / 32
    np.testing.assert_allclose(shift[:, 8, ::16], halfway, atol=1e-3)


def test_finer_grids_bend_more() -> None:
    config = replace(STILL, patch_size=128, elastic=4.0, deformed=1.0)
    spreads = []
    for knots in (2, 3, 9):
        points = sampling_points(
            replace(config, elastic_grid=knots), 50, generator()
        ).numpy()
        spreads.append(np.diff(points, 2, axis=1).std())
    assert spreads == sorted(spreads)
    assert spreads[2] > 3 * spreads[0]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 200), (0.25, 50)])
def test_share_of_deformed_patches(share: float, expected: int) -> None:
    config = replace(STILL, deformed=share, elastic=4.0)
    points = sampling_points(config, 200, generator()) + 15.5
    bent = ~torch.isclose(points, points.round(), atol=1e-4).flatten(1).all(1)
    assert abs(int(bent.sum()) - expected) < 20 * (0 < share < 1) + 1


# -- multi-scale ---------------------------------------------------------------------


def test_multiscale_draws_every_patch_between_half_and_one_and_a_half() -> None:
    config = replace(STILL, multiscale=True, scale=0.3)
    length, angle = lengths_and_angles(sampling_points(config, 1000, generator()))
    zoom = 1 / length
    assert not angle.any()
    assert 0.5 <= zoom.min() < 0.51
    assert 1.49 < zoom.max() <= 1.5
    counts, _ = np.histogram(zoom, bins=5, range=(0.5, 1.5))
    assert counts.min() > 160  # all sizes are equally likely


def wave(period: float) -> Patch:
    rows = torch.arange(200.0)
    image = torch.cos(2 * math.pi * rows / period)[None, :, None].expand(1, 200, 200)
    labels = torch.ones(200, 200, dtype=torch.uint8)
    return Patch(image, labels, torch.ones(200, 200))


def test_shrinking_does_not_alias() -> None:
    (points,) = sampling_points(STILL, 1, generator())
    centre = torch.tensor([100.5, 100.5])

    def contrast(period: float, spacing: float) -> float:
        patch = sample(wave(period), spacing * points + centre)
        return float(patch.image.abs().max())

    # Lines one pixel wide would all be black, or all be white, at half the size.
    assert contrast(2, 1) == pytest.approx(1, abs=1e-3)
    assert contrast(2, 2) < 0.1
    assert contrast(2.5, 2) < 0.25
    assert contrast(32, 2) > 0.9  # what fits into the smaller picture stays
    assert contrast(8, 1.25) > 0.9  # the default's changes of size blur nothing
    for spacing in (0.67, 1.0, 1.25):
        one = sample(wave(8), spacing * points + centre).image
        exact = torch.cos(2 * math.pi * (spacing * points[..., 0] + 100.5) / 8)
        assert (one[0] - exact).abs().max() < 0.08  # linear, between the pixels


def test_blur_before_shrinking_does_not_depend_on_the_window() -> None:
    random = torch.randn(1, 120, 120, generator=generator())
    labels = torch.ones(120, 120, dtype=torch.uint8)
    whole = Patch(random, labels, torch.ones(120, 120))
    (points,) = sampling_points(STILL, 1, generator())
    points = 2 * points[8:24, 8:24] + torch.tensor([60.25, 60.25])
    blurred = ndimage.gaussian_filter(random[0].numpy(), math.sqrt(3 / 4 - 1 / 6))
    expected = ndimage.map_coordinates(blurred, points.permute(2, 0, 1), order=1)
    got = sample(whole, points).image[0].numpy()
    np.testing.assert_allclose(got, expected, atol=5e-3)


# -- gamma and focus -----------------------------------------------------------------


def test_gamma_keeps_the_darkest_the_brightest_and_the_order() -> None:
    config = replace(STILL, gamma=0.3)
    image = torch.linspace(-2, 3, 1024).view(1, 1, 32, 32)
    images = torch.cat([image, 10 * image], dim=1).repeat(200, 1, 1, 1)
    changed = vary_intensity(images, config, generator())
    assert changed.flatten(2).diff().min() >= 0
    torch.testing.assert_close(changed.amin((2, 3)), images.amin((2, 3)))
    torch.testing.assert_close(changed.amax((2, 3)), images.amax((2, 3)))
    torch.testing.assert_close(changed[:, 1], 10 * changed[:, 0])
    middle = (changed[:, 0, 16, 0] + 2) / 5
    power = middle.log() / ((images[:, 0, 16, 0] + 2) / 5).log()
    assert power.log().std() == pytest.approx(0.3, rel=0.15)
    flat = torch.full((2, 1, 8, 8), 0.7)
    torch.testing.assert_close(vary_intensity(flat, config, generator()), flat)


def test_blur_is_a_gaussian_of_random_width() -> None:
    config = replace(STILL, blur=2.0)
    images = torch.zeros(100, 1, 33, 33)
    images[:, :, 16, 16] = 1
    changed = vary_intensity(images, config, generator())[:, 0]
    torch.testing.assert_close(changed.sum((1, 2)), torch.ones(100))
    away = torch.arange(33.0) - 16
    deviation = (changed.sum(2) * away**2).sum(1).sqrt()
    assert deviation.min() < 0.3
    assert 1.7 < deviation.max() < 2
    widest = changed[deviation.argmax()].numpy()
    expected = ndimage.gaussian_filter(images[0, 0].numpy(), float(deviation.max()))
    np.testing.assert_allclose(widest, expected, atol=2e-3)
