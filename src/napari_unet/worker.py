"""Runs training and prediction in a process of its own, for the widgets.

``python -m napari_unet.worker`` reads requests from standard input and writes the
events of `napari_unet.events` to standard output, one JSON object a line each::

    {"do": "train", "image": PATH, "labels": PATH, "axes": "ZYX", "run": FOLDER, ...}
    {"do": "preview", "image": PATH, "labels": PATH, "axes": "ZYX", ...}
    {"do": "predict", "model": PATH, "image": PATH, "results": {"labels": PATH}, ...}
    {"do": "look", "model": PATH, "image": PATH, "tiles": [...], "folder": PATH, ...}
    {"do": "stop"}

A request is answered by events, then by `Ready`. The end of standard input, which comes
also when the process at its other end dies, stops the job at hand and ends the process.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from napari_unet.data import Stack, open_stack
from napari_unet.data.excerpt import Excerpt
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.write.npy import create_npy
from napari_unet.errors import UNetError
from napari_unet.events import Event, Failed, PatchesDrawn, PredictionFinished, Ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_unet.prediction.engine import Prediction
    from napari_unet.prediction.lazy import LazyPrediction

    Request = dict[str, Any]
    Stop = Callable[[], bool]

_NICENESS = 10  # keeps the viewer fluid: 99 % of its frames within 32 instead of 47 ms


class Inbox:
    """Requests in the order they came, each with the switch that stops it.

    Parameters
    ----------
    lines : iterable of str
        Read in a thread, so that "stop" is heard while a job runs.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self._jobs: queue.SimpleQueue[tuple[Request, threading.Event] | None]
        self._jobs = queue.SimpleQueue()
        self._newest = threading.Event()
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def __iter__(self) -> Iterator[tuple[Request, Stop]]:
        while (job := self._jobs.get()) is not None:
            request, stop = job
            yield request, stop.is_set

    def _read(self) -> None:
        for line in filter(str.strip, self._lines):
            request = _parse(line)
            if request["do"] == "stop":
                self._newest.set()
            else:
                self._newest = threading.Event()
                self._jobs.put((request, self._newest))
        self._newest.set()
        self._jobs.put(None)


