"""What a prediction reports, and what is found in one or shown of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from napari_unet.events.event import Event


@dataclass(frozen=True)
class PredictionStarted(Event):
    """The tiles are planned.

    Attributes
    ----------
    tiles : int
        How many tiles there are in all sections together.
    sections : int
    tile : list of int
        Rows and columns of the largest tile the network is given.
    device, precision : str
    remarks : list of str
        What the user should know of the result.
    """

    tiles: int
    sections: int
    tile: list[int]
    device: str
    precision: str
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TilesDone(Event):
    """Some more tiles are predicted: `done` of `total` so far."""

    done: int
    total: int


@dataclass(frozen=True)
class PredictionFinished(Event):
    """Everything is predicted and, where files were asked for, written.

    Attributes
    ----------
    labels, probabilities, objects, prediction, attention, uncertainty : str or None
        The files written, or groups in a zarr store; `prediction` holds the values of
        a model of regression.
    """

    labels: str | None = None
    probabilities: str | None = None
    objects: str | None = None
    prediction: str | None = None
    attention: str | None = None
    uncertainty: str | None = None

    @property
    def files(self) -> list[str]:
        """All that was written."""
        found = dataclasses.astuple(self)
        return [path for path in found if path is not None]


@dataclass(frozen=True)
class SectionsDone(Event):
    """Some more sections are gone through: `done` of `total` so far."""

    done: int
    total: int


@dataclass(frozen=True)
class PlacesFound(Event):
    """The places of an image where a network is least sure.

    Attributes
    ----------
    positions : list of list of int
        The middle of each, an index into the labels; the most unsure first.
    scores : list of float
        The mean uncertainty around each.
    """

    positions: list[list[int]]
    scores: list[float]


@dataclass(frozen=True)
class ObjectsFound(Event):
    """Objects are found everywhere: how many, and the .npy file of their numbers."""

    path: str
    count: int


@dataclass(frozen=True)
class ObjectsMeasured(Event):
    """All objects are measured.

    Attributes
    ----------
    path : str
        A .npz file with an array for each column of the table.
    count : int
        Of rows.
    remarks : list of str
        What the user should know of the measurements.
    """

    path: str
    count: int
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LookStarted(Event):
    """An image can be predicted tile by tile, wherever it is looked at.

    Attributes
    ----------
    axes : str
        Those of the labels, rows and columns last.
    cuts : list of list of int
        Where tiles begin and the last one ends, along each of `axes`.
    reach : list of int
        How far beyond a tile pixels are read for it, along each of `axes`.
    dtype : str
        That of the labels or values.
    """

    axes: str
    cuts: list[list[int]]
    reach: list[int]
    dtype: str


@dataclass(frozen=True)
class TilePredicted(Event):
    """A tile that is looked at is predicted.

    Attributes
    ----------
    bounds : list of [int, int]
        First pixel and the one after the last along each axis of the labels.
    path : str
        The .npy file with its labels or values.
    probabilities : str or None
        That with its probabilities, classes before rows, if they are wanted.
    """

    bounds: list[list[int]]
    path: str
    probabilities: str | None = None
