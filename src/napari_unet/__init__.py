"""U-Net segmentation of microscopy stacks, in napari, the shell or Python.

Importing this package takes milliseconds: each public name is loaded, with torch where
it needs it, when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.batch.call import batch
    from napari_unet.data import Stack, as_stack, open_stack, synthetic_em, write_stack
    from napari_unet.errors import (
        ConfigError,
        MaskError,
        ModelError,
        OutputExistsError,
        StackFormatError,
        TrainingError,
        UNetError,
    )
    from napari_unet.evaluation import (
        error_map,
        evaluate,
        evaluate_objects,
        evaluate_regression,
        write_report,
    )
    from napari_unet.model import Model
    from napari_unet.networks import list_networks as networks
    from napari_unet.prediction import (
        find_objects,
        find_unsure,
        label_objects,
        measure_objects,
        predict,
        predict_attention,
        predict_lazy,
    )
    from napari_unet.prediction.planning import plan
    from napari_unet.prediction.table import write_table
    from napari_unet.training import preview_patches, probe_training, train

    __version__: str

__all__ = [
    "ConfigError",
    "MaskError",
    "Model",
    "ModelError",
    "OutputExistsError",
    "Stack",
    "StackFormatError",
    "TrainingError",
    "UNetError",
    "__version__",
    "as_stack",
    "batch",
    "error_map",
    "evaluate",
    "evaluate_objects",
    "evaluate_regression",
    "find_objects",
    "find_unsure",
    "label_objects",
    "measure_objects",
    "networks",
    "open_stack",
    "plan",
    "predict",
    "predict_attention",
    "predict_lazy",
    "preview_patches",
    "probe_training",
    "synthetic_em",
    "train",
    "write_report",
    "write_stack",
    "write_table",
]

_MODULES = {
    "ConfigError": "errors",
    "MaskError": "errors",
    "Model": "model",
    "ModelError": "errors",
    "OutputExistsError": "errors",
    "Stack": "data",
    "StackFormatError": "errors",
    "TrainingError": "errors",
    "UNetError": "errors",
    "as_stack": "data",
    "error_map": "evaluation",
    "evaluate": "evaluation",
    "evaluate_objects": "evaluation",
    "evaluate_regression": "evaluation",
    "find_objects": "prediction",
    "find_unsure": "prediction",
    "label_objects": "prediction",
    "measure_objects": "prediction",
    "open_stack": "data",
    "plan": "prediction.planning",
    "predict": "prediction",
    "predict_attention": "prediction",
    "predict_lazy": "prediction",
    "preview_patches": "training",
    "probe_training": "training",
    "synthetic_em": "data",
    "train": "training",
    "write_report": "evaluation",
    "write_stack": "data",
    "write_table": "prediction.table",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object
    if name == "__version__":
        value = import_module("importlib.metadata").version("napari-unet-lab")
    elif name in ("batch", "networks"):  # packages themselves, which can be called
        value = import_module(f"{__name__}.{name}")
    else:
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
