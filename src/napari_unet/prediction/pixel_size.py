"""The pixel size of an image beside that a model was trained at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from napari_unet.data.read.calibration import METRES
from napari_unet.errors import ModelError, StackFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_unet.config import NetworkConfig
    from napari_unet.data.stack import Stack

_ALIKE = 1.1  # times that one size may be the other
_MOST = 32  # times beyond which a unit is wrong rather than a microscope another


class Trained(Protocol):
    """What a model tells of the images it was trained on."""

    @property
    def config(self) -> NetworkConfig:
        """Of its network."""

    @property
    def pixel_size(self) -> Mapping[str, float]:
        """Along each axis for which it is known."""

    @property
    def unit(self) -> str | None:
        """Of the pixel size."""

    @property
    def name(self) -> str:
        """What to call it."""


def scale_remark(model: Trained, stack: Stack) -> str:
    """Say so where the pixels of an image are not of the size a model was trained at.

    Empty where they are within 10 %, or one of the sizes is not known.
    """
    remark = compare_sizes(model, stack)
    return remark and f"{remark} To match it: --rescale (rescale=True)."


def compare_sizes(model: Trained, stack: Stack) -> str:
    """Say `scale_remark` without what can be done about it."""
    if not matched_lengths(model, stack):
        return ""
    axes = "".join(_ratios(model, stack))
    return (
        f"The pixels of {stack.name or 'the image'} are {_size(stack, axes)}, but the "
        f"model was trained at {_size(model, axes)}, so that things look larger or "
        "smaller to it than those it learnt."
    )


def matched_lengths(model: Trained, stack: Stack) -> dict[str, int]:
    """How many pixels an image has on the model's grid, along axes that differ."""
    lengths = dict(zip(stack.axes, stack.shape, strict=True))
    return {
        axis: max(1, round(lengths[axis] * ratio))
        for axis, ratio in _ratios(model, stack).items()
        if not 1 / _ALIKE <= ratio <= _ALIKE
    }


def _ratios(model: Trained, stack: Stack) -> dict[str, float]:
    """How many times larger pixels are than those of the model, where that is known."""
    ours, theirs = (METRES.get(each.unit or "") for each in (stack, model))
    if ours is None or theirs is None:
        return {}
    return {
        axis: stack.pixel_size[axis] * ours / (model.pixel_size[axis] * theirs)
        for axis in "ZYX"[-model.config.dims :]
        if axis in stack.pixel_size and axis in model.pixel_size
    }


def check_known(model: Trained, stack: Stack) -> None:
    """Raise unless both sizes are known, and such as two microscopes may have.

    Raises
    ------
    ModelError, StackFormatError
    """
    ratios = _ratios(model, stack)
    name = stack.name or "the image"
    if not {"Y", "X"} <= set(ratios):
        for each, kind in ((model, ModelError), (stack, StackFormatError)):
            known = each.unit in METRES and {"Y", "X"} <= set(each.pixel_size)
            if not known:
                what = f"The model {each.name}" if each is model else name
                raise kind(
                    f"{what} does not say how large its pixels are, so the image "
                    "cannot be matched to the model. Leave out --rescale, or state the "
                    "pixel size (in Fiji: Image > Properties)."
                )
    if not all(1 / _MOST <= ratio <= _MOST for ratio in ratios.values()):
        raise StackFormatError(
            f"The pixels of {name} are {_size(stack, ratios)}, but the model was "
            f"trained at {_size(model, ratios)}. So large a difference must be a wrong "
            "unit: state the right pixel size, or leave out --rescale."
        )


def _size(sized: Any, axes: Iterable[str]) -> str:
    lengths = " × ".join(f"{sized.pixel_size[axis]:.4g}" for axis in axes)
    return f"{lengths} {sized.unit}"
