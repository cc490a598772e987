"""The images of a batch on a Dask cluster: blocks are computed there, written here.

Work is cut into shares of about equal cost, so that one huge image and many small ones
both keep all workers busy. A worker that dies costs its shares, which others do again.
Since one process writes, files are complete or not there, whatever happens elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.batch.item import (
    Filling,
    Finisher,
    Opened,
    Task,
    failure,
)
from napari_unet.batch.manifest import Fingerprint
from napari_unet.batch.share import (
    Recipe,
    Share,
    compute_share,
    cut,
    measure_share,
    model_bytes,
    unpack,
)
from napari_unet.data import open_stack
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import ConfigError, UNetError
from napari_unet.events import Event, TilesDone
from napari_unet.model import find_model
from napari_unet.networks.compute import dtype_name
from napari_unet.prediction.memory import free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_unet.batch.inputs import Item
    from napari_unet.config import ClusterConfig

_AHEAD = 3  # shares per thread of a worker that are on their way
_ANSWER = 30  # seconds in which a scheduler answers, or comes back
_PATIENCE = 0.5  # seconds after which one who waits looks up, for Ctrl-C

_KILLED = (
    "Its worker died several times at work on this image, most likely because memory "
    "ran out: give it less (--memory), then --retry-failed."
)


@contextlib.contextmanager
def connect(config: ClusterConfig) -> Iterator[Any]:
    """Connect to a Dask cluster, or start one on this machine.

    Parameters
    ----------
    config : ClusterConfig

    Yields
    ------
    distributed.Client

    Raises
    ------
    UNetError
        If dask.distributed is not installed, or the scheduler does not answer.
    """
    try:
        distributed = import_module("distributed")
    except ImportError:
        raise UNetError(
            "A cluster needs dask.distributed: pip install 'napari-unet-lab[cluster]'."
        ) from None
    scheduler = config.scheduler
    with contextlib.ExitStack() as opened:
        opened.enter_context(_same_environment())
        opened.enter_context(_quiet())
        try:
            if scheduler is None:
                where = {"address": opened.enter_context(_start_here(config.workers))}
            elif "://" in scheduler:
                where = {"address": scheduler}
            elif Path(scheduler).is_file():
                where = {"scheduler_file": scheduler}
            else:  # Dask would wait for it forever
                raise ConfigError(
                    f"There is no scheduler file {scheduler}: check the spelling, or "
                    "write an address as tcp://HOST:PORT."
                )
            client = opened.enter_context(distributed.Client(**where, timeout=_ANSWER))
        except (OSError, ValueError) as error:
            raise UNetError(
                f"The scheduler {scheduler or 'of this machine'} does not answer "
                f"({error}). Check its address, and that it runs."
            ) from error
        yield client


def describe(client: Any) -> str:
    """Say where a cluster shows what it does, and how many workers it has."""
    info = client.scheduler_info()
    shown = "dashboard" in info["services"]
    where = f"dashboard: {client.dashboard_link}" if shown else info["address"]
    count = len(client.nthreads())
    workers = "1 worker" if count == 1 else f"{count} workers"
    words = f"{workers} now" if count else "no worker is there yet; it waits for one"
    return f"Dask {where} ({words})"


@contextlib.contextmanager
def _same_environment() -> Iterator[None]:
    """Take back what Dask sets for its workers in the process that starts them."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask says of itself from the terminal: what fails is told otherwise."""
    names = ("distributed", "distributed.client")
    loggers = {each: each.level for each in map(logging.getLogger, names)}
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)


def _start_here(workers: int | None) -> Any:
    """Start processes on this machine, which share its processors."""
    distributed, dask = import_module("distributed"), import_module("dask")
    workers = workers or os.cpu_count() or 1
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    environment = "distributed.nanny.pre-spawn-environ"
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    with dask.config.set({f"{environment}.{name}": threads for name in names}):
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )


def memory_of_worker(client: Any) -> int:
    """Return the bytes that a thread of the worker with least memory may take."""
    workers = client.scheduler_info()["workers"].values()
    limits = [
        each["memory_limit"] // each["nthreads"]
        for each in workers
        if each["memory_limit"]
    ]
    return min(limits, default=free_memory())


@dataclass(eq=False)
class _Running:
    """An image on the cluster: its shares are asked for in order, a few ahead."""

    filling: Filling
    recipe: Recipe
    shares: Iterator[Share]
    futures: deque[Any] = field(default_factory=deque)
    asked: bool = False  # for the last share
    done: int = 0


