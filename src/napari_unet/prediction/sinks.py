"""From blocks to pieces of the results, beside the network."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.prediction.block import with_classes
from napari_unet.prediction.object_blocks import ObjectBlocks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future

    from napari_unet.config import PredictionConfig
    from napari_unet.prediction.block import Block, Place
    from napari_unet.prediction.engine import Prediction
    from napari_unet.prediction.stores import Store

THREADS = max(1, min(4, (os.cpu_count() or 1) // 4))
"""How many compress and write: few processors are better left to the network."""

_WAITING = 2  # blocks a thread may have before the network has to wait
_PATIENCE = 0.2  # seconds after which a waiting thread looks up, for Ctrl-C


class Background:
    """Calls a function for one block after the other, in threads of its own.

    What goes wrong there is raised by the next `put`, or by `join`.

    Parameters
    ----------
    take : callable
        Called with a block.
    threads : int
        With one, blocks are taken in order.
    """

    def __init__(self, take: Callable[[Block], None], threads: int = 1) -> None:
        self._take = take
        self._pool = ThreadPoolExecutor(threads, "results")
        self._room = BoundedSemaphore(threads + _WAITING)
        self._jobs: deque[Future[None]] = deque()

    def put(self, block: Block) -> None:
        """Hand over a block; waits while too many wait."""
        while not self._room.acquire(timeout=_PATIENCE):
            pass
        job = self._pool.submit(self._take, block)
        job.add_done_callback(lambda _: self._room.release())
        self._jobs.append(job)
        while self._jobs and self._jobs[0].done():
            self._jobs.popleft().result()

    def join(self) -> None:
        """Wait until all blocks are taken."""
        while self._jobs:
            wait([self._jobs[0]], timeout=_PATIENCE)
            if self._jobs[0].done():
                self._jobs.popleft().result()

    def close(self) -> None:
        """Let the threads end; blocks that still wait are dropped."""
        self._pool.shutdown(cancel_futures=True)


class ResultSink:
    """Hands the wanted results of each block to a store, in threads of its own.

    Parameters
    ----------
    work : Prediction
    config : PredictionConfig
    names : collection of str
        Out of ``labels``, or ``prediction`` for regression, ``probabilities``,
        ``objects`` and ``uncertainty``.
    store : Store

    Raises
    ------
    ConfigError
        If it is unclear which class is an object.
    StackFormatError
        If objects of volumes are wanted of sections.
    """

    def __init__(
        self,
        work: Prediction,
        config: PredictionConfig,
        names: Collection[str],
        store: Store,
    ) -> None:
        self._target = work.model.target
        self._store = store
        self._names = [name for name in names if name != "objects"]
        self._finder: ObjectBlocks | None = None
        self._threads = []
        if self._names:
            self._threads.append(Background(self._put_pixels, THREADS))
        if "objects" in names:
            self._finder = self._open_finder(work, config)
            self._threads.append(Background(self._put_objects))

    @property
    def needs_probabilities(self) -> bool:
        """Whether blocks must have probabilities."""
        wanted = "probabilities" in self._names or self._finder is not None
        return wanted and self._target.n > 1

    def skip(self, place: Place) -> bool:
        """Whether all results of a block are in the store already."""
        pixels = all(self._store.has(*self._where(name, place)) for name in self._names)
        return pixels and (self._finder is None or self._finder.knows(place))

    def put(self, block: Block) -> None:
        """Take a block; waits while the disk is behind.

        Raises
        ------
        UNetError
            If an earlier block could not be written.
        """
        for each in self._threads:
            each.put(block)

    def join(self) -> None:
        """Wait until all is in the store.

        Raises
        ------
        UNetError
            If it could not be written.
        """
        for each in self._threads:
            each.join()

    def close(self) -> None:
        """Let the threads end."""
        for each in self._threads:
            each.close()

    def _put_pixels(self, block: Block) -> None:
        for name in self._names:
            self._store.put(*self._where(name, block.place), self._pixels(name, block))

    def _pixels(self, name: str, block: Block) -> np.ndarray:
        if name in ("labels", "prediction"):
            return self._target.decode(block.labels)
        if name == "probabilities":
            assert block.probabilities is not None
            return np.moveaxis(block.probabilities, 0, -3)
        (uncertainty,) = block.maps.values()
        return uncertainty

    def _where(self, name: str, place: Place) -> tuple[str, Any]:
        return name, with_classes(place) if name == "probabilities" else place

    def _put_objects(self, block: Block) -> None:
        assert self._finder is not None
        for number, objects in self._finder.add(block):
            self._store.put("objects", self._finder.place(number), objects)
            self._store.note(f"objects {number}", self._finder.highest)

    def _open_finder(self, work: Prediction, config: PredictionConfig) -> ObjectBlocks:
        finder = ObjectBlocks(work.model, work.region, config)
        noted = {
            number: self._store.notes.get(f"objects {number}")
            for number in range(finder.count)
        }
        finder.known = {
            number: highest
            for number, highest in noted.items()
            if highest is not None and self._store.has("objects", finder.place(number))
        }
        return finder
