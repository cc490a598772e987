from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet import ConfigError, Stack, StackFormatError, label_objects, open_stack
from napari_unet.evaluation.objects import score_objects

if TYPE_CHECKING:
    from pathlib import Path


def find(image: object, **how: object) -> np.ndarray:
    return np.asarray(label_objects(image, **{"minimum_size": 0, **how}))


def two_discs(gap: int = 17) -> np.ndarray:
    """Two discs of radius 10 that overlap."""
    rows, columns = np.ogrid[:30, :60]
    first = (rows - 15) ** 2 + (columns - 15) ** 2 <= 100
    second = (rows - 15) ** 2 + (columns - 15 - gap) ** 2 <= 100
    return (first | second).astype(np.uint8)


def test_pieces_of_each_value_of_labels_are_objects_as_they_are() -> None:
    labels = np.array([[7, 7, 9, 0, 7], [0, 0, 9, 0, 7]])
    assert find(labels).tolist() == [[1, 1, 2, 0, 3], [0, 0, 2, 0, 3]]
    assert find(labels, inside=7).tolist() == [[1, 1, 0, 0, 2], [0, 0, 0, 0, 2]]


def test_discs_that_touch_are_parted_only_on_demand() -> None:
    discs = two_discs()
    for image, inside in ((discs, 1), (np.stack([1 - discs, discs]).astype(float), 1)):
        stack = Stack(image, "YX" if image.ndim == 2 else "CYX")
        assert find(stack, inside=inside).max() == 1
        parted = find(stack, inside=inside, split=True)
        assert parted.max() == 2
        assert parted[15, 15] != parted[15, 32]
        assert np.array_equal(parted > 0, discs > 0)
        # along the neck, half way
        assert set(parted[15, 6:23]) == {parted[15, 15]}
        assert set(parted[15, 25:42]) == {parted[15, 32]}
        assert find(stack, inside=inside, split=True, neck=1).max() == 1


def test_cells_grow_over_the_membrane_between_them_or_end_at_it() -> None:
    cells = np.full((9, 21), 255, np.uint8)
    cells[:, 10] = 0
    grown = find(cells, inside=255, border="rest", neck=1)
    assert set(np.unique(grown)) == {1, 2}  # no pixel is left to the membrane
    assert grown[0, 9] == 1
    assert grown[0, 11] == 2
    ended = find(cells, inside=255, border="rest", neck=1, with_border=False)
    assert np.array_equal(ended > 0, cells > 0)
    assert ended.max() == 2


def test_a_faint_membrane_parts_cells_that_a_threshold_would_join() -> None:
    inside = np.full((12, 25), 0.95, np.float32)
    inside[:, 12] = 0.6  # above the threshold, and still a valley
    assert find(Stack(inside[None], "CYX"), inside=0).max() == 1
    cells = find(Stack(inside[None], "CYX"), inside=0, border="rest", neck=1)
    assert cells.max() == 2


def test_holes_are_filled_but_not_the_object_in_one() -> None:
    ring = np.zeros((9, 9), np.uint8)
    ring[1:8, 1:8] = 1
    ring[2:7, 2:7] = 0
    ring[4, 4] = 2
    found = find(ring, fill_holes=True)
    assert (found == found[1, 1]).sum() == 48
    assert found[4, 4] not in (0, found[1, 1])
    assert (find(ring) > 0).sum() == 25
    open_ring = ring.copy()
    open_ring[4, 1] = 0
    assert (find(open_ring, fill_holes=True) > 0).sum() == 24


def test_a_tunnel_is_a_hole_of_sections_but_not_of_the_volume() -> None:
    tube = np.ones((3, 7, 7), np.uint8)
    tube[:, 3, 3] = 0
    assert (find(tube, fill_holes=True, object_dims=2) > 0).all()
    assert (find(tube, fill_holes=True, object_dims=3) == 0).sum() == 3


