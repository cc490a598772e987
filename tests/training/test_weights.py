from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.data import IGNORE
from napari_unet.training.weights import (
    LARGEST_CLASS_WEIGHT,
    class_weights,
    has_walls,
    weight_map,
)


def distances(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Class of each object, and the distance of every pixel to it."""
    found = []
    for value in set(labels.ravel().tolist()) - {IGNORE}:
        objects, count = ndimage.label(labels == value)  # 4-connected
        found += [
            (value, ndimage.distance_transform_edt(objects != index))
            for index in range(1, count + 1)
        ]
    return found


def weight_map_pixel_by_pixel(
    labels: np.ndarray, weights: np.ndarray, border_weight: float, sigma: float
) -> np.ndarray:
    """Equation 2 of Ronneberger et al. (2015), as it is written."""
    objects = distances(labels)
    result = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        own = labels[place]
        if own == IGNORE:
            continue
        near = sorted(d[place] for value, d in objects if value != own)[:2]
        gap = sum(near) if len(near) == 2 else np.inf
        result[place] = weights[own] + border_weight * np.exp(
            -(gap**2) / (2 * sigma**2)
        )
    return result


def blobs(seed: int, shape: tuple[int, int] = (40, 48), classes: int = 2) -> np.ndarray:
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=shape), 2.5)
    edges = np.quantile(smooth, np.linspace(0, 1, classes + 1)[1:-1])
    return np.digitize(smooth, edges).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sigma", [2.0, 3.0])
@pytest.mark.parametrize("kind", ["blobs", "inverse", "classes", "ignored", "noise"])
def test_weight_map_is_the_formula(seed: int, sigma: float, kind: str) -> None:
    labels = blobs(seed, classes=4 if kind == "classes" else 2)
    random = np.random.default_rng(seed)
    if kind == "inverse":
        labels = 1 - labels
    elif kind == "ignored":
        labels[:, 20:30] = IGNORE
        labels[random.random(labels.shape) < 0.2] = IGNORE
    elif kind == "noise":
        labels = (random.random((20, 24)) < 0.3).astype(np.uint8)
    weights = np.array([0.7, 2.0, 1.5, 3.0], np.float32)[: labels[labels < 9].max() + 1]
    got = weight_map(labels, weights, 10.0, sigma)
    expected = weight_map_pixel_by_pixel(labels, weights, 10.0, sigma)
    assert expected.max() > 2.5  # the border term is at work
    # Beyond 4σ the term, at most 10·exp(-8), is left out; float16 keeps 11 bits.
    np.testing.assert_allclose(got, expected, rtol=2**-10, atol=10 * np.exp(-8))


def test_gap_between_two_cells_by_hand() -> None:
    labels = np.array([[1, 0, 0, 1, 1]], np.uint8)
    got = weight_map(labels, np.array([1, 1], np.float32), 10.0, 2.0)
    gap = 10 * np.exp(-(3**2) / 8)  # 1 pixel to one cell, 2 to the other
    np.testing.assert_allclose(got, [[1, 1 + gap, 1 + gap, 1, 1]], rtol=1e-3)


def test_membranes_may_have_either_value() -> None:
    labels = blobs(0)
    ones = np.ones(2, np.float32)
    np.testing.assert_array_equal(
        weight_map(labels, ones, 10.0, 3.0), weight_map(1 - labels, ones, 10.0, 3.0)
    )


def test_without_border_weight_only_the_class_counts() -> None:
    labels = np.array([[0, 1, IGNORE]], np.uint8)
    got = weight_map(labels, np.array([0.5, 3], np.float32), 0.0, 5.0)
    assert got.tolist() == [[0.5, 3, 0]]


def test_unannotated_and_uniform_sections() -> None:
    weights = np.ones(2, np.float32)
    assert not weight_map(np.full((5, 6), IGNORE, np.uint8), weights, 10, 5).any()
    uniform = weight_map(np.zeros((5, 6), np.uint8), weights, 10, 5)
    assert (uniform == 1).all()


def test_class_weights_by_hand() -> None:
    np.testing.assert_allclose(class_weights([75, 25], True), [2 / 3, 2])
    np.testing.assert_array_equal(class_weights([75, 25], False), [1, 1])
    weights = class_weights([600, 300, 100], True)
    np.testing.assert_allclose(weights * [600, 300, 100], 1000 / 3, rtol=1e-6)


def test_rare_class_is_bounded() -> None:
    weights = class_weights([10**6, 1], True)
    assert weights.tolist() == [pytest.approx(0.5, rel=1e-3), LARGEST_CLASS_WEIGHT]
    assert weights.dtype == np.float32


def test_border_weight_in_space_by_hand() -> None:
    labels = np.zeros((7, 9, 9), np.uint8)
    labels[:3], labels[4:] = 1, 1  # two slabs with a gap of one section
    weights = weight_map(labels, np.ones(2, np.float32), 10.0, 2.0)
    np.testing.assert_allclose(weights[3], 1 + 10 * np.exp(-(2**2) / 8), rtol=1e-3)
    assert (weights[labels == 1] == 1).all()  # of the gap there is only one


def test_border_weight_heeds_how_deep_voxels_are() -> None:
    labels = np.zeros((7, 9, 9), np.uint8)
    labels[:3], labels[4:] = 1, 1
    weights = weight_map(labels, np.ones(2, np.float32), 10.0, 2.0, anisotropy=1.5)
    np.testing.assert_allclose(weights[3], 1 + 10 * np.exp(-(3**2) / 8), rtol=1e-3)


def test_border_weight_of_deep_voxels_is_that_of_each_section() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (3, 20, 20)).astype(np.uint8)
    ones = np.ones(2, np.float32)
    expected = [weight_map(each, ones, 10.0, 3.0) for each in labels]
    weights = weight_map(labels, ones, 10.0, 3.0, anisotropy=10)
    np.testing.assert_array_equal(weights, expected)


def grid(step: int) -> np.ndarray:
    labels = np.ones((60, 60), np.uint8)
    labels[::step] = labels[:, ::step] = 0
    return labels


def test_membranes_are_walls_and_blobs_are_not() -> None:
    blobs = np.zeros((60, 60), np.uint8)
    blobs[5:20, 5:20] = blobs[30:40, 30:50] = 1
    tree = np.zeros((60, 60), np.uint8)
    tree[30, :50] = tree[10:50, 25] = 1
    assert has_walls([grid(10)])
    assert has_walls([1 - grid(10)])  # whichever value they have
    assert not has_walls([blobs])
    assert not has_walls([tree])


def test_most_sections_decide_about_walls() -> None:
    empty = np.zeros((60, 60), np.uint8)
    assert has_walls([grid(10), grid(12), empty])
    assert not has_walls([grid(10), empty, empty])
    assert not has_walls([])


def test_walls_divide_two_classes_and_are_all_annotated() -> None:
    scribbled = grid(10)
    scribbled[::2] = IGNORE
    three = grid(10)
    three[2:5, 2:5] = 2
    assert not has_walls([scribbled])
    assert not has_walls([three])
