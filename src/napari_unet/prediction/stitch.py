"""What tiles are cut from and put together to: one section or volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_unet.prediction.plan import mirror

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.prediction.plan import Tile


@dataclass(frozen=True)
class SectionPrediction:
    """The result for one section.

    Attributes
    ----------
    index : int
        Its place in the stack.
    labels : ndarray of uint8, shape (Y, X)
        The most probable class of each pixel, as class index; or of float32, for
        regression, the standardised value.
    probabilities : ndarray of float32, shape (classes, Y, X), or None
        In class order; they sum to 1.
    """

    index: int
    labels: np.ndarray
    probabilities: np.ndarray | None


class OpenImage:
    """A normalised section or volume ``(C, …)`` and its result so far.

    Parameters
    ----------
    pixels : ndarray of float32, shape (C, …)
    tiles : int
        How many are stored before it is done.
    classes : int
    probabilities : bool
        Whether they are wanted.
    """

    def __init__(
        self, pixels: np.ndarray, tiles: int, classes: int, *, probabilities: bool
    ) -> None:
        self.pixels = pixels
        self.missing = tiles
        shape = pixels.shape[1:]
        self.labels = np.empty(shape, np.float32 if classes == 1 else np.uint8)
        self.probabilities = (
            np.empty((classes, *shape), np.float32) if probabilities else None
        )

    def window(self, tile: Tile) -> np.ndarray:
        """Return what the network is given, mirrored beyond the border."""
        places = [
            mirror(span.first, span.last, length)
            for span, length in zip(tile.spans, self.pixels.shape[1:], strict=True)
        ]
        firsts = [int(each.min()) for each in places]
        ends = [int(each.max()) + 1 for each in places]
        window = self.pixels[:, *map(slice, firsts, ends)]
        # Axis by axis: faster than all at once.
        for axis, (each, first) in enumerate(zip(places, firsts, strict=True), start=1):
            window = window.take(each - first, axis=axis)
        return window

    def store(self, tile: Tile, logits: torch.Tensor) -> None:
        """Keep the core of a tile whose window has the `logits`."""
        inner = logits[:, *tile.core_in_window]
        self.labels[tile.core] = _decide(inner).cpu().numpy()
        if self.probabilities is not None:
            shares = torch.softmax(inner.float(), dim=0)
            self.probabilities[:, *tile.core] = shares.cpu().numpy()
        self.missing -= 1

    def sections(self, indices: NDArray[np.intp]) -> Iterator[SectionPrediction]:
        """Give the result section by section."""
        labels = self.labels.reshape(-1, *self.labels.shape[-2:])
        for place, index in enumerate(indices):
            shares = self.probabilities
            if shares is not None and shares.ndim == 4:
                shares = shares[:, place]
            yield SectionPrediction(int(index), labels[place], shares)


class BlendedImage(OpenImage):
    """The same for tiles that overlap: their probabilities or values are averaged."""

    def __init__(
        self, pixels: np.ndarray, tiles: int, classes: int, *, probabilities: bool
    ) -> None:
        super().__init__(pixels, tiles, classes, probabilities=False)
        self._wanted = probabilities
        self._average = np.zeros((classes, *pixels.shape[1:]), np.float32)

    def store(self, tile: Tile, logits: torch.Tensor) -> None:
        """Add the core of a tile by its weights."""
        inner = logits[:, *tile.core_in_window].float()
        shares = torch.softmax(inner, dim=0) if len(inner) > 1 else inner
        self._average[:, *tile.core] += shares.cpu().numpy() * tile.weights
        self.missing -= 1

    def sections(self, indices: NDArray[np.intp]) -> Iterator[SectionPrediction]:
        """Give the result section by section."""
        self.labels = _decide(torch.from_numpy(self._average)).numpy()
        if self._wanted:
            self.probabilities = self._average
        return super().sections(indices)


def _decide(logits: torch.Tensor) -> torch.Tensor:
    """Return the class index of each pixel; the first one where several are equal.

    One channel is no class but the value itself, of regression.
    """
    if len(logits) == 1:
        return logits[0].float()
    if len(logits) == 2:  # many times faster than argmax over so short an axis
        return (logits[1] > logits[0]).to(torch.uint8)
    return logits.argmax(dim=0).to(torch.uint8)
