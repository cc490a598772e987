"""A stack that looks like serial-section electron microscopy of nerve tissue.

Cells are the regions nearest to seed points that drift from section to section (a
power diagram, so that sizes differ), seen through a warped plane. Mitochondria and
vesicles lie inside cells: as dark as membranes, but not membranes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_unet.data.stack import Stack

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

MEMBRANE, CELL = 0, 255
_MARGIN = 48  # pixels of tissue around the frame, so that cells drift in and out
_KNOT = 4  # sections between the knots of everything that changes with depth


def synthetic_em(
    sections: int = 30, size: int = 512, seed: int = 0
) -> tuple[Stack, Stack]:
    """Make an image stack of nerve tissue and its labels.

    Parameters
    ----------
    sections : int
        Length of Z.
    size : int
        Length of Y and X.
    seed : int
        The same seed gives the same tissue.

    Returns
    -------
    image : Stack
        (Z, Y, X) uint8, 50 × 4 × 4 nm.
    labels : Stack
        (Z, Y, X) uint8; 255 in cells, 0 on membranes.
    """
    random = np.random.default_rng(seed)
    tissue = _Tissue(random, sections, size)
    image = np.empty((sections, size, size), np.uint8)
    labels = np.empty_like(image)
    for index in range(sections):
        cut = tissue.cut(index)
        labels[index] = np.where(cut.gap < 2.4 + 0.45 * cut.fuzz, MEMBRANE, CELL)
        image[index] = _photograph(random, tissue.stain(random, index, cut))
    facts: dict[str, Any] = {
        "axes": "ZYX",
        "pixel_size": {"Z": 50.0, "Y": 4.0, "X": 4.0},
        "unit": "nm",
    }
    return (
        Stack(image, name="synthetic EM", **facts),
        Stack(labels, name="synthetic EM labels", **facts),
    )


@dataclass(frozen=True)
class _Cut:
    """One section of the tissue, before staining; of shape (Y, X)."""

    gap: Floats  # pixels to the middle of the nearest membrane
    cell: NDArray[np.intp]  # seed whose region this is
    fuzz: Floats  # 0 where membranes are cut straight, up to 5 where obliquely
    seen: Floats  # rows and columns of the seeds in the frame, shape (n, 2)


class _Field:
    """A smooth random field over (Z, Y, X) with mean 0 and deviation about 1."""

    def __init__(self, random: Generator, sections: int, size: int, scale: float):
        knots = int(np.ceil(size / scale)) + 3
        self._depth = _spline(sections, sections // _KNOT + 4)
        self._plane = _spline(size, knots)
        self._coefficients = random.standard_normal(
            (self._depth.shape[1], knots, knots)
        )

    def at(self, index: int) -> Floats:
        """Return the field in one section, shape (Y, X)."""
        knots = np.tensordot(self._depth[index], self._coefficients, 1)
        # A spline of white noise has a deviation of about 1/3.
        return 3 * (self._plane @ knots @ self._plane.T)


def _spline(length: int, knots: int) -> Floats:
    """Cubic B-spline weights, shape (length, knots); each row adds up to 1."""
    place = np.arange(length) * (knots - 3) / length
    first = np.floor(place).astype(int)
    t = place - first
    weights = np.zeros((length, knots))
    rows = np.arange(length)
    weights[rows, first] = (1 - t) ** 3 / 6
    weights[rows, first + 1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[rows, first + 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[rows, first + 3] = t**3 / 6
    return weights


class _Tissue:
    """Neurites that run through the stack, their contents and their stain."""

    def __init__(self, random: Generator, sections: int, size: int) -> None:
        self._size = size
        extent = size + 2 * _MARGIN
        places, radii = _pack(random, extent)
        count = len(radii)
        depth = _spline(sections, sections // _KNOT + 4)
        steps = random.normal(0, 4, (depth.shape[1], count, 2))
        self._places = places - _MARGIN + np.tensordot(depth, steps.cumsum(0), 1)
        swell = 1 + 0.35 * depth @ random.standard_normal((depth.shape[1], count))
        self._radii = radii * np.clip(swell, 0.5, 1.5)
        self._owner = _join(random, places)
        self._grey = random.normal(0, 9, count)[self._owner]
        self._vesicles = (random.random(count) ** 2)[self._owner]
        self._mitochondria = _Mitochondria.grow(random, radii, sections)
        self._warps = [_Field(random, sections, size, s) for s in (90, 90, 24, 24)]
        self._fuzz = _Field(random, sections, size, 40)
        self._stain = _Field(random, sections, size, 30)
        self._background = _Field(random, sections, size, 170)

    def cut(self, index: int) -> _Cut:
        """Find the cells and membranes of one section."""
        from scipy.spatial import KDTree

        # At half the resolution: distances are smooth and can be interpolated.
        size, half = self._size, (self._size + 1) // 2
        warp = self._warp(index)
        grid = np.mgrid[0:half, 0:half] * 2 + 0.5
        where = (grid + warp[:, ::2, ::2]).reshape(2, -1).T
        seeds, radii = self._places[index], self._radii[index]
        # The power distance d² - r² is a plain one in 3-D, above the plane.
        height = np.sqrt(radii.max() ** 2 - radii**2)
        tree = KDTree(np.column_stack([seeds, height]))
        flat = np.column_stack([where, np.zeros(len(where))])
        found, neighbours = tree.query(flat, k=range(1, min(4, len(seeds)) + 1))
        distance, near = np.asarray(found), np.asarray(neighbours)
        apart = np.linalg.norm(seeds[near] - seeds[near[:, :1]], axis=2)
        gap = (distance**2 - distance[:, :1] ** 2) / (2 * apart + 1e-9)
        gap[self._owner[near] == self._owner[near[:, :1]]] = size
        cell = near[:, 0].reshape(half, half).repeat(2, 0).repeat(2, 1)
        inside = np.clip(seeds, 0, size - 1).astype(int)
        fuzz = np.clip(2.5 * self._fuzz.at(index) - 2.5, 0, 5)
        return _Cut(
            _doubled(gap.min(1).reshape(half, half))[:size, :size],
            cell[:size, :size],
            fuzz,
            seeds - warp[:, inside[:, 0], inside[:, 1]].T,
        )

    def stain(self, random: Generator, index: int, cut: _Cut) -> Floats:
        """Give one section its grey values, about 0 to 255, without noise."""
        from scipy.ndimage import gaussian_filter

        coarse = gaussian_filter(random.standard_normal(cut.gap.shape), 1.6)
        grey = 152 + 12 * self._background.at(index) + self._grey[cut.cell]
        grey += 75 * coarse
        self._mitochondria.draw(grey, cut, index)
        grey -= 150 * self._vesicle_stain(random, cut)
        uneven = self._stain.at(index)
        width = 2.3 + 0.25 * uneven + 0.9 * cut.fuzz
        dark = np.clip(95 + 13 * uneven - 6 * cut.fuzz, 35, 120)
        return np.asarray(grey - dark * np.exp(-((cut.gap / width) ** 2)))

    def _warp(self, index: int) -> Floats:
        """Displacement in pixels of every pixel, shape (2, Y, X)."""
        wide_y, wide_x, fine_y, fine_x = (field.at(index) for field in self._warps)
        return np.stack([9 * wide_y + 3 * fine_y, 9 * wide_x + 3 * fine_x])

    def _vesicle_stain(self, random: Generator, cut: _Cut) -> Floats:
        """Small dark dots and rings in some of the cells."""
        from scipy.ndimage import gaussian_filter

        count = self._size**2 // 90
        y, x = random.integers(0, self._size, (2, count))
        kept = (cut.gap[y, x] > 6) & (
            random.random(count) < self._vesicles[cut.cell[y, x]]
        )
        dots = np.zeros_like(cut.gap)
        dots[y[kept], x[kept]] = random.uniform(2, 8, kept.sum())
        return np.asarray(gaussian_filter(dots, 1.4))


@dataclass(frozen=True)
class _Mitochondria:
    """Ellipsoids inside the larger cells; one entry each."""

    cell: NDArray[np.intp]
    offset: Floats  # (n, 2) pixels from the seed of the cell
    radii: Floats  # (n, 2) pixels
    angle: Floats
    middle: Floats  # section
    reach: Floats  # sections to either side

    @classmethod
    def grow(cls, random: Generator, radii: Floats, sections: int) -> _Mitochondria:
        large = np.flatnonzero(radii > 18)
        cell = np.repeat(large, random.poisson(sections / 16, len(large)))
        count = len(cell)
        long = radii[cell] * random.uniform(0.4, 0.75, count)
        return cls(
            cell,
            random.normal(0, 0.25, (count, 2)) * radii[cell, None],
            np.column_stack([long, long * random.uniform(0.5, 0.9, count)]),
            random.uniform(0, np.pi, count),
            random.uniform(-2, sections + 2, count),
            random.uniform(3, 8, count),
        )

    def draw(self, grey: Floats, cut: _Cut, index: int) -> None:
        """Stain those that this section cuts, in place."""
        depth = (index - self.middle) / self.reach
        for each in np.flatnonzero(np.abs(depth) < 1):
            cell = self.cell[each]
            radii = self.radii[each] * np.sqrt(1 - depth[each] ** 2)
            y, x = np.rint(cut.seen[cell] + self.offset[each]).astype(int)
            window = _window((y, x), int(radii.max()) + 2, grey.shape)
            if grey[window].size == 0 or radii.min() < 4:
                continue
            rows, columns = np.mgrid[window]
            rows, columns = rows - y, columns - x
            cos, sin = np.cos(self.angle[each]), np.sin(self.angle[each])
            along, across = cos * rows + sin * columns, cos * columns - sin * rows
            norm = np.sqrt((along / radii[0]) ** 2 + (across / radii[1]) ** 2)
            # At least 5 pixels away from the membrane of the cell.
            inside = np.minimum((1 - norm) * radii.min(), cut.gap[window] - 5)
            inside[cut.cell[window] != cell] = -1
            cristae = np.sin(1.3 * across + 0.12 * along)
            stain = 38 + 14 * cristae + 38 * np.exp(-(((inside - 1.5) / 1.3) ** 2))
            grey[window] -= np.where(inside > 0, stain, 0)


def _window(
    middle: tuple[int, int], reach: int, shape: tuple[int, ...]
) -> tuple[slice, ...]:
    """Rows and columns around a place, as far as they are in the frame."""
    return tuple(
        slice(*np.clip((place - reach, place + reach), 0, length))
        for place, length in zip(middle, shape, strict=True)
    )


def _pack(random: Generator, extent: int) -> tuple[Floats, Floats]:
    """Drop discs, large ones first, where there is room; (n, 2) places, (n,) radii."""
    count = max(4, extent**2 // 1100)
    radii = np.sort(np.clip(random.lognormal(2.65, 0.45, count), 7, 60))[::-1]
    places = np.empty((0, 2))
    kept: list[float] = []
    for radius in radii:
        tries = random.uniform(0, extent, (12, 2))
        if kept:
            distance = np.linalg.norm(tries[:, None] - places, axis=2)
            room = (distance - np.array(kept) - 0.8 * radius).min(1)
            tries = tries[room > 0]
        if len(tries):
            places = np.vstack([places, tries[:1]])
            kept.append(float(radius))
    return places, np.array(kept)


def _join(random: Generator, places: Floats) -> NDArray[np.intp]:
    """Let some neighbours be one cell, so that cells are not all convex."""
    from scipy.spatial import KDTree

    owner = np.arange(len(places))
    if len(places) < 2:
        return owner
    near = np.asarray(KDTree(places).query(places, k=2)[1])
    for seed in np.flatnonzero(random.random(len(places)) < 0.35):
        owner[owner == owner[seed]] = owner[near[seed, 1]]
    return owner


def _doubled(field: Floats) -> Floats:
    """Interpolate to twice the rows and columns."""
    return _doubled_rows(_doubled_rows(field).T).T


def _doubled_rows(field: Floats) -> Floats:
    padded = np.pad(field, ((1, 1), (0, 0)), mode="edge")
    doubled = np.empty((2 * field.shape[0], field.shape[1]))
    doubled[0::2] = 0.75 * field + 0.25 * padded[:-2]
    doubled[1::2] = 0.75 * field + 0.25 * padded[2:]
    return doubled


def _photograph(random: Generator, grey: Floats) -> NDArray[np.uint8]:
    """Add blur, noise, and the section's own brightness and contrast."""
    from scipy.ndimage import gaussian_filter

    grey = gaussian_filter(grey, 0.7)
    grey += gaussian_filter(random.normal(0, 36, grey.shape), 0.7)
    contrast, brightness = random.normal(1, 0.07), random.normal(0, 9)
    return np.clip((grey - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
