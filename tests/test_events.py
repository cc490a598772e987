from __future__ import annotations

import dataclasses
import json

import pytest

from napari_unet import events
from napari_unet.events import (
    BatchFinished,
    BatchStarted,
    CheckpointSaved,
    EvaluationFinished,
    Event,
    Failed,
    ItemBegun,
    ItemDone,
    ItemFailed,
    LabelsRefused,
    LabelsTaken,
    LiveFailed,
    LivePredicted,
    LookStarted,
    ObjectsFound,
    ObjectsMeasured,
    PatchesDrawn,
    Paused,
    PlacesFound,
    PredictionFinished,
    PredictionStarted,
    Probe,
    Ready,
    Resumed,
    SectionsDone,
    StepDone,
    TilePredicted,
    TilesDone,
    TrainingFinished,
    TrainingStarted,
    Validated,
)

EXAMPLES = [
    TrainingStarted(
        "runs/µ", "cpu", "bf16", 7, [0, 255], ["0 → class 0"], "section 0", "nothing"
    ),
    TrainingStarted(
        *(None, "cpu", "fp32", 0, [1, 2], [], "section 0", "nothing"),
        remark="Objects?",
    ),
    PatchesDrawn("a.npy", "b.npy"),
    LabelsTaken(7, [2, 4], 350, 12, 1),
    LabelsRefused(7, "The value 3 is none.", [2]),
    SectionsDone(3, 24),
    PlacesFound([[2, 17, 40], [0, 8, 3]], [0.75, 0.1 + 0.2]),
    EvaluationFinished(
        *({"mean IoU": "0.5000"}, [{"title": "Classes"}], ["Seen."], "None.", None),
        *({"shape": [1, 2, 3]}, "page.html", "errors.npy"),
    ),
    ObjectsFound("objects.npy", 214),
    ObjectsMeasured("columns.npz", 214, ["Pixels."]),
    StepDone(3, 0.1 + 0.2, 1e-7, 0.5, 12.25, 12.25),
    Validated(
        9,
        0.25,
        {"0": 0.5, "255": 1.0},
        {"0": 2 / 3, "255": 1.0},
        {"0": None, "255": 1.0},
        {"0": 0.5, "255": None},
        0.75,
        0.7,
        True,
    ),
    CheckpointSaved(4, "last.safetensors"),
    TrainingFinished(None, 9, 8, None, "steps", 'Line one.\n"Line two"'),
    PredictionStarted(12, 3, [256, 240], "cuda", "bf16"),
    PredictionStarted(2, 1, [64, 64], "cpu", "fp32", ["Seams may show."]),
    TilesDone(1, 12),
    PredictionFinished("a.labels.tif", None),
    PredictionFinished(),
    LookStarted("ZYX", [[0, 1, 2], [0, 90], [0, 40, 50]], [0, 0, 44], "|u1"),
    TilePredicted([[0, 1], [0, 90], [0, 40]], "0_0_0.npy"),
    Paused(4),
    Resumed(4),
    LivePredicted(5, [[0, 1], [0, 90], [0, 40]], "live.npy", "probability", 1),
    LiveFailed(5, "The section is gone."),
    Probe(
        *("unet", 7, [64, 64], 2, 100, 0.25, 25.0, 10**9),
        *("cpu", "section 1", "section 0"),
    ),
    BatchStarted(3, 2, 1, 0, ["One is done."], ["a.tif", "b.tif"]),
    ItemBegun("a.tif", 100, "cpu", "fp32", []),
    ItemDone("a.tif", {"axes": "YX"}, {"labels": "a.labels.tif"}, {"seconds": 0.5}),
    ItemFailed("b.tif", "It is damaged.", None),
    BatchFinished(3, 2, 1, 0, ["report.csv"]),
    Ready(),
    Failed("It failed.", "ModelError", "Traceback…"),
]


@pytest.mark.parametrize("event", EXAMPLES)
def test_event_goes_through_json_unchanged(event: Event) -> None:
    line = event.to_json()
    assert "\n" not in line
    assert json.loads(line)["event"] == type(event).__name__
    assert Event.from_json(line) == event


def test_every_kind_of_event_can_be_read_back() -> None:
    kinds = {
        each
        for each in vars(events).values()
        if isinstance(each, type) and issubclass(each, Event) and each is not Event
    }
    assert kinds == {type(example) for example in EXAMPLES}


def test_events_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXAMPLES[3].step = 5  # type: ignore[attr-defined]


def test_unknown_event_is_an_error() -> None:
    with pytest.raises(KeyError):
        Event.from_json('{"event": "Nothing"}')
