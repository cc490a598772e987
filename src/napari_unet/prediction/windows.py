"""From a stack to what the network is given: windows, read ahead of it."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from napari_unet.config import NetworkConfig
    from napari_unet.data.region import Region
    from napari_unet.data.stack import Stack
    from napari_unet.prediction.block import Place
    from napari_unet.prediction.plan import Plan, Tile
    from napari_unet.prediction.spans import Span

AHEAD = 2
"""Batches of windows that are read before the network asks for them."""

KEPT = 2**26
"""Bytes of normalised pixels that are kept by default for what lies beside them."""


@dataclass(frozen=True)
class Frame:
    """What the network sees at once, tile by tile: one section, or one volume.

    Attributes
    ----------
    sections : tuple of tuple of int
        The sections it is made of. Of a volume, those along Z, one by one; else one
        entry, a section between those above and below it that the network sees.
    index : tuple of int or None
        Its place in the labels of the region; None along Z where it is a volume.
    """

    sections: tuple[tuple[int, ...], ...]
    index: tuple[int | None, ...]

    def place(self, box: Sequence[slice]) -> Place:
        """Return where a box of it belongs; axes (Y, X), or (Z, Y, X) of a volume."""
        inner = iter(box)
        looped = [next(inner) if each is None else each for each in self.index]
        return (*looped, *inner)


def list_frames(stack: Stack, config: NetworkConfig, region: Region) -> list[Frame]:
    """List what a network sees of a region, in the order of its sections."""
    looped = region.axes[:-2]
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    sections = np.arange(stack.n_sections).reshape([lengths[axis] for axis in looped])
    if config.dims == 3:  # its axis Z is kept whole: tiles cut it
        seen = np.moveaxis(sections, looped.index("Z"), -1)[..., None]
    else:
        near = stack.neighbours(config.context)
        seen = near[sections][..., None, :]
    ranges = {
        axis: range(*bounds)
        for axis, bounds in zip(looped, region.bounds, strict=False)
        if config.dims == 2 or axis != "Z"
    }
    frames = []
    for index in np.ndindex(*map(len, ranges.values())):
        at = tuple(each[i] for each, i in zip(ranges.values(), index, strict=True))
        inner = dict(zip(ranges, index, strict=True))
        frames.append(
            Frame(
                tuple(tuple(map(int, each)) for each in seen[at]),
                tuple(inner.get(axis) for axis in looped),
            )
        )
    return frames


class WindowReader:
    """Reads windows, normalised, each pixel as rarely as memory allows.

    Where the pixels of all sections that a frame's tiles look at fit in memory, each
    section is read once, as far as the plan needs it; else every window by itself.

    Parameters
    ----------
    stack : Stack
    normalise : callable
        Makes float32 of pixels ``(C, Y, X)``.
    config : NetworkConfig
    plan : Plan
    kept : int
        Bytes of normalised pixels that may be kept for the tiles and sections beside.
    """

    def __init__(
        self,
        stack: Stack,
        normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
        config: NetworkConfig,
        plan: Plan,
        kept: int = KEPT,
    ) -> None:
        self._stack = stack
        self._normalise = normalise
        self._shape = stack.shape_seen(config.dims)
        box = plan.read(self._shape)
        depth = plan.window[0] if config.dims == 3 else 1 + 2 * config.context
        self._most = min(depth, stack.n_sections)
        pixels = math.prod(stop - start for start, stop in box[-2:])
        whole = 4 * self._most * stack.n_channels * pixels <= kept
        self._box = box[-2:] if whole else None
        if not whole and config.context == 0:
            self._most = 0
        self._kept: OrderedDict[Any, NDArray[np.float32]] = OrderedDict()

    def __call__(self, frame: Frame, tile: Tile) -> NDArray[np.float32]:
        """Return a window ``(C, …)``, mirrored beyond the border of the image."""
        extent = [
            span.read(length)
            for span, length in zip(tile.spans, self._shape, strict=True)
        ]
        chosen = frame.sections
        if len(extent) == 3:
            chosen = chosen[slice(*extent[0])]
        planes = [
            self._plane(section, extent[-2:]) for near in chosen for section in near
        ]
        if len(extent) == 3:
            pixels = np.stack(planes, axis=1)
        else:
            pixels = planes[0] if len(planes) == 1 else np.concatenate(planes)
        return _mirrored(pixels, tile.spans, extent, self._shape)

    def _plane(
        self, section: int, extent: Sequence[tuple[int, int]]
    ) -> NDArray[np.float32]:
        """Read a window of one section, out of those kept if it is there."""
        box = self._box or extent
        rows, columns = (slice(*each) for each in box)
        key = section, rows.start, columns.start
        plane = self._kept.pop(key, None)
        if plane is None:
            plane = self._normalise(self._stack.section(section, rows, columns))
        self._kept[key] = plane
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        within = [
            slice(start - first, stop - first)
            for (start, stop), (first, _) in zip(extent, box, strict=True)
        ]
        return plane[:, *within]


def _mirrored(
    pixels: NDArray[np.float32],
    spans: Sequence[Span],
    extent: Sequence[tuple[int, int]],
    shape: Sequence[int],
) -> NDArray[np.float32]:
    pads = [
        (max(-span.first, 0), max(span.last - length, 0))
        for span, length in zip(spans, shape, strict=True)
    ]
    if any(map(any, pads)):
        pixels = np.pad(pixels, [(0, 0), *pads], mode="reflect")
    # Pixels that were read only for their mirror image go.
    offsets = [
        max(span.first, 0) - start
        for span, (start, _) in zip(spans, extent, strict=True)
    ]
    lengths = [span.last - span.first for span in spans]
    cuts = [slice(o, o + n) for o, n in zip(offsets, lengths, strict=True)]
    return pixels[:, *cuts]


def read_ahead(
    read: Callable[[Any], Any], jobs: Iterable[Any], depth: int = AHEAD
) -> Generator[tuple[Any, Future[Any]], None, None]:
    """Give each job with the future of what `read` makes of it.

    Up to `depth` of them are read ahead, in a thread of its own. When the iterator is
    closed or fails, what is being read is waited for and the rest dropped.
    """
    waiting: deque[tuple[Any, Future[Any]]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        for job in jobs:
            waiting.append((job, pool.submit(read, job)))
            if len(waiting) > depth:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
