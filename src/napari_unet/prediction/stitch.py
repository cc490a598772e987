"""From logits of tiles to blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_unet.prediction.block import Block
from napari_unet.prediction.uncertainty import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_unet.prediction.block import Place
    from napari_unet.prediction.plan import Plan, Tile
    from napari_unet.prediction.windows import Frame


class Stitcher:
    """Makes blocks of the logits of tiles that equal the whole: one of each core.

    Parameters
    ----------
    plan : Plan
    region : sequence of (int, int)
        The bounds of the whole prediction, along the same axes as those of `plan`.
    probabilities : bool
        Whether they are wanted.
    uncertainty : str
        The option; logits are those of a `Predictor` with the same.
    skip : callable
        Whether the block of a place is not wanted.
    """

    def __init__(
        self,
        plan: Plan,
        region: Sequence[tuple[int, int]],
        *,
        probabilities: bool,
        uncertainty: str,
        skip: Callable[[Place], bool],
    ) -> None:
        self._plan = plan
        self._region = region
        self._probabilities = probabilities
        self._uncertainty = uncertainty
        self._skip = skip

    def needs(self, frame: Frame, tile: Tile) -> bool:
        """Whether any block that is wanted is made of the tile."""
        return not self._skip(frame.place(self._in_region(tile.core)))

    def add(self, frame: Frame, tile: Tile, logits: torch.Tensor) -> Iterator[Block]:
        """Take the logits ``(classes, …)`` of a window; give what is finished."""
        inner = logits[:, *tile.core_in_window]
        wanted = self._probabilities or self._uncertainty != "none"
        shares = self._shares(inner) if wanted else None
        yield self._block(frame, tile.core, inner, shares)

    def unfinished(self, frame: Frame) -> tuple[tuple[int, int], ...]:
        """Return the bounds of what of a frame is not given yet."""
        return self._plan.bounds

    def _shares(self, logits: torch.Tensor) -> torch.Tensor:
        """Return probabilities, or values; entropies, below the logits, stay."""
        scores = self._scores(logits).float()
        shares = torch.softmax(scores, dim=0) if len(scores) > 1 else scores
        below = logits[len(scores) :]
        return torch.cat([shares, below]) if len(below) else shares

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[:-1] if self._uncertainty == "disagreement" else logits

    def _block(
        self,
        frame: Frame,
        box: Sequence[slice],
        scores: torch.Tensor,
        shares: torch.Tensor | None,
    ) -> Block:
        probabilities, maps = None, {}
        if shares is not None and self._probabilities:
            probabilities = self._scores(shares).cpu().numpy()
        if shares is not None and self._uncertainty != "none":
            found = measure(self._uncertainty, self._scores(shares)[None], shares[-1:])
            maps[self._uncertainty] = found[0].cpu().numpy()
        place = frame.place(self._in_region(box))
        labels = decide(self._scores(scores)).cpu().numpy()
        return Block(place, labels, probabilities, maps)

    def _in_region(self, box: Sequence[slice]) -> list[slice]:
        return [
            slice(each.start - start, each.stop - start)
            for each, (start, _) in zip(box, self._region, strict=True)
        ]


class Blender(Stitcher):
    """The same for tiles that overlap: their probabilities or values are averaged.

    They are added up in slabs across the first axis that is cut, each from where a
    tile starts to where the next one does. What is in memory at any time are the few
    slabs that neighbouring tiles reach into.
    """

    def __init__(
        self,
        plan: Plan,
        region: Sequence[tuple[int, int]],
        *,
        probabilities: bool,
        uncertainty: str,
        skip: Callable[[Place], bool],
    ) -> None:
        super().__init__(
            plan,
            region,
            probabilities=probabilities,
            uncertainty=uncertainty,
            skip=skip,
        )
        axes = zip(*(tile.spans for tile in plan.tiles), strict=True)
        cuts = [len(set(spans)) > 1 for spans in axes]
        self._axis = cuts.index(True) if any(cuts) else 0
        along = [tile.core[self._axis] for tile in plan.tiles]
        starts = sorted({each.start for each in along})
        ends = [*starts[1:], plan.bounds[self._axis][1]]
        self._slabs = [slice(*each) for each in zip(starts, ends, strict=True)]
        self._tiles = [
            sum(_common(each, slab) is not None for each in along)
            for slab in self._slabs
        ]
        self._open: dict[tuple[Frame, int], tuple[torch.Tensor, int]] = {}
        self._given: tuple[Frame | None, int] = None, 0  # the last slab, of which frame

    def needs(self, frame: Frame, tile: Tile) -> bool:
        """Whether any block that is wanted is made of the tile."""
        return next(self._touched(frame, tile), None) is not None

    def add(self, frame: Frame, tile: Tile, logits: torch.Tensor) -> Iterator[Block]:
        """Add a tile by its weights; give the slabs that it completes."""
        inner = logits[:, *tile.core_in_window].float().cpu()
        shares = self._shares(inner) * torch.from_numpy(tile.weights)
        for number in self._touched(frame, tile):
            box = self._box(number)
            default = torch.zeros(len(shares), *(s.stop - s.start for s in box)), 0
            sums, added = self._open.pop((frame, number), default)
            there, here = _overlap(box, tile.core)
            sums[:, *there] += shares[:, *here]
            if added + 1 < self._tiles[number]:
                self._open[frame, number] = sums, added + 1
                continue
            yield self._block(frame, box, sums, sums)
            self._given = frame, self._slabs[number].stop

    def unfinished(self, frame: Frame) -> tuple[tuple[int, int], ...]:
        """Return the bounds of what of a frame is not given yet."""
        bounds = list(self._plan.bounds)
        if self._given[0] == frame:
            bounds[self._axis] = self._given[1], bounds[self._axis][1]
        return tuple(bounds)

    def _touched(self, frame: Frame, tile: Tile) -> Iterator[int]:
        """Give the numbers of the wanted slabs that the tile reaches into."""
        for number, slab in enumerate(self._slabs):
            if _common(tile.core[self._axis], slab) is not None:
                place = frame.place(self._in_region(self._box(number)))
                if not self._skip(place):
                    yield number

    def _box(self, number: int) -> list[slice]:
        box = [slice(*bounds) for bounds in self._plan.bounds]
        box[self._axis] = self._slabs[number]
        return box


def _common(one: slice, other: slice) -> slice | None:
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    return slice(start, stop) if start < stop else None


def _overlap(
    slab: Sequence[slice], core: Sequence[slice]
) -> tuple[list[slice], list[slice]]:
    """Return what a slab and a core have in common, as part of either."""
    there, here = [], []
    for one, other in zip(slab, core, strict=True):
        common = _common(one, other)
        assert common is not None
        there.append(slice(common.start - one.start, common.stop - one.start))
        here.append(slice(common.start - other.start, common.stop - other.start))
    return there, here


def decide(logits: torch.Tensor) -> torch.Tensor:
    """Return the class index of each pixel; the first one where several are equal.

    One channel is no class but the value itself, of regression.
    """
    if len(logits) == 1:
        return logits[0].float()
    if len(logits) == 2:  # many times faster than argmax over so short an axis
        return (logits[1] > logits[0]).to(torch.uint8)
    return logits.argmax(dim=0).to(torch.uint8)
