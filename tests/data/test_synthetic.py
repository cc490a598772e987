import numpy as np
import pytest
from scipy import ndimage

from napari_unet.data import find_classes, synthetic_em


@pytest.fixture(scope="module")
def sample():
    return synthetic_em(6, 256, seed=1)


def test_a_sample_states_its_axes_type_and_pixel_size(sample):
    for stack in sample:
        assert (stack.axes, stack.shape) == ("ZYX", (6, 256, 256))
        assert stack.dtype == np.uint8
        assert stack.pixel_size == {"Z": 50.0, "Y": 4.0, "X": 4.0}
        assert stack.unit == "nm"
    assert find_classes(sample[1])[0].values == (0, 255)


def test_a_seed_is_a_tissue(sample):
    again = synthetic_em(6, 256, seed=1)
    other = synthetic_em(6, 256, seed=2)
    for first, same, different in zip(sample, again, other, strict=True):
        np.testing.assert_array_equal(first.pixels, same.pixels)
        assert (first.pixels != different.pixels).mean() > 0.2


@pytest.mark.parametrize(("sections", "size"), [(1, 32), (2, 33), (1, 1), (3, 100)])
def test_samples_have_the_size_asked_for(sections, size):
    image, labels = synthetic_em(sections, size)
    assert image.shape == labels.shape == (sections, size, size)


def test_it_looks_like_nerve_tissue(sample):
    image, labels = (np.asarray(each) for each in sample)
    assert 0.12 < (labels == 0).mean() < 0.3
    assert image[labels == 0].mean() < image[labels == 255].mean() - 30
    sizes = np.concatenate(
        [np.bincount(ndimage.label(each)[0].ravel())[1:] for each in labels]
    )
    assert 15 * len(labels) < len(sizes) < 90 * len(labels)
    assert np.percentile(sizes, 90) > 5 * np.percentile(sizes, 25)


def test_neighbouring_sections_are_alike_and_far_ones_are_not():
    labels = np.asarray(synthetic_em(16, 256, seed=1)[1])
    near = (labels[0] == labels[1]).mean()
    far = (labels[0] == labels[15]).mean()
    assert near > far + 0.05


def test_a_threshold_does_not_solve_it(sample):
    image, labels = (np.asarray(each) for each in sample)
    smooth = ndimage.gaussian_filter(image.astype(float), (0, 1.5, 1.5))
    truth = labels == 0
    dice = [
        2 * (truth & found).sum() / (truth.sum() + found.sum())
        for found in (smooth < level for level in range(60, 160, 4))
    ]
    assert max(dice) < 0.8


def test_sections_differ_in_brightness(sample):
    assert np.asarray(sample[0]).mean((1, 2)).std() > 2
