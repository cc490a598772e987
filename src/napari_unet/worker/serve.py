"""Answers requests one after the other until there are no more."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from napari_unet.errors import UNetError
from napari_unet.events import Event, Failed, Ready
from napari_unet.worker.batch import batch
from napari_unet.worker.evaluation import evaluate
from napari_unet.worker.objects import measure, objects
from napari_unet.worker.pipes import Inbox, Outbox, take_pipes
from napari_unet.worker.prediction import look, predict
from napari_unet.worker.probe import probe
from napari_unet.worker.training import preview, train
from napari_unet.worker.unsure import unsure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_unet.control import Control
    from napari_unet.worker.pipes import Request

    Job = Callable[[Request, Control], Iterator[Event]]

JOBS: dict[str, Job] = {
    "train": train,
    "preview": preview,
    "probe": probe,
    "predict": predict,
    "look": look,
    "objects": objects,
    "measure": measure,
    "unsure": unsure,
    "batch": batch,
    "evaluate": evaluate,
}
"""Each kind of job by what a request calls it. Their modules import torch late."""

_FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
_NICENESS = 10  # keeps the viewer fluid: 99 % of its frames within 32 instead of 47 ms


def serve(inbox: Inbox, outbox: Outbox) -> None:
    """Answer requests until there are no more."""
    outbox.send(Ready())
    for request, control in inbox:
        try:
            if request["do"] not in JOBS:
                raise UNetError(request.get("wrong", f"{request['do']!r} is unknown."))
            for event in JOBS[request["do"]](request, control):
                outbox.send(event)
        except UNetError as error:
            outbox.send(Failed(str(error), type(error).__name__))
        except Exception as error:  # noqa: BLE001  a job may fail in any way; say how
            outbox.send(_unexpected(error))
        outbox.send(Ready())


def main(*, light: bool = False, polite: bool = True) -> None:
    """Run the worker on this process's standard input and output.

    Parameters
    ----------
    light : bool
        Whether to leave out what only networks need.
    polite : bool
        Whether to let other programs go first.
    """
    if polite and sys.platform != "win32":
        os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us through the viewer
    requests, answers = take_pipes()
    inbox = Inbox(requests)
    if not light:
        import torch  # noqa: F401  now, so that the first job need not wait for it

    serve(inbox, Outbox(answers))


def _unexpected(error: Exception) -> Failed:
    message = f"{type(error).__name__}: {error}"
    words = ("out of memory", "allocate memory", "bad_alloc")  # of CUDA, torch and C++
    if isinstance(error, MemoryError) or any(each in message.lower() for each in words):
        message = (
            "There was not enough memory. Close other programs, or choose a smaller "
            f"batch, patch or tile under Advanced. ({message})"
        )
    elif isinstance(error, OSError) and error.errno in _FULL:
        message = f"There is no room left on the disk ({error}). Make room, and go on."
    return Failed(message, type(error).__name__, traceback.format_exc())
