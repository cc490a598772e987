"""What work that is under way is told: to stop, to pause, to look somewhere else."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class View:
    """What somebody looks at, to be predicted by the network as it learns.

    Attributes
    ----------
    bounds : tuple of (int, int)
        First pixel and the one after the last along each axis of the image but its
        channels, rows and columns last.
    folder : str
        Where the prediction goes.
    show : {"labels", "probability"}
        Labels, or the probability that a pixel is not of the first class.
    pair : int
        Which of the images.
    """

    bounds: tuple[tuple[int, int], ...]
    folder: str
    show: str = "probability"
    pair: int = 0


@dataclass(frozen=True)
class NewLabels:
    """Sections that were annotated anew while a training ran.

    Attributes
    ----------
    sections : tuple of int
        Their numbers, as of `napari_unet.Stack.section`.
    path : str
        A .npy file of them, shape (sections, Y, X), in the values of the mask; it is
        removed when it was read.
    pair : int
        Which of the images.
    """

    sections: tuple[int, ...]
    path: str
    pair: int = 0


class Control:
    """Steers work from another thread; the work asks between its steps.

    Called, it tells whether to stop, so it serves wherever a `should_stop` does.

    Attributes
    ----------
    view : View or None
        What is looked at now.
    """

    def __init__(self) -> None:
        self.view: View | None = None
        self._news = threading.Condition()
        self._stopped = False
        self._paused = False
        self._labels: list[NewLabels] = []

    def __call__(self) -> bool:
        """Tell whether to stop."""
        return self._stopped

    @property
    def paused(self) -> bool:
        """Whether to wait; never once it is to stop."""
        return self._paused and not self._stopped

    def stop(self) -> None:
        """End the work in good order, also where it is paused."""
        with self._news:
            self._stopped = True
            self._news.notify_all()

    def pause(self) -> None:
        """Have the work wait, from its next step on, until `resume` or `stop`."""
        with self._news:
            self._paused = True

    def resume(self) -> None:
        """Go on after a pause."""
        with self._news:
            self._paused = False
            self._news.notify_all()

    def look(self, view: View | None) -> None:
        """Say what is looked at; None for nothing."""
        with self._news:
            self.view = view
            self._news.notify_all()

    def annotate(self, labels: NewLabels) -> None:
        """Hand over sections that were annotated anew."""
        with self._news:
            self._labels.append(labels)

    def new_labels(self) -> list[NewLabels]:
        """Return what was handed over since this was asked last."""
        with self._news:
            taken, self._labels = self._labels, []
        return taken

    def wait(self, seen: View | None) -> None:
        """Wait, without computing, while paused and `seen` is what is looked at."""
        with self._news:
            self._news.wait_for(lambda: not self.paused or self.view != seen)


@contextmanager
def stop_on_interrupt(*, insist: bool = True) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a set flag; a second one interrupts at once.

    A first SIGTERM does the same: schedulers send one before they kill.

    Parameters
    ----------
    insist : bool
        Whether a second one counts. That of torchrun comes after the one that the
        shell has sent to all processes already, and must not.
    """
    stop = threading.Event()

    def note(number: int, frame: object) -> None:
        stop.set()
        if insist:
            signal.signal(number, before[number])

    numbers = signal.SIGINT, signal.SIGTERM
    before = {int(number): signal.signal(number, note) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
