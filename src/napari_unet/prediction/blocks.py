"""The tiles of a plan, predicted one after the other, while memory lasts."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_unet.data.region import Region, find_region
from napari_unet.prediction.plan import join
from napari_unet.prediction.stitch import Blender, Stitcher
from napari_unet.prediction.windows import (
    KEPT,
    Frame,
    WindowReader,
    list_frames,
    read_ahead,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.stack import Stack
    from napari_unet.prediction.block import Block, Place
    from napari_unet.prediction.plan import Plan, Tile
    from napari_unet.prediction.predictor import Predictor

    Job = tuple[int, Frame, Tile]

_LOG = logging.getLogger(__name__)


def keep(place: Place) -> bool:
    """Skip no block."""
    return False


def predict_blocks(
    predictor: Predictor,
    stack: Stack,
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
    plan: Plan,
    *,
    region: Region | None = None,
    probabilities: bool = False,
    skip: Callable[[Place], bool] = keep,
    frames: slice = slice(None),
) -> Iterator[Block | int]:
    """Predict tile after tile; memory grows neither with their number nor the image.

    Where memory does not suffice after all, tiles are halved from there on: their
    blocks are parts of those of the plan, or of slabs narrower.

    Parameters
    ----------
    predictor : Predictor
    stack : Stack
        Only the windows of tiles are read of it, ahead and in another thread.
    normalise : callable
        Makes float32 of pixels ``(C, Y, X)``.
    plan : Plan
        As `predictor.plan` makes it for the bounds of the region.
    region : Region, optional
        All by default.
    probabilities : bool
        Whether blocks are to have them.
    skip : callable
        Called with the place of a block; when true, the block is not computed.
    frames : slice
        Which of the sections or volumes; as many from the start of the region, times
        the tiles of each, must be a multiple of the batch for equal last digits.

    Yields
    ------
    Block
        Sections in order, the tiles of each in the order of the plan. Where tiles are
        blended, slabs across the first axis that is cut.
    int
        After each batch and its blocks, the number of tiles in it, those skipped too.

    Raises
    ------
    OutOfMemoryError
        If not even the smallest tile fits.
    """
    found = list_frames(stack, predictor.config, region or find_region(stack))[frames]
    run = _Run(predictor, stack, normalise, plan.bounds, probabilities, skip)
    return run.predict(found, plan)


@dataclass(frozen=True)
class _Run:
    predictor: Predictor
    stack: Stack
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]]
    region: Sequence[tuple[int, int]]
    probabilities: bool
    skip: Callable[[Place], bool]

    def predict(
        self, frames: list[Frame], plan: Plan, kept: int = KEPT
    ) -> Iterator[Block | int]:
        """Predict the tiles of `plan` in each frame, keeping so many bytes of them."""
        stitcher = (Blender if plan.blended else Stitcher)(
            plan,
            self.region,
            probabilities=self.probabilities,
            uncertainty=self.predictor.uncertainty,
            skip=self.skip,
        )
        read = WindowReader(
            self.stack, self.normalise, self.predictor.config, plan, kept
        )
        size, done = plan.batch, 0
        while True:
            jobs = _batches(frames, plan.tiles, done, stitcher.needs, size)
            for (batch, stop), windows in read_ahead(
                lambda given: [read(*job[1:]) for job in given[0]], jobs
            ):
                blocks, failed = self._try(stitcher, batch, windows)
                yield from blocks
                if failed is not None:
                    break
                yield stop - done
                done = stop
            else:
                return
            yield failed - done
            done = failed
            size = min(size, len(batch)) // 2
            if size == 0 or plan.blended:
                break
            _LOG.warning("Memory does not suffice: from here %d tiles at once", size)
        yield from self._smaller(frames, plan, done, stitcher)

    def _try(
        self, stitcher: Stitcher, batch: list[Job], windows: Future[Any]
    ) -> tuple[list[Block], int | None]:
        """Compute a batch; return its blocks, and the job that memory ended at."""
        blocks: list[Block] = []
        at = batch[0][0] if batch else None
        try:
            read = windows.result()
            if not batch:
                return [], None
            logits = self.predictor(self.predictor.batch(read))
            for job, each in zip(batch, logits, strict=True):
                at = job[0]
                if stitcher.needs(*job[1:]):
                    blocks.extend(stitcher.add(*job[1:], each))
            return blocks, None
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        if self.predictor.device.type == "cuda":
            torch.cuda.empty_cache()
        return blocks, at

    def _smaller(
        self, frames: list[Frame], plan: Plan, done: int, stitcher: Stitcher
    ) -> Iterator[Block | int]:
        """Predict the tiles from number `done` on in windows of half the pixels."""
        number, tiles = divmod(done, len(plan.tiles))
        shape = self.stack.shape_seen(self.predictor.config.dims)

        def halve(bounds: Sequence[tuple[int, int]]) -> Plan:
            return self.predictor.smaller(plan, shape, bounds)

        if plan.blended:
            left = halve(stitcher.unfinished(frames[number]))
            whole = halve(plan.bounds)
        else:
            parts = [
                halve([(each.start, each.stop) for each in tile.core])
                for tile in plan.tiles
            ]
            left, whole = join(plan, parts[tiles:]), join(plan, parts)
        sides = " × ".join(map(str, whole.window))
        _LOG.warning("Memory does not suffice: from here tiles of %s pixels", sides)
        for chosen, smaller, count in (
            (frames[number : number + 1], left, len(plan.tiles) - tiles),
            (frames[number + 1 :], whole, len(plan.tiles)),
        ):
            given = 0
            done, total = 0, len(chosen) * len(smaller.tiles)
            for result in self.predict(chosen, smaller, kept=0):
                if not isinstance(result, int):
                    yield result
                    continue
                done += result  # of the smaller ones; the plan promised larger ones
                yield done * len(chosen) * count // total - given
                given = done * len(chosen) * count // total


def _batches(
    frames: list[Frame],
    tiles: Sequence[Tile],
    first: int,
    needs: Callable[[Frame, Tile], bool],
    size: int,
) -> Iterator[tuple[list[Job], int]]:
    """Give the jobs some at a time, and how far they go; none where none is needed.

    A job is its number, from `first` on, with its frame and tile. Batches are the same
    whichever of their jobs are needed: the last digits of a window may depend on
    whether it is computed alone, and what is gone on with must not differ in them.
    """
    total = len(frames) * len(tiles)
    for start in range(first, total, size):
        stop = min(start + size, total)
        batch = [
            (number, frames[number // len(tiles)], tiles[number % len(tiles)])
            for number in range(start, stop)
        ]
        wanted = any(needs(*job[1:]) for job in batch)
        yield batch if wanted else [], stop


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, and nothing else."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error)
    return type(error) is RuntimeError and (
        "DefaultCPUAllocator: can't allocate memory" in said
        or "DefaultCPUAllocator: not enough memory" in said  # on Windows
        or said.startswith("MPS backend out of memory")
    )
