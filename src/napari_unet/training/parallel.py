"""Several processes that train one model together, as torchrun starts them.

Each learns from its share of every batch. What depends on all patches of a batch is
summed over the processes: the statistics of batch normalisation, the sums in the loss,
and in the end the gradient. So the weights move as one process would move them.
"""

from __future__ import annotations

import atexit
import os
import platform
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_unet.errors import ConfigError, TrainingError
from napari_unet.training.run import RunFolder
from napari_unet.training.shared_norm import SharedNorm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PATIENCE = timedelta(days=1)
"""How long a process waits for the others: the first one judges alone. That one has
ended is noticed at once."""


class Team:
    """The processes that train together; by default there is only one.

    The first one, of rank 0, leads: it decides, judges and writes; the others compute
    what it tells them to.

    Parameters
    ----------
    rank : int
        Number of this process, of all from 0.
    size : int
        How many there are.
    local : int
        Number of this process on its machine: that of its GPU.
    launch : str
        What tells the command that started all from any other, also once it has
        started them anew.
    restarts : int
        How often it has done so.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        local: int = 0,
        launch: str = "",
        restarts: int = 0,
    ) -> None:
        self.rank = rank
        self.size = size
        self.launch = launch
        self._local = local
        self._restarts = restarts
        self._apart = False  # whether the others wait within a step

    @property
    def leads(self) -> bool:
        """Whether this process decides."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    @property
    def share(self) -> slice:
        """Which patches of each batch this process learns from."""
        return slice(self.rank, None, self.size)

    def was_at(self, run: Path | None) -> bool:
        """Whether this team has begun a run, before it was started anew."""
        if run is None or not self._restarts:
            return False
        return RunFolder(run).launch == self.launch

    def join(self) -> None:
        """Meet the others."""
        if not self.several:
            return
        from torch import distributed
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        if distributed.is_initialized():
            return
        # The optimisers import this, and its defaults keep a group that stands by then:
        # the threads of one that is kept can abort the process as it ends.
        import_module("torch.distributed.nn.functional")

        gpu = torch.cuda.is_available()
        how: dict[str, Any] = {}
        if self._restarts:
            # What the dead have left there would have those started anew call on them.
            store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
            store = PrefixStore(f"attempt {self._restarts}", store)
            how = {"store": store, "rank": rank, "world_size": size}
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE, **how)
        atexit.register(distributed.destroy_process_group)

    def check(self, batch_size: int, device: str) -> None:
        """Take a GPU of its own, where there are any.

        Raises
        ------
        ConfigError
            If there are fewer patches in a step, or GPUs here, than processes.
        """
        if batch_size < self.size:
            raise ConfigError(
                f"batch_size is {batch_size}, but {self.size} processes train "
                "together, and each needs a patch of every step: take a batch_size of "
                f"at least {self.size}, or fewer processes."
            )
        if not self.several or device == "cpu":
            return
        if torch.cuda.is_available():
            gpus = torch.cuda.device_count()
            if self._local >= gpus:
                raise ConfigError(
                    f"Process {self._local} of this machine finds {gpus} GPU(s), but "
                    "each process needs its own: start as many as there are GPUs "
                    "(torchrun --nproc-per-node), or take the device cpu."
                )
            torch.cuda.set_device(self._local)
        elif device == "mps" or torch.backends.mps.is_available():
            raise ConfigError(
                "Several processes cannot share the device mps: take the device cpu, "
                "or one process."
            )

    def same(self, value: Any) -> Any:
        """Return what the first process gave."""
        if not self.several:
            return value
        from torch import distributed

        given = [value]
        with _explained():
            distributed.broadcast_object_list(given)
        return given[0]

    def dismiss(self, value: object) -> None:
        """Give the others the last value that they wait for, unless they are lost."""
        if not self._apart:
            self.same(value)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Normalise over the patches of all; who leaves by an error leaves alone."""
        if not self.several:
            yield
            return
        self._apart = True
        with SharedNorm(self.rank, self.size, _sum):
            yield
        self._apart = False

    def total(self, own: torch.Tensor) -> torch.Tensor:
        """Return the sum over all processes, as part of what is differentiated.

        Its gradient is summed likewise: that of the sum of the losses of all, which
        are `size` times the same one (see `average`).
        """
        if not self.several:
            return own
        total: torch.Tensor = _Total.apply(own)  # type: ignore[no-untyped-call]
        return total

    def average(self, weights: Iterable[nn.Parameter]) -> None:
        """Give all processes the mean of their gradients."""
        if not self.several:
            return
        gradients = [each.grad for each in weights if each.grad is not None]
        flat = _sum(torch.cat([each.flatten() for each in gradients])) / self.size
        parts = flat.split([each.numel() for each in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def find_team() -> Team:
    """Return the team that torchrun started this process in, or one of its own."""
    told = os.environ
    if "WORLD_SIZE" not in told:
        return Team()
    names = "RANK", "WORLD_SIZE", "LOCAL_RANK"
    rank, size, local = (int(told[name]) for name in names)
    launch = ""
    if identity := told.get("TORCHELASTIC_RUN_ID"):  # often the same for all launches
        launch = f"{identity} {platform.node()} {os.getppid()}"
    restarts = int(told.get("TORCHELASTIC_RESTART_COUNT", 0))
    return Team(rank, size, local, launch, restarts)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        return _sum(own.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _sum(gradients[0].clone(memory_format=torch.contiguous_format))


def _sum(own: torch.Tensor) -> torch.Tensor:
    """Sum over all processes, in place."""
    from torch import distributed

    with _explained():
        distributed.all_reduce(own)
    return own


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "Another process of this training has ended or cannot be reached, so this "
            "one ends, too; what it said stands above or in its own log. Go on with "
            "the run by resume, with as many processes as you like "
            f"({str(error).partition('. ')[0]})."
        ) from error
