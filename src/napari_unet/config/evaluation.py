"""The options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.config.options import Config, option, same
from napari_unet.config.prediction import ObjectConfig
from napari_unet.config.values import read_values


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
    prediction_values: str | None = option(
        None,
        "Values of predicted classes, each with the one that the truth has for it, "
        "such as 1=0,2=255.",
    )
    object_dims: int = same(ObjectConfig, "object_dims")

    def __post_init__(self) -> None:
        """Check what the options say by themselves."""
        super().__post_init__()
        read_values(self.prediction_values)
