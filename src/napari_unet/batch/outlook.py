"""What a batch would do, told without predicting anything."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from napari_unet.batch.inputs import list_items
from napari_unet.batch.item import reason_of
from napari_unet.batch.manifest import NAME, Manifest
from napari_unet.batch.order import check_output, find_purposes, planned_files
from napari_unet.batch.results import open_truth
from napari_unet.batch.run import list_waiting
from napari_unet.data import open_stack
from napari_unet.data.region import find_region
from napari_unet.model import Model
from napari_unet.prediction.engine import check_channels
from napari_unet.prediction.predictor import Predictor
from napari_unet.prediction.windows import list_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.batch.inputs import Item
    from napari_unet.batch.manifest import Record
    from napari_unet.batch.order import Order

_PROBED = 0.5  # seconds that the network is tried for, to know its speed


@dataclass(frozen=True)
class Outlook:
    """What would be done with one image.

    Attributes
    ----------
    name : str
    state : {"waiting", "done", "failed"}
        Whether it would be predicted, or is done or has failed in an earlier run.
    axes : str
    shape : list of int
    window : list of int
        What the network would be given at once, in pixels.
    tiles : int
    memory : int
        Bytes that are expected to be taken at most.
    seconds : float
        By the speed of the network alone.
    files : list of str
        What would be written.
    truth : str
        The mask that it would be scored by.
    problem : str
        Why it would fail, as far as headers tell, or has failed.
    """

    name: str
    state: str
    axes: str = ""
    shape: tuple[int, ...] = ()
    window: tuple[int, ...] = ()
    tiles: int = 0
    memory: int = 0
    seconds: float = 0.0
    files: tuple[str, ...] = ()
    truth: str = ""
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def line(self) -> str:
        """Return it as a line to read."""
        if self.state == "done":
            return f"{self.name}: done in an earlier run"
        if self.state == "failed":
            return f"{self.name}: failed in an earlier run: {self.problem}"
        if self.problem:
            return f"{self.name}: would fail: {self.problem}"
        size = " × ".join(map(str, self.shape))
        return (
            f"{self.name}: {self.axes} {size}, {_count(self.tiles, 'tile')} of "
            f"{' × '.join(map(str, self.window))}, "
            f"{self.memory / 1e6:.0f} MB, about {self.seconds:.1f} s "
            f"-> {', '.join(self.files)}{self.truth and f', scored by {self.truth}'}"
        )


@dataclass(frozen=True)
class Total:
    """What would be done in all.

    Attributes
    ----------
    images, done, failed, failing : int
        How many there are; are done, or have failed, in earlier runs; and would fail.
    scored : int
        How many would be scored by a truth.
    seconds : float
        By the speed of the network alone.
    memory : int
        Bytes that the largest is expected to take.
    """

    images: int = 0
    done: int = 0
    failed: int = 0
    failing: int = 0
    scored: int = 0
    seconds: float = 0.0
    memory: int = 0

    def plus(self, image: Outlook) -> Total:
        """Return the total with one more image."""
        return Total(
            self.images + 1,
            self.done + (image.state == "done"),
            self.failed + (image.state == "failed"),
            self.failing + (image.state == "waiting" and bool(image.problem)),
            self.scored + bool(image.truth),
            round(self.seconds + image.seconds, 2),
            max(self.memory, image.memory),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def line(self) -> str:
        """Return it as a line to read."""
        time = str(timedelta(seconds=math.ceil(self.seconds)))
        told = {
            "done before": self.done,
            "failed before (--retry-failed tries them again)": self.failed,
            "would be scored": self.scored,
        }
        counts = [f"{each} {what}" for what, each in told.items() if each]
        counts = [_count(self.images, "image"), *counts, f"{self.failing} would fail"]
        return (
            f"{', '.join(counts)}; about {time} of computing, "
            f"{self.memory / 1e6:.0f} MB at most"
        )


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def look_ahead(order: Order) -> Iterator[Outlook]:
    """Say of each image of a batch what would be done with it.

    Raises
    ------
    StackFormatError, ConfigError, OutputExistsError, UNetError
        As `run_batch` does before anything is predicted.
    """
    items = list_items(order.inputs, order.out, order.truth)
    order.results()
    check_output(order, items)
    waiting = {item.name for item in items}
    records: dict[str, Record] = {}
    if (order.out / NAME).exists():
        manifest = Manifest(order.out)
        purposes, records = find_purposes(order, items), manifest.records
        waiting = {each.name for each in list_waiting(order, items, purposes, manifest)}
        manifest.close()
    model = Model.load(order.model)
    predictor = Predictor(model.network, model.config, order.config)
    speed = _pixels_per_second(predictor)
    for item in items:
        if item.name not in waiting:
            record = records[item.name]
            yield Outlook(item.name, record.state, problem=record.reason)
            continue
        try:
            yield _look(order, item, model, predictor, speed)
        except Exception as error:  # noqa: BLE001  a broken file may fail in any way
            yield Outlook(item.name, "waiting", problem=reason_of(error))


def _look(
    order: Order, item: Item, model: Model, predictor: Predictor, speed: float
) -> Outlook:
    stack = open_stack(item.image, axes=order.axes)
    check_channels(model, stack)
    region = find_region(stack, item.region)
    if item.truth is not None:
        open_truth(item.truth, stack, region)
    shape = stack.shape_seen(model.config.dims)
    frames = len(list_frames(stack, model.config, region))
    bounds = region.along("ZYX"[-len(shape) :])
    plan = predictor.plan(shape, order.config.tile, bounds, frames=frames)
    computed = frames * len(plan.tiles) * math.prod(plan.window)
    return Outlook(
        item.name,
        "waiting",
        stack.axes,
        stack.shape,
        tuple(plan.window),
        frames * len(plan.tiles),
        predictor.expected(plan),
        round(computed / speed, 2),
        tuple(str(each) for each in planned_files(order, [item])),
        str(item.truth or ""),
    )


def _pixels_per_second(predictor: Predictor) -> float:
    """Try how fast the network is."""
    geometry, config = predictor.geometry, predictor.config
    lengths = [geometry.nearest(256 if config.dims == 2 else 32)] * config.dims
    window = torch.zeros(config.inputs, *lengths).numpy()
    batch = predictor.batch([window])
    predictor(batch)  # the first call prepares
    began, calls = time.monotonic(), 0
    while time.monotonic() - began < _PROBED:
        predictor(batch)
        calls += 1
    return calls * math.prod(lengths) / (time.monotonic() - began)
