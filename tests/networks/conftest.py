"""Let segmentation-models-pytorch be imported beside a torch for the CPU only."""

from __future__ import annotations

import contextlib
import importlib

import torch

try:
    importlib.import_module("torchvision")
except RuntimeError:  # its operators are compiled for another build of torch
    signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            torch.library.define(f"torchvision::{name}", signature)
