"""Every option of the program, defined once.

The command line flags, the widgets and the ``config.json`` of a run folder are all
derived from the dataclasses here, through `options`.
"""

from napari_unet.config.evaluation import EvaluationConfig
from napari_unet.config.network import NETWORKS, ComputeConfig, NetworkConfig
from napari_unet.config.options import GROUPS, Config, Option, option, options
from napari_unet.config.prediction import (
    ClusterConfig,
    ObjectConfig,
    OutputConfig,
    PredictionConfig,
)
from napari_unet.config.training import TrainingConfig
from napari_unet.config.values import (
    number_of_bytes,
    read_names,
    read_values,
    seconds,
    whole_numbers,
    write_names,
    write_values,
)

__all__ = [
    "GROUPS",
    "NETWORKS",
    "ClusterConfig",
    "ComputeConfig",
    "Config",
    "EvaluationConfig",
    "NetworkConfig",
    "ObjectConfig",
    "Option",
    "OutputConfig",
    "PredictionConfig",
    "TrainingConfig",
    "number_of_bytes",
    "option",
    "options",
    "read_names",
    "read_values",
    "seconds",
    "whole_numbers",
    "write_names",
    "write_values",
]