def test_sizes_and_the_border_leave_objects_out() -> None:
    labels = np.zeros((8, 20), np.uint8)
    labels[2:4, 2:4] = 1  # 4 pixels
    labels[2:5, 8:11] = 2  # 9
    labels[0:4, 14:18] = 3  # 16, at the border
    assert find(labels, minimum_size=5).max() == 2
    assert find(labels, maximum_size=9).max() == 2
    assert np.unique(labels[find(labels, minimum_size=5, maximum_size=9) > 0]) == 2
    assert np.unique(labels[find(labels, clear_border=True) > 0]).tolist() == [1, 2]
    with pytest.raises(ConfigError, match="leaves no object"):
        find(labels, minimum_size=20, maximum_size=10)


def test_sections_have_their_own_objects_and_volumes_go_through() -> None:
    labels = np.zeros((2, 2, 6, 6), np.uint8)
    labels[:, :, 1:3, 1:3] = 1
    stack = Stack(labels, "TZYX", pixel_size={"Z": 2.0, "X": 1.0, "Y": 1.0}, unit="µm")
    sections = label_objects(stack, minimum_size=0)
    assert np.asarray(sections)[:, :, 1, 1].tolist() == [[1, 2], [3, 4]]
    volumes = label_objects(stack, minimum_size=0, object_dims=3)
    assert np.asarray(volumes)[:, :, 1, 1].tolist() == [[1, 1], [2, 2]]
    assert (volumes.axes, volumes.pixel_size["Z"], volumes.unit) == ("TZYX", 2, "µm")
    other = label_objects(Stack(labels, "ZTYX"), minimum_size=0, object_dims=3)
    assert other.axes == "TZYX"


def test_a_distance_map_and_named_channels() -> None:
    rows, columns = np.ogrid[:20, :20]
    distance = np.maximum(8 - np.hypot(rows - 9, columns - 9), 0)
    assert find(distance).max() == 1
    shares = np.zeros((3, 4, 9), np.float32)
    shares[0], shares[2, :, 4] = 1, 1
    shares[0, :, 4] = 0
    stack = Stack(shares, "CYX", channel_names=("foreground", "background", "border"))
    assert find(stack).max() == 2
    assert find(stack, inside="Foreground").max() == 2
    assert find(stack, inside="foreground", border="border", neck=1)[0, 4] > 0


@pytest.mark.parametrize(
    ("image", "how", "says"),
    [
        (np.full((4, 4), 80.0), {"inside": 0}, "from 80 to 80, but a probability"),
        (np.full((4, 4), np.nan), {"inside": 0}, "probability"),
        (np.zeros((4, 4), int), {"object_dims": 3}, "no Z"),
        (Stack(np.zeros((2, 4, 4), int), "CYX"), {"inside": 1}, "2 channels"),
    ],
)
def test_what_is_no_probability_is_refused(
    image: np.ndarray, how: dict[str, int], says: str
) -> None:
    with pytest.raises(StackFormatError, match=says):
        find(image, **how)


def test_classes_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="no channel 3"):
        find(Stack(np.zeros((2, 4, 4)), "CYX"), inside=3)
    with pytest.raises(ConfigError, match="no class 'cell'"):
        find(np.zeros((4, 4), int), inside="cell")
    with pytest.raises(ConfigError, match="what is inside"):
        find(np.zeros((4, 4), int), border=1)


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    return score_objects([(found, truth)], thresholds=(0.5,)).matches[0].f1


def test_real_nuclei_that_touch_come_apart(data_folder: Path) -> None:
    """From their masks alone, which join those that touch."""
    better = joined = 0
    for path in sorted((data_folder / "nuclei_dsb2018" / "labels").iterdir())[:8]:
        truth = open_stack(path).section(0)[0].astype(int)
        mask = (truth > 0).astype(np.uint8)
        whole = f1(find(mask, inside=1), truth)
        parted = f1(find(mask, inside=1, split=True), truth)
        joined += whole < 1
        better += parted - whole
    assert joined
    assert better > 0


def test_cells_of_a_real_membrane_mask(data_folder: Path) -> None:
    labels = open_stack(data_folder / "isbi2012" / "train-labels.tif")
    one = labels.select(slice(0, 1))
    pieces = find(one, inside=255)[0]
    cells = find(one, inside=255, border="rest", neck=1)[0]
    # the same cells, which take the membranes between them
    assert (cells > 0).mean() > 0.98 > (pieces > 0).mean()
    assert abs(int(cells.max()) - int(pieces.max())) < 0.1 * pieces.max()
