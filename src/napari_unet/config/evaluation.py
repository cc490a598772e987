"""The options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.config.options import Config, option, same
from napari_unet.config.prediction import ObjectConfig


@dataclass(frozen=True)
class EvaluationConfig(Config):
    """How a prediction is compared with its truth."""

    membranes: bool | None = option(
        None,
        "Whether membranes are scored by V_rand and V_info, and cells for being split "
        "or merged; by default where there are two classes.",
    )
    cell_value: int | None = option(
        None, "Mask value of cells; by default the highest.", usual=255
    )
    error_value: int | None = option(
        None,
        "Mask value whose missed and false pixels are shown as errors; by default that "
        "of cells, or of more than two classes all but the lowest.",
        usual=255,
    )
    ignore: tuple[int, ...] = option(
        (), "Mask values of the truth that are not scored, such as 254,255."
    )
    object_dims: int = same(ObjectConfig, "object_dims")
