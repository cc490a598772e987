"""The network, run over the tiles of one section or volume after the other."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.data.normalisation import measure_normalisation
from napari_unet.data.region import Region, find_region
from napari_unet.errors import ConfigError, ModelError
from napari_unet.events import Event, PredictionFinished, PredictionStarted, TilesDone
from napari_unet.networks.compute import dtype_name
from napari_unet.prediction.blocks import keep, predict_blocks
from napari_unet.prediction.pixel_size import scale_remark
from napari_unet.prediction.precision import choose_predictor
from napari_unet.prediction.rescaling import rescaling
from napari_unet.prediction.windows import list_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_unet.config import PredictionConfig
    from napari_unet.data.normalisation import Normalisation
    from napari_unet.data.stack import Stack
    from napari_unet.model import Model
    from napari_unet.prediction.block import Block, Place
    from napari_unet.prediction.plan import Plan
    from napari_unet.prediction.predictor import Predictor
    from napari_unet.prediction.rescaling import Rescaling

_LOG = logging.getLogger(__name__)

INEXACT = (
    "This network normalises or pools over all that it is given, so that its tiles do "
    "not quite equal the whole: they overlap and are blended. Larger tiles come nearer."
)
"""The remark on a prediction in tiles that is not exact."""

FAR = (
    "This network sees so far that tiles equal to the whole would not fit in memory: "
    "they overlap and are blended. If memory allows, give a tile of 4 times its halo."
)
"""The remark where only the default tiles are not exact."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """All that a prediction needs, made ready: see `prepare`.

    Attributes
    ----------
    model : Model
    stack : Stack
    region : Region
        What of the stack is predicted; its shape is that of the labels.
    predictor : Predictor
        The network; it may be kept for other regions and stacks.
    normalise : Normalisation
    plan : Plan
        The tiles of each section or volume; the places of blocks follow from it. Give
        its `window`, whether it is `blended` and the precision to `prepare` to do the
        same again.
    rescaling : Rescaling or None
        The grid of the model, if the image is to be seen at its pixel size. Tiles are
        planned on it; blocks are bands of the region all the same.
    remarks : tuple of str
        What a user should know of the result.
    """

    model: Model
    stack: Stack
    region: Region
    predictor: Predictor
    normalise: Normalisation
    plan: Plan
    rescaling: Rescaling | None = None
    remarks: tuple[str, ...] = ()

    @property
    def seen(self) -> tuple[Stack, Region]:
        """What the network sees: the stack and the region on the grid of the model."""
        grid = self.rescaling
        return (grid.stack, grid.region) if grid else (self.stack, self.region)

    def blocks(
        self,
        *,
        probabilities: bool = False,
        skip: Callable[[Place], bool] = keep,
        frames: slice = slice(None),
    ) -> Iterator[Block | int]:
        """Predict block by block: see `predict_blocks`."""
        stack, region = self.seen
        blocks = predict_blocks(
            self.predictor,
            stack,
            self.normalise,
            self.plan,
            region=region,
            probabilities=probabilities,
            skip=keep if self.rescaling else skip,
            frames=frames,
        )
        return self.rescaling.back(blocks, skip) if self.rescaling else blocks

    def events(
        self,
        put: Callable[[Block], None],
        *,
        probabilities: bool = False,
        skip: Callable[[Place], bool] = keep,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Event]:
        """Predict, and hand over each block as it is done.

        Parameters
        ----------
        put : callable
            Called with each `Block`, in the order of the plan. Its labels are class
            indices, or standardised values: `model.target.decode` makes them those of
            the mask. It may wait, for instance for a disk.
        probabilities : bool
            Whether blocks are to have them.
        skip : callable
            Called with the place of a block before it is computed; when true, it is
            there already and is not computed.
        should_stop : callable
            Asked after every batch of tiles; when true, the prediction ends there
            without a `PredictionFinished`.

        Yields
        ------
        PredictionStarted, TilesDone, PredictionFinished
        """
        total, done = self.frames * len(self.plan.tiles), 0
        yield self.started()
        for result in self.blocks(probabilities=probabilities, skip=skip):
            if not isinstance(result, int):
                put(result)
                continue
            done += result
            yield TilesDone(done, total)
            if should_stop():
                return
        yield PredictionFinished()

    @property
    def frames(self) -> int:
        """How many sections, or volumes, the network sees."""
        stack, region = self.seen
        return len(list_frames(stack, self.model.config, region))

    def started(self) -> PredictionStarted:
        """Return the event that says what is computed, and how."""
        remark = FAR if self.predictor.geometry.exact else INEXACT
        blended = self.plan.blended and len(self.plan.tiles) > 1
        engine = filter(None, [self.predictor.remark])
        remarks = [*self.remarks, *[remark] * blended, *engine]
        for each in remarks:
            _LOG.warning("%s: %s", self.model.name or self.model.config.name, each)
        return PredictionStarted(
            self.frames * len(self.plan.tiles),
            math.prod(self.region.shape[:-2]),
            list(self.plan.window),
            self.predictor.device.type,
            dtype_name(self.predictor.dtype),
            remarks,
        )


def prepare(
    model: Model,
    stack: Stack,
    config: PredictionConfig,
    region: str | Sequence[Sequence[int] | slice] | Region | None = None,
    *,
    window: Sequence[int] | None = None,
    blended: bool = False,
    normalise: Normalisation | None = None,
    predictor: Predictor | None = None,
) -> Prediction:
    """Make everything ready to predict a stack, or a region of it.

    Parameters
    ----------
    model : Model
    stack : Stack
    config : PredictionConfig
    region : optional
        As for `find_region`; the whole stack by default. Around it lie its real
        surroundings, so that its prediction is part of that of the whole.
    window : sequence of int, optional
        The `window` of an earlier plan, to have the same tiles again.
    blended : bool
        Whether that plan was `blended`.
    normalise : Normalisation, optional
        As measured before; by default the whole image is read for it.
    predictor : Predictor, optional
        The network made ready before, for the same model and options.

    Raises
    ------
    ModelError
        If the stack does not have the channels that the model expects.
    StackFormatError
        If the model sees volumes, and the stack has no Z axis; or the image is to be
        rescaled and does not say how large its pixels are.
    ConfigError
        If the region cannot be read or holds no pixel, or if what the options say is
        not possible with this model and machine.

    Examples
    --------
    >>> work = prepare(model, stack, config, "0:10")  # doctest: +SKIP
    >>> labels = np.empty(work.region.shape, np.uint8)  # doctest: +SKIP
    >>> for block in work.blocks():  # doctest: +SKIP
    ...     if not isinstance(block, int):
    ...         labels[block.place] = block.labels
    """
    check_channels(model, stack)
    check_uncertainty(model, config)
    found = region if isinstance(region, Region) else find_region(stack, region)
    grid = rescaling(model, stack, found) if config.rescale else None
    remark = "" if config.rescale else scale_remark(model, stack)
    seen, bounds = (grid.stack, grid.region) if grid else (stack, found)
    shape = seen.shape_seen(model.config.dims)
    normalise = normalise or measure_normalisation(seen)
    why = ""
    if predictor is None:
        predictor, why = choose_predictor(model, seen, normalise, config, bounds)
    plan = predictor.plan(
        shape,
        window or config.tile,
        bounds.along("ZYX"[-len(shape) :]),
        blended=blended,
        frames=len(list_frames(seen, model.config, bounds)),
    )
    return Prediction(
        model,
        stack,
        found,
        predictor,
        normalise,
        plan,
        grid,
        tuple(filter(None, (remark, why))),
    )


def check_channels(model: Model, stack: Stack) -> None:
    """Raise `ModelError` unless `stack` has the channels that `model` expects."""
    if stack.n_channels != model.config.channels:
        raise ModelError(
            f"{stack.name or 'The image'} has {stack.n_channels} channel(s) (shape "
            f"{stack.shape}, axes {stack.axes}), but the model expects "
            f"{model.config.channels}: choose an image or a model that fits, or say "
            "what the axes are."
        )


def check_uncertainty(model: Model, config: PredictionConfig) -> None:
    """Raise `ConfigError` if uncertainty is wanted of a model without classes."""
    if model.regresses and config.uncertainty != "none":
        raise ConfigError(
            f"uncertainty is {config.uncertainty}, but the model {model.name} was "
            "trained by regression: it has no probabilities to tell it from. Leave it "
            "out."
        )
