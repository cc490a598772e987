"""The options of a prediction, its objects and its files, and of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_unet.config.network import ComputeConfig
from napari_unet.config.options import Config, option
from napari_unet.config.values import number_of_bytes
from napari_unet.errors import ConfigError


@dataclass(frozen=True)
class ObjectConfig(Config):
    """How objects are found in what a network predicts."""

    object_dims: int = option(
        2,
        "2 for objects of each section, 3 for objects that go through sections.",
        minimum=2,
        maximum=3,
    )
    object_threshold: float = option(
        0.5,
        "Probability above which a pixel belongs to an object, or for a distance map "
        "the distance.",
        minimum=0,
    )
    seed_threshold: float = option(
        0.5,
        "By how much the inside of an object is more probable than its border where it "
        "grows from, or for a distance map by how much its maximum stands out.",
        minimum=0,
    )
    neck: float = option(
        0.25,
        "By how much of its depth an object narrows where it is taken for two that "
        "touch; at 1 only a predicted border parts them.",
        minimum=0,
        maximum=1,
    )
    split: bool = option(
        False,
        "Part foreground for which no border is predicted where it narrows to a neck, "
        "as round objects do where they touch.",
    )
    with_border: bool = option(
        True,
        "Whether objects take the border or membrane between them, or end where it "
        "begins.",
    )
    fill_holes: bool = option(False, "Fill the holes in objects.")
    minimum_size: int = option(
        16, "Pixels below which an object is left out.", minimum=0
    )
    maximum_size: int | None = option(
        None, "Pixels above which an object is left out.", usual=10_000, minimum=1
    )
    clear_border: bool = option(
        False,
        "Leave out objects that touch the border of the image, which may be cut off "
        "there.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.maximum_size is not None and self.maximum_size < self.minimum_size:
            raise ConfigError(
                f"maximum_size is {self.maximum_size} and minimum_size "
                f"{self.minimum_size}, which leaves no object: make the maximum larger."
            )


@dataclass(frozen=True)
class PredictionConfig(ObjectConfig, ComputeConfig):
    """Everything a prediction can be told."""

    tile: int | None = option(
        None,
        "Largest rows and columns given to the network at once; by default as many as "
        "memory allows.",
        usual=512,
        minimum=16,
    )
    memory: str | None = option(
        None,
        "Memory to predict in, such as 2GB or 500MB, beside what is taken before; by "
        "default half of what is free.",
    )
    rescale: bool = option(
        False,
        "Resample the image to the pixel size that the model was trained at; results "
        "come back on the image's own grid.",
    )
    tta: int = option(
        1,
        "In how many orientations the network sees each tile, averaging what it says: "
        "4 are flips, 8 quarter turns too. Takes as many times as long.",
        choices=(1, 4, 8),
    )
    uncertainty: str = option(
        "none",
        "What is said of how sure each pixel is, from 0 to 1: the entropy of its "
        "probabilities, or how far the orientations (tta) disagree.",
        choices=("none", "entropy", "disagreement"),
    )
    engine: str = option(
        "torch",
        "What computes the network: torch; on a CPU openvino, which takes a second to "
        "start and is faster then; on an NVIDIA GPU compiled, by torch.",
        choices=("torch", "openvino", "compiled"),
    )

    def __post_init__(self) -> None:
        given: Any = self.memory
        if type(given) is int:  # bytes are as good
            object.__setattr__(self, "memory", str(given))
        super().__post_init__()
        if self.memory is not None:
            number_of_bytes(self.memory)
        if self.uncertainty == "disagreement" and self.tta == 1:
            raise ConfigError(
                "uncertainty is disagreement and tta 1, but one orientation cannot "
                "disagree: give tta 4 or 8, or take entropy."
            )


@dataclass(frozen=True)
class OutputConfig(Config):
    """How the results of a prediction are written."""

    format: str = option(
        "tiff",
        "What results are written as: TIFF files, or an OME-Zarr store, which an "
        "interrupted prediction goes on with.",
        choices=("tiff", "ome-zarr"),
    )
    ome_zarr: str = option(
        "0.5",
        "Version of OME-Zarr; older programs read 0.4.",
        choices=("0.5", "0.4"),
    )


@dataclass(frozen=True)
class ClusterConfig(Config):
    """Where a batch is computed, if not by one process of this machine."""

    workers: int | None = option(
        None,
        "Processes of this machine that share the work, as a Dask cluster; worth it "
        "with many cores.",
        usual=2,
        minimum=1,
    )
    scheduler: str | None = option(
        None,
        "Dask cluster that does the work: tcp://HOST:PORT, or its scheduler file.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers is not None and self.scheduler is not None:
            raise ConfigError(
                f"workers is {self.workers} and scheduler {self.scheduler}, but the "
                "work is done by one cluster: give workers for one that is started "
                "here, or the scheduler of one that runs."
            )

    def __bool__(self) -> bool:
        return self != ClusterConfig()
