"""The jobs that predict: an image, or what is looked at of it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.data.normalisation import Normalisation
from napari_unet.data.write.npy import create_npy
from napari_unet.events import Event, PredictionFinished
from napari_unet.worker.pixels import image_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from napari_unet.prediction.engine import Prediction
    from napari_unet.prediction.lazy import LazyPrediction
    from napari_unet.worker.pipes import Request, Stop


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
    stack = image_of(request)
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
    if "nothing" in request and config.precision == "auto":
        config = replace(config, precision="fp32")  # no pixels to try bfloat16 on
    measured = request.get("normalisation")
    normalise = measured and Normalisation.from_dict(measured)
    output = request.get("output", "labels")
    return prepare_look(model, image_of(request), config, normalise, output)
