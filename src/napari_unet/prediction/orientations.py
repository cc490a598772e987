"""Test-time augmentation: what a network says of a window seen in many orientations.

A flip of the whole canvas puts each window of the tile plan on its grid again, since
both the canvas and the window end on it. So tiles equal the whole in any orientation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_unet.prediction.uncertainty import entropy

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Orientation:
    """One way to see a plane: rows and columns exchanged or not, then flipped or not.

    Attributes
    ----------
    transposed : bool
    flipped : tuple of int
        Those of the last two axes that are reversed.
    """

    transposed: bool
    flipped: tuple[int, ...]

    def see(self, window: torch.Tensor) -> torch.Tensor:
        """Return a window ``(…, Y, X)`` so seen."""
        turned = window.mT if self.transposed else window
        return turned.flip(self.flipped)

    def back(self, seen: torch.Tensor) -> torch.Tensor:
        """Return what is so seen as it was: the inverse of `see`."""
        upright = seen.flip(self.flipped)
        return upright.mT if self.transposed else upright


ORIENTATIONS = tuple(
    Orientation(transposed, flipped)
    for transposed in (False, True)
    for flipped in ((), (-2,), (-1,), (-2, -1))
)
"""The symmetries of a square; the first four are those of a rectangle."""


def ask(
    network: Callable[[torch.Tensor], torch.Tensor],
    windows: torch.Tensor,
    count: int,
    *,
    entropies: bool = False,
) -> torch.Tensor:
    """Let a network see windows in `count` orientations, one at a time.

    Parameters
    ----------
    network : callable
        From windows to logits ``(N, classes, *spatial)``.
    windows : Tensor, shape (N, C, Y, X) or (N, C, Z, Y, X)
        Volumes are turned in the plane only.
    count : {1, 4, 8}
    entropies : bool
        Whether the mean entropy is wanted too.

    Returns
    -------
    Tensor of float32, shape (N, classes, *spatial)
        The logits of the mean of the probabilities: its logarithm. With one class,
        the mean of the values. With entropies one channel more: the mean of the
        `entropy` of each orientation.
    """
    mean, unsure = torch.zeros(()), torch.zeros(())
    for orientation in ORIENTATIONS[:count]:
        logits = orientation.back(network(orientation.see(windows))).float()
        shares = logits.softmax(dim=1) if logits.shape[1] > 1 else logits
        mean = mean + shares / count
        if entropies:
            unsure = unsure + entropy(shares) / count
    answer = mean.log() if mean.shape[1] > 1 else mean
    return torch.cat([answer, unsure[:, None]], dim=1) if entropies else answer
