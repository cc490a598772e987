"""Image after image through one network, which hardly ever waits.

While one image is computed the next one is read in a thread, and the one before is
encoded, measured and scored in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.batch.item import Filling, Finisher, Opened, Task, failure, open_item
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
        for item, opened in read_ahead(
            lambda each: open_item(task, each), items, depth=1
        ):
            if should_stop():
                break
            yield from run.predict(item, opened)
        yield from run.finisher.last()
    except _StoppedError:
        yield from run.finisher.last()
    finally:
        run.finisher.close()


class _Run:
    """The network, for as long as there are images."""

    def __init__(self, task: Task, should_stop: Callable[[], bool]) -> None:
        self._task = task
        self._should_stop = should_stop
        self._predictor: Predictor | None = None
        self.finisher = Finisher()

    def predict(self, item: Item, opened: Future[Opened]) -> Iterator[Event]:
        """Compute an image, and hand it over to be finished."""
        try:
            filling = Filling.begin(self._task, opened.result(), self._predictor)
            self._predictor = filling.results.work.predictor
            try:
                yield filling.begun()
                yield from self._fill(filling)
            except BaseException:
                filling.drop()
                raise
        except _StoppedError:
            raise
        except Exception as error:  # noqa: BLE001  one image must not end the others
            yield failure(item, error)
        else:
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
