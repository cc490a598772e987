"""What training, prediction and the others report while they work.

All are generators of the frozen dataclasses here. The command line draws a progress
bar from them, the worker prints them as JSON lines, the widgets listen, a notebook
loops over them.
"""

from napari_unet.events.batch import (
    BatchFinished,
    BatchStarted,
    ItemBegun,
    ItemDone,
    ItemFailed,
)
from napari_unet.events.evaluation import EvaluationFinished
from napari_unet.events.event import Event
from napari_unet.events.prediction import (
    LookStarted,
    ObjectsFound,
    ObjectsMeasured,
    PlacesFound,
    PredictionFinished,
    PredictionStarted,
    SectionsDone,
    TilePredicted,
    TilesDone,
)
from napari_unet.events.training import (
    CheckpointSaved,
    LabelsRefused,
    LabelsTaken,
    LiveFailed,
    LivePredicted,
    PatchesDrawn,
    Paused,
    Probe,
    Resumed,
    StepDone,
    TrainingFinished,
    TrainingStarted,
    Validated,
)
from napari_unet.events.worker import Failed, Ready

__all__ = [
    "BatchFinished",
    "BatchStarted",
    "CheckpointSaved",
    "EvaluationFinished",
    "Event",
    "Failed",
    "ItemBegun",
    "ItemDone",
    "ItemFailed",
    "LabelsRefused",
    "LabelsTaken",
    "LiveFailed",
    "LivePredicted",
    "LookStarted",
    "ObjectsFound",
    "ObjectsMeasured",
    "PatchesDrawn",
    "Paused",
    "PlacesFound",
    "PredictionFinished",
    "PredictionStarted",
    "Probe",
    "Ready",
    "Resumed",
    "SectionsDone",
    "StepDone",
    "TilePredicted",
    "TilesDone",
    "TrainingFinished",
    "TrainingStarted",
    "Validated",
]
