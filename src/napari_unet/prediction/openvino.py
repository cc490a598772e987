"""Networks run by OpenVINO, which on many processors is faster than torch.

It converts and compiles for about a second before the first window; networks of few
features win that back after some hundred windows of 512 x 512 pixels.
"""

from __future__ import annotations

import sys
import warnings
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

from napari_unet.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from torch import nn

TOLERANCE = 1e-3
"""Share of its largest logit by which a converted network may differ from torch's."""

MOST_SHAPES = 8
"""Shapes of windows for each of which it is compiled, before it is for any shape."""

_FAILURES = (
    "GeneralFailure",
    "InitializationFailure",
    "NotImplementedFailure",
    "OpConversionFailure",
    "OpValidationFailure",
)


class OpenVinoNetwork:
    """A network in the form of OpenVINO, called like the one it is made of.

    Parameters
    ----------
    network : torch.nn.Module
        Folded (see `fold_batch_norm`), in evaluation mode, in float32 on the CPU.
    window, other : Tensor of float32, shape (N, C, *spatial)
        Two windows of different shapes, by which it is converted and checked.
    dtype : torch.dtype
        In what it computes: float32 or bfloat16.

    Raises
    ------
    ConfigError
        If OpenVINO is not installed.
    ModelError
        If it cannot convert the network.
    """

    def __init__(
        self,
        network: nn.Module,
        window: torch.Tensor,
        other: torch.Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._core = _core(_openvino())
        self._model = _convert(network, window)
        self._check(network, other)
        self._precision = "bf16" if dtype == torch.bfloat16 else "f32"
        self._compiled: dict[torch.Size | None, Any] = {}
        self._alone = Lock()

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Return the logits ``(N, classes, …)`` of windows ``(N, C, …)`` as float32."""
        shape: torch.Size | None = windows.shape
        with self._alone:  # it has room for one window batch at a time
            if shape not in self._compiled and len(self._compiled) >= MOST_SHAPES:
                shape = None
            if shape not in self._compiled:
                self._compiled[shape] = self._compile(shape, self._precision)
            return _run(self._compiled[shape], windows)

    def _compile(self, shape: torch.Size | None, precision: str) -> Any:
        """Compile for windows of one shape, which is faster, or for any."""
        model = self._model.clone()
        if shape is not None:
            model.reshape(list(shape))
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Several processes on one machine would be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        return self._core.compile_model(model, "CPU", options)

    def _check(self, network: nn.Module, window: torch.Tensor) -> None:
        """Compare with torch on a window of another shape than it was converted by."""
        with torch.inference_mode():
            expected = network(window)
        found = _run(self._compile(window.shape, "f32"), window)
        most = TOLERANCE * float(expected.abs().max())
        if not torch.allclose(found, expected, rtol=0, atol=most):
            raise ModelError("OpenVINO gives other logits than torch.")


def _run(compiled: Any, windows: torch.Tensor) -> torch.Tensor:
    result = compiled([windows.float().contiguous().numpy()])
    return torch.from_numpy(result[0])


@lru_cache(maxsize=1)
def _core(openvino: Any) -> Any:
    """Return the one core of this process.

    Each sets a stack for signals; where two end in another order than they began, the
    next signal, such as that of Ctrl-C, meets one that is gone, and the process dies.
    """
    return openvino.Core()


def _openvino() -> Any:
    # With this package there, importing OpenVINO reports to its makers.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    if find_spec("openvino") is None:
        raise ConfigError(
            "engine is openvino, but it is not installed: pip install "
            "'napari-unet-lab[openvino]', or take engine torch."
        )
    return import_module("openvino")


def _convert(network: nn.Module, window: torch.Tensor) -> Any:
    """Do as OpenVINO's convert_model, which reports to its makers."""
    frontends = import_module("openvino.frontend")
    decoders = import_module("openvino.frontend.pytorch.ts_decoder")
    failures = tuple(getattr(frontends, name) for name in _FAILURES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that tracing will be replaced
            decoder = decoders.TorchScriptPythonDecoder(network, example_input=window)
        frontend = frontends.FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))
    except (*failures, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"OpenVINO cannot convert this network ({reason}).") from error
