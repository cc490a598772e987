"""Image after image through one network, which hardly ever waits.

While one image is computed the next one is read in a thread, and the one before is
encoded, measured and scored in another.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from napari_unet.batch.item import Filling, Finisher, Task, failure, open_item
from napari_unet.events import Event, PredictionFinished, TilesDone
from napari_unet.prediction.windows import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from napari_unet.batch.inputs import Item
    from napari_unet.prediction.predictor import Predictor


class _StoppedError(Exception):
    """The image at work is left as it is."""


def predict_items(
    task: Task,
    items: Sequence[Item],
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Predict images one after the other, whatever becomes of any of them.

    Yields
    ------
    ItemBegun, TilesDone, ItemDone, ItemFailed
        `ItemDone` comes when the files are complete, while the next image is computed.
    """
    run = _Run(task, should_stop)
    try:
        with contextlib.closing(read_ahead(run.begin, items, depth=1)) as begun:
            for item, filling in begun:
                if should_stop():
                    break
                yield from run.predict(item, filling)
        yield from run.finisher.last()
    except _StoppedError:
        yield from run.finisher.last()
    finally:
        run.close()


class _Run:
    """The network, for as long as there are images."""

    def __init__(self, task: Task, should_stop: Callable[[], bool]) -> None:
        self._task = task
        self._should_stop = should_stop
        self._predictor: Predictor | None = None
        self._begun: list[Filling] = []
        self.finisher = Finisher()

    def begin(self, item: Item) -> Filling:
        """Read an image and open its files, ahead of the network."""
        opened = open_item(self._task, item)
        filling = Filling.begin(self._task, opened, self._predictor)
        self._begun.append(filling)
        self._predictor = filling.results.work.predictor
        return filling

    def predict(self, item: Item, begun: Future[Filling]) -> Iterator[Event]:
        """Compute an image, and hand it over to be finished."""
        try:
            filling = begun.result()
        except Exception as error:  # noqa: BLE001  one image must not end the others
            yield failure(item, error)
            return
        try:
            yield filling.begun()
            yield from self._fill(filling)
        except _StoppedError:
            raise
        except Exception as error:  # noqa: BLE001  as above
            self._begun.remove(filling)
            filling.drop()
            yield failure(item, error)
        else:
            self._begun.remove(filling)
            yield from self.finisher.take(filling)

    def _fill(self, filling: Filling) -> Iterator[Event]:
        sink = filling.sink
        for event in filling.results.work.events(
            sink.put,
            probabilities=sink.needs_probabilities,
            skip=sink.skip,
            should_stop=self._should_stop,
        ):
            if isinstance(event, TilesDone):
                yield event
            elif isinstance(event, PredictionFinished):
                return
        raise _StoppedError

    def close(self) -> None:
        """Leave what is begun, and let the thread end."""
        while self._begun:
            self._begun.pop().drop()
        self.finisher.close()
