"""Speed of batches beside the bare engine, and of clusters: part of ``make bench``.

Both ways predict the same 200 images, of 64² to 1024² pixels (``--largest``), some of
them stacks and some broken, and are timed in turn; the engine has them in memory and
writes nothing. What a batch does besides is timed on one large image, and on the names
of 100,000.

``python benchmarks/batch.py --quick`` takes seconds and shows no more than that it
runs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timing import median, python, ratio, untrained_model

from napari_unet.batch.cluster import predict_on_cluster
from napari_unet.batch.inputs import Item, list_items
from napari_unet.batch.item import Filling, Task, open_item
from napari_unet.batch.manifest import NAME, Fingerprint, Manifest, Record
from napari_unet.batch.pipeline import predict_items
from napari_unet.batch.share import Recipe, Share, compute_share, pack, unpack
from napari_unet.config import OutputConfig, PredictionConfig
from napari_unet.data import Stack, open_stack, write_stack
from napari_unet.data.normalisation import measure_normalisation
from napari_unet.errors import UNetError
from napari_unet.networks.compute import choose_dtype, dtype_name
from napari_unet.prediction.engine import prepare
from napari_unet.prediction.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRECISION = dtype_name(choose_dtype(PredictionConfig(), torch.device("cpu")))
CONFIG = PredictionConfig("cpu", PRECISION, memory="2GB")
SHARES = 200


def main() -> None:
    """Print what is measured, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and tiny images")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--largest", type=int, default=1024, metavar="EDGE")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    largest, images = (128, 6) if given.quick else (given.largest, given.images)
    rounds = 1 if given.quick else given.rounds
    edge, names = (128, 100) if given.quick else (4096, 100_000)
    with tempfile.TemporaryDirectory() as folder:
        case = Case.make(Path(folder), images, largest)
        for lines in (
            throughput(case, rounds),
            pieces(case, edge),
            cluster(case, rounds),
            start_up(case),
            listing(case.folder / "many", names),
        ):
            for line in lines:
                print(line, flush=True)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and images in files."""

    folder: Path
    model: Path
    items: list[Item]
    pixels: int

    @classmethod
    def make(cls, folder: Path, count: int, largest: int) -> Case:
        """Write images whose edges are spread evenly over the octaves."""
        rng = np.random.default_rng(0)
        model = untrained_model().save(folder / "model.safetensors")
        (folder / "in").mkdir()
        pixels = 0
        for number in range(count):
            path = folder / "in" / f"{number:04d}.tif"
            if number % 20 == 19:
                path.write_bytes(b"II*\0 nothing")
                continue
            edge = int(64 * 2 ** rng.uniform(0, np.log2(largest / 64)))
            shape = (
                (rng.integers(2, 6), edge, edge) if number % 5 == 0 else (edge, edge)
            )
            image = rng.integers(0, 255, shape, np.uint8)
            sections = image.reshape(-1, edge, edge)
            axes = "ZYX"[-len(shape) :]
            write_stack(path, sections, shape=shape, axes=axes, dtype="uint8")
            pixels += image.size
        return cls(folder, model, list_items([folder / "in"], folder / "out"), pixels)

    def task(self) -> Task:
        """Return what is done with each: labels, compressed."""
        from napari_unet import Model

        out = Path(tempfile.mkdtemp(dir=self.folder))
        return Task(Model.load(self.model), CONFIG, OutputConfig(), ["labels"], out)


def throughput(case: Case, rounds: int) -> Iterator[str]:
    """Time the engine alone, and a batch in the same process."""
    task = case.task()
    predictor = Predictor(task.model.network, task.model.config, CONFIG)
    stacks = list(in_memory(case.items))

    def engine() -> None:
        for stack in stacks:
            normalise = measure_normalisation(stack)
            work = prepare(
                task.model, stack, CONFIG, normalise=normalise, predictor=predictor
            )
            for _ in work.blocks():
                pass

    def batch() -> None:
        for _ in predict_items(case.task(), case.items):
            pass

    engine()  # the first time prepares
    alone, together = timed([engine, batch], rounds)
    speeds = [case.pixels / median(each) / 1e6 for each in (alone, together)]
    yield (
        f"a batch computes {speeds[1]:.2f} Mpixel/s, the engine alone {speeds[0]:.2f}: "
        f"{ratio(alone, together):.2f} of it"
    )


def pieces(case: Case, edge: int) -> Iterator[str]:
    """Time one after the other what a cluster does with an image of 16 bit."""
    image = np.random.default_rng(0).integers(0, 2**16, (edge, edge), np.uint16)
    path = case.folder / "large.tif"
    write_stack(path, [image], shape=image.shape, axes="YX", dtype="uint16")
    task = case.task()
    open_item(task, case.items[0])  # the first time prepares
    begun = [time.perf_counter()]
    opened = open_item(task, Item(path.name, path))
    begun.append(time.perf_counter())
    filling = Filling.begin(task, opened)
    blocks = list(filling.results.work.blocks())  # the first time prepares
    begun.append(time.perf_counter())
    blocks = list(filling.results.work.blocks())
    begun.append(time.perf_counter())
    packed = [pack(each) for each in blocks if not isinstance(each, int)]
    begun.append(time.perf_counter())
    for each in packed:
        filling.sink.put(unpack(each))
    filling.finish()
    begun.append(time.perf_counter())
    opening, _, computing, _, writing = np.diff(begun) / image.size
    size = sum(len(part) for each in packed for *_, part in each.arrays.values())
    yield f"the network takes {computing * 1e6:.2f} µs a pixel"
    yield f"to normalise and hash takes {opening * 1e9:.1f} ns a pixel"
    yield f"to unpack and write labels takes {writing * 1e9:.1f} ns a pixel"
    yield f"labels of noise weigh {size / image.size:.2f} bytes a pixel on their way"


def listing(folder: Path, count: int) -> Iterator[str]:
    """Time and weigh the names of many images, and what is known of them."""
    for number in range(count):
        path = folder / "in" / f"day {number // 1000}" / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    out = folder / "out"
    items = list_items([folder / "in"], out)
    out.mkdir()
    image = Fingerprint(1, 1, "0" * 32)
    facts = {"pixels": 1, "seconds": 1.0}
    with (out / NAME).open("w") as file:
        for item in items:
            files = {"labels": f"{item.name}.labels.tif"}
            record = Record(item.name, "done", "0" * 16, image, files, facts)
            file.write(json.dumps(dataclasses.asdict(record)) + "\n")
    ways: dict[str, Callable[[], Any]] = {
        "list": lambda: list_items([folder / "in"], out),
        "read the manifest of": lambda: known(out),
    }
    for name, way in ways.items():
        began = time.perf_counter()
        way()
        took = time.perf_counter() - began
        tracemalloc.start()
        kept = way()
        megabytes = tracemalloc.get_traced_memory()[0] / 1e6
        tracemalloc.stop()
        del kept
        yield f"to {name} {count} images: {took:.2f} s, {megabytes:.0f} MB"


def known(out: Path) -> Manifest:
    """Read a manifest."""
    with contextlib.closing(Manifest(out)) as manifest:
        return manifest


def in_memory(items: list[Item]) -> Iterator[Stack]:
    """Read all images that can be read."""
    for item in items:
        try:
            stack = open_stack(item.image)
            yield dataclasses.replace(stack, pixels=np.asarray(stack))
        except UNetError:
            continue


def cluster(case: Case, rounds: int) -> Iterator[str]:
    """Time one and two workers of one thread each, and shares that hold nothing."""
    import dask
    from distributed import Client, LocalCluster

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    one = {f"distributed.nanny.pre-spawn-environ.{name}": "1" for name in names}
    times: dict[int, list[float]] = {}
    for workers in (1, 2):
        with (
            dask.config.set(one),
            LocalCluster(workers, threads_per_worker=1, dashboard_address=":0") as here,
            Client(here) as client,
        ):

            def batch(client: Any = client) -> None:
                for _ in predict_on_cluster(
                    case.task(), case.model, case.items, client
                ):
                    pass

            batch()  # workers load torch and the model
            (times[workers],) = timed([batch], rounds)
            overhead = empty_shares(case, client)
    yield f"2 workers over 1: {ratio(times[1], times[2]):.2f} times as fast"
    yield f"a share costs {overhead * 1e3:.1f} ms besides what is computed"


def empty_shares(case: Case, client: Any) -> float:
    """Return the seconds that a share takes which holds no block."""
    task, item = case.task(), case.items[0]
    work = prepare(task.model, open_stack(item.image), CONFIG)
    told = (str(item.image), None, None)
    plan = {"window": list(work.plan.window), "blended": False, "batch": 1}
    recipe = Recipe(*told, CONFIG.to_dict(), work.normalise.to_dict(), plan, False)
    model = client.scatter(case.model.read_bytes(), broadcast=True)
    nothing = Share((0, 0), frozenset())

    def ask(count: int) -> float:
        began = time.perf_counter()
        client.gather(
            [
                client.submit(compute_share, model, recipe, nothing, pure=False)
                for _ in range(count)
            ]
        )
        return time.perf_counter() - began

    ask(2)
    return ask(SHARES) / SHARES


def start_up(case: Case) -> Iterator[str]:
    """Time a command line from its start to the first event, and for one image."""
    out, one = case.folder / "first", case.items[0].image
    words = ["-m", "napari_unet", "batch", case.model, one, "--out", out, "--json"]
    began = time.perf_counter()
    kinds = [json.loads(line)["event"] for line in python(*words).splitlines()]
    whole = time.perf_counter() - began
    assert kinds[-1] == "BatchFinished", kinds
    began = time.perf_counter()
    python(*words)
    again = time.perf_counter() - began
    yield f"one image takes {whole:.1f} s from the start; {again:.1f} s if it is done"


def timed(ways: list[Callable[[], None]], rounds: int) -> list[list[float]]:
    """Time functions in turn."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, seconds in zip(ways, times, strict=True):
            began = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    main()