class Outbox:
    """Writes events as lines; falls silent when nobody reads them any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._closed = False

    def send(self, event: Event) -> None:
        """Write one event at once."""
        if self._closed:
            return
        try:
            self._stream.write(event.to_json() + "\n")
            self._stream.flush()
        except OSError:  # the viewer is gone; the job still ends in good order
            self._closed = True


def train(request: Request, stop: Stop) -> Iterator[Event]:
    """Train on the pixels that a request names; yields the events of the training."""
    from napari_unet.training import train_events
    from napari_unet.training.train import training_config

    run, resume = Path(request["run"]), request.get("resume", False)
    config = training_config(request.get("options", {}), run if resume else None)
    yield from train_events(
        [_pair(request)], config, run=run, should_stop=stop, resume=resume
    )


def preview(request: Request, stop: Stop) -> Iterator[Event]:
    """Draw training patches into .npy files beside the pixels."""
    from napari_unet.training import preview_patches

    drawn = preview_patches(*_pair(request), **request.get("options", {}))
    folder = Path(request["image"]).parent
    paths = [folder / "patches.npy", folder / "patches-labels.npy"]
    for path, patches in zip(paths, drawn, strict=True):
        np.save(path, patches)
    yield PatchesDrawn(*map(str, paths))


def predict(request: Request, stop: Stop) -> Iterator[Event]:
    """Predict into .npy files; yields the events of the prediction.

    The files are there, empty, from the first event on, and fill with each further
    one. The last event is `PredictionFinished` only if it was not stopped: the files
    are complete then.
    """
    from napari_unet.config import PredictionConfig
    from napari_unet.model import Model
    from napari_unet.prediction.attention import predict_attention
    from napari_unet.prediction.engine import prepare
    from napari_unet.prediction.results import check_probabilities
    from napari_unet.prediction.sinks import ResultSink
    from napari_unet.prediction.stores import ArrayStore

    model = Model.load(request["model"])
    stack = _stack(request)
    config = PredictionConfig.from_dict(request.get("options", {}))
    region, measured = request.get("region"), request.get("normalisation")
    normalise = measured and Normalisation.from_dict(measured)
    paths = request["results"]
    check_probabilities(model, wanted="probabilities" in paths)
    work = prepare(model, stack, config, region, normalise=normalise)
    files = _files(work, paths)
    names = [name for name in paths if name != "attention"]
    sink = ResultSink(work, config, names, ArrayStore(files))
    try:
        for event in work.events(
            sink.put, probabilities=sink.needs_probabilities, should_stop=stop
        ):
            if isinstance(event, PredictionFinished) and "attention" in paths:
                maps = predict_attention(
                    model, stack, region=work.region, normalise=work.normalise
                )
                files["attention"][:] = maps.reshape(files["attention"].shape)
            if isinstance(event, PredictionFinished):
                sink.join()
            yield event
        sink.join()  # when it was stopped, too, all that is done is kept
    finally:
        sink.close()


def _files(work: Prediction, paths: dict[str, str]) -> dict[str, np.memmap]:
    """Open the files of the results; labels are whole numbers whatever the mask is."""
    from napari_unet.networks.attention import count_gates
    from napari_unet.prediction.results import as_ngff, lay_out

    files = {}
    for name, path in paths.items():
        layout = as_ngff(
            name, lay_out(name, work.model, work.stack, work.region), work.model
        )
        gates = [count_gates(work.model.network)] if name == "attention" else []
        files[name] = create_npy(path, layout.dtype, (*gates, *layout.shape))
    return files


def look(request: Request, stop: Stop) -> Iterator[Event]:
    """Predict some tiles, each into a .npy file; the network is kept for the next."""
    from napari_unet.prediction.look import look_events

    known = {key: request[key] for key in sorted(request.keys() - {"do", "tiles"})}
    changed = Path(request["model"]).stat().st_mtime_ns
    prediction = _ready_to_look(json.dumps(known), changed)
    folder = Path(request["folder"])
    yield from look_events(prediction, request["tiles"], folder, should_stop=stop)


@lru_cache(maxsize=1)
def _ready_to_look(known: str, changed: int) -> LazyPrediction:
    """Open the image and the model of a request, which changed at some time."""
    from napari_unet.config import PredictionConfig
    from napari_unet.model import Model
    from napari_unet.prediction.look import prepare_look

    request = json.loads(known)
    model = Model.load(request["model"])
    config = PredictionConfig.from_dict(request.get("options", {}))
    measured = request.get("normalisation")
    normalise = measured and Normalisation.from_dict(measured)
    return prepare_look(model, _stack(request), config, normalise)


def serve(inbox: Inbox, outbox: Outbox) -> None:
    """Answer requests until there are no more."""
    jobs = {"train": train, "preview": preview, "predict": predict, "look": look}
    outbox.send(Ready())
    for request, stop in inbox:
        try:
            if request["do"] not in jobs:
                raise UNetError(request.get("wrong", f"{request['do']!r} is unknown."))
            for event in jobs[request["do"]](request, stop):
                outbox.send(event)
        except UNetError as error:
            outbox.send(Failed(str(error), type(error).__name__))
        except Exception as error:  # noqa: BLE001  a job may fail in any way; say how
            outbox.send(_unexpected(error))
        outbox.send(Ready())


def main() -> None:
    """Run the worker on this process's standard input and output."""
    if sys.platform != "win32":
        os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us through the viewer
    requests, answers = _take_pipes()
    inbox = Inbox(requests)
    import torch  # noqa: F401  now, so that the first job need not wait for it

    serve(inbox, Outbox(answers))


def _take_pipes() -> tuple[TextIO, TextIO]:
    """Keep standard input and output for us; what libraries print goes to stderr."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, answers


def _parse(line: str) -> Request:
    try:
        request = json.loads(line)
        return {**request, "do": str(request["do"])}
    except (ValueError, TypeError, KeyError):
        return {"do": "", "wrong": f"This is not a request: {line.strip()[:200]}"}


def _pair(request: Request) -> tuple[Stack, Stack]:
    """Open the image and its labels under the names the user knows them by."""
    labels = open_stack(request["labels"], axes=request.get("labels_axes"))
    name, source = request.get("labels_name", ""), request.get("labels_source")
    labels = replace(labels, name=name, source=Path(source) if source else None)
    return _stack(request), labels


def _stack(request: Request) -> Stack:
    """Open the image, or what is given of it, under the name the user knows it by."""
    if nothing := request.get("nothing"):  # its pixels come piece by piece
        shape = nothing["shape"]
        empty = np.empty([0] * len(shape), nothing["dtype"])
        pixels = Excerpt(empty, shape, [0] * len(shape))
        stack = Stack(pixels, request["axes"])
    else:
        stack = open_stack(request["image"], axes=request.get("axes"))
    if excerpt := request.get("excerpt"):
        stack = replace(stack, pixels=Excerpt(stack.pixels, **excerpt))
    return replace(
        stack,
        pixel_size=request.get("pixel_size", {}),
        unit=request.get("unit"),
        name=request.get("name", ""),
        source=None,
    )


def _unexpected(error: Exception) -> Failed:
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or "out of memory" in message.lower():
        message = (
            "There was not enough memory. Close other programs, or choose a smaller "
            f"batch, patch or tile under Advanced. ({message})"
        )
    return Failed(message, type(error).__name__, traceback.format_exc())


if __name__ == "__main__":
    main()
