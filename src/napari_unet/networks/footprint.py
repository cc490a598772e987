"""How much memory a network's features take, measured on a small image."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn


def measure_features(network: nn.Module, image: torch.Tensor) -> float:
    """Return the most features that are held at once, per pixel of `image`.

    They grow with the image, save those that attention holds for pairs of pixels. What
    a convolution needs for itself is not counted.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    image : Tensor, shape (1, C, …)
    """
    own = [*network.parameters(), *network.buffers(), image]
    alive = _Alive(own)
    with torch.inference_mode(), alive:
        network(image)
    return alive.most / math.prod(image.shape[2:])


class _Alive(TorchFunctionMode):
    """Counts the numbers in all tensors that are made while it is entered."""

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.most = self._now = 0
        self._known = {each.untyped_storage()._cdata for each in known}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor):
                self._add(each)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()  # views share it, and it goes with the last
        key, size = storage._cdata, storage.nbytes() // tensor.element_size()
        if key in self._known:
            return
        self._known.add(key)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size