def predict_on_cluster(
    task: Task,
    model: Path,
    items: Sequence[Item],
    client: Any,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict images as `predict_items` does, to the same bytes.

    Parameters
    ----------
    task : Task
    model : Path
        Its file, which is sent to each worker once.
    items : sequence of Item
        Their images lie where all workers can read them.
    client : distributed.Client

    Raises
    ------
    UNetError
        If the scheduler is lost. What is written stays, and can be gone on with.
    """
    run = _Run(task, model, client, should_stop)
    try:
        yield from run.predict(deque(items))
    except (OSError, import_module("distributed").CancelledError) as error:
        raise UNetError(
            f"The scheduler is lost ({error}). What is done is kept: the same command "
            "goes on."
        ) from error
    finally:
        run.close()


class _Run:
    def __init__(
        self, task: Task, model: Path, client: Any, should_stop: Callable[[], bool]
    ) -> None:
        self._task, self._client, self._should_stop = task, client, should_stop
        content = find_model(model).read_bytes()
        self._model = client.submit(model_bytes, content)
        self._finisher = Finisher()
        self._running: deque[_Running] = deque()
        self._opening: deque[tuple[Item, Any]] = deque()
        self._predictor: Any = None
        self._suspects: deque[Item] = deque()  # at work when workers died
        self._alone = False

    def predict(self, items: deque[Item]) -> Iterator[Event]:
        """Predict all images; at the end each suspect by itself."""
        yield from self._predict(items)
        self._alone = True
        while self._suspects:
            yield from self._predict(deque([self._suspects.popleft()]))

    def _predict(self, items: deque[Item]) -> Iterator[Event]:
        """Keep shares on their way; take the results of the first image in order."""
        while not self._should_stop():
            yield from self._fill_up(items)
            if not self._running:
                break
            first = self._running[0]
            if first.futures:
                yield from self._take(first)
            elif first.asked:
                self._running.popleft()
                yield from self._finisher.take(first.filling)
        yield from self._finisher.last()

    def close(self) -> None:
        """Leave what is at work, and let the thread end."""
        for running in self._running:
            self._drop(running)
        self._finisher.close()

    def _most(self) -> int:
        threads: int = sum(self._client.nthreads().values())
        return _AHEAD * max(1, threads)

    def _fill_up(self, items: deque[Item]) -> Iterator[Event]:
        """Ask for shares, of the images in order, until enough are on their way."""
        most = self._most()
        while sum(len(each.futures) for each in self._running) < most:
            running = next((each for each in self._running if not each.asked), None)
            if running is None:
                while items and len(self._opening) < most:
                    self._open(items.popleft())
                if not self._opening:
                    return
                yield from self._start(*self._opening.popleft())
                continue
            share = next(running.shares, None)
            if share is None:
                running.asked = True
                continue
            running.futures.append(
                self._client.submit(
                    compute_share, self._model, running.recipe, share, pure=False
                )
            )

    def _open(self, item: Item) -> None:
        told = {"name": item.name, "image": str(item.image), "region": item.region}
        options = self._task.config.to_dict()
        future = self._client.submit(
            measure_share, self._model, told, options, self._task.axes, pure=False
        )
        self._opening.append((item, future))

    def _start(self, item: Item, measured: Any) -> Iterator[Event]:
        """Open the files of an image whose grey values are measured."""
        if not self._wait(measured):
            return
        try:
            normalise, image = measured.result()
            stack = open_stack(item.image, axes=self._task.axes)
            opened = Opened(
                item,
                stack,
                Normalisation.from_dict(normalise),
                Fingerprint(**image),
            )
            filling = Filling.begin(self._task, opened, self._predictor)
        except Exception as error:  # noqa: BLE001  one image must not end the others
            yield from self._fail(item, error)
            return
        work = filling.results.work
        self._predictor = work.predictor
        recipe = _recipe(self._task, opened, filling)
        skip = filling.sink.skip
        self._running.append(_Running(filling, recipe, cut(work, skip)))
        yield filling.begun()

    def _take(self, running: _Running) -> Iterator[Event]:
        """Wait for the first share of an image, and hand its blocks on."""
        if not self._wait(running.futures[0]):
            return
        try:
            for packed in running.futures.popleft().result():
                running.filling.sink.put(unpack(packed))
                running.done += 1
        except Exception as error:  # noqa: BLE001  as above
            self._running.remove(running)
            self._drop(running)
            yield from self._fail(running.filling.opened.item, error)
            return
        work = running.filling.results.work
        total = work.frames * len(work.plan.tiles)
        yield TilesDone(min(running.done, total), total)

    def _drop(self, running: _Running) -> None:
        with contextlib.suppress(OSError):
            self._client.cancel(list(running.futures))
        running.filling.drop()

    def _wait(self, future: Any) -> bool:
        """Wait until it is done; false if a stop was asked for before."""
        wait = import_module("distributed").wait
        while not future.done():
            if self._should_stop():
                return False
            with contextlib.suppress(TimeoutError):
                wait(future, timeout=_PATIENCE)
        return True

    def _fail(self, item: Item, error: Exception) -> Iterator[Event]:
        if self._client.status != "running":
            raise OSError(str(error) or "no answer")
        killed = type(error).__name__ == "KilledWorker"
        if killed and not self._alone:  # it may have been another's fault
            self._suspects.append(item)
        else:
            yield failure(item, UNetError(_KILLED) if killed else error)


def _recipe(task: Task, opened: Opened, filling: Filling) -> Recipe:
    work = filling.results.work
    precision = dtype_name(work.predictor.dtype)
    return Recipe(
        str(opened.item.image),
        task.axes,
        opened.item.region,
        replace(task.config, precision=precision).to_dict(),
        work.normalise.to_dict(),
        {
            "window": list(work.plan.window),
            "blended": work.plan.blended,
            "batch": work.plan.batch,
            "precision": precision,
        },
        filling.sink.needs_probabilities,
    )
