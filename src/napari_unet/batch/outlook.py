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
    from napari_unet.batch.order import Order

_PROBED = 0.5  # seconds that the network is tried for, to know its speed


@dataclass(frozen=True)
class Outlook:
    """What would be done with one image.

    Attributes
    ----------
    name : str
    state : {"waiting", "settled"}
        Whether it would be predicted, or is done or has failed before.
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
    problem : str
        Why it would fail, as far as its header tells.
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
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def line(self) -> str:
        """Return it as a line to read."""
        if self.state == "settled":
            return f"{self.name}: settled in an earlier run"
        if self.problem:
            return f"{self.name}: would fail: {self.problem}"
        size = " × ".join(map(str, self.shape))
        return (
            f"{self.name}: {self.axes} {size}, {self.tiles} tiles of "
            f"{' × '.join(map(str, self.window))}, "
            f"{self.memory / 1e6:.0f} MB, about {self.seconds:.1f} s "
            f"-> {', '.join(self.files)}"
        )


@dataclass(frozen=True)
class Total:
    """What would be done in all.

    Attributes
    ----------
    images, settled, failing : int
        How many there are; are done or have failed before; and would fail.
    seconds : float
        By the speed of the network alone.
    memory : int
        Bytes that the largest is expected to take.
    """

    images: int = 0
    settled: int = 0
    failing: int = 0
    seconds: float = 0.0
    memory: int = 0

    def plus(self, image: Outlook) -> Total:
        """Return the total with one more image."""
        return Total(
            self.images + 1,
            self.settled + (image.state == "settled"),
            self.failing + bool(image.problem),
            round(self.seconds + image.seconds, 2),
            max(self.memory, image.memory),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def line(self) -> str:
        """Return it as a line to read."""
        time = str(timedelta(seconds=math.ceil(self.seconds)))
        return (
            f"{self.images} images: {self.settled} settled before, {self.failing} "
            f"would fail; about {time} of computing, {self.memory / 1e6:.0f} MB at most"
        )


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
    if (order.out / NAME).exists():
        manifest = Manifest(order.out)
        purposes = find_purposes(order, items)
        waiting = {each.name for each in list_waiting(order, items, purposes, manifest)}
        manifest.close()
    model = Model.load(order.model)
    predictor = Predictor(model.network, model.config, order.config)
    speed = _pixels_per_second(predictor)
    for item in items:
        if item.name not in waiting:
            yield Outlook(item.name, "settled")
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
