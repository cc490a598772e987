"""What a batch reports, image by image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_unet.events.event import Event


@dataclass(frozen=True)
class BatchStarted(Event):
    """The images of a batch are listed.

    Attributes
    ----------
    total : int
    waiting : int
        How many are to be predicted now.
    done, failed : int
        How many are done already, or have failed and are not tried again.
    remarks : list of str
        What the user should know.
    names : list of str
        Those that are to be predicted now.
    """

    total: int
    waiting: int
    done: int
    failed: int
    remarks: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ItemBegun(Event):
    """The network turns to an image of a batch.

    Attributes
    ----------
    name : str
        Its path below the folder that was given.
    pixels : int
        How many are to be predicted.
    device, precision : str
    remarks : list of str
        What the user should know of its result.
    """

    name: str
    pixels: int
    device: str
    precision: str
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ItemDone(Event):
    """An image of a batch is predicted, and its files are complete.

    Attributes
    ----------
    name : str
    image : dict
        What tells its content: `napari_unet.batch.manifest.Fingerprint`.
    files : dict of str to str
        The results, relative to the output folder.
    facts : dict
        Pixels, seconds, and where they were asked for objects and scores.
    """

    name: str
    image: dict[str, Any]
    files: dict[str, str]
    facts: dict[str, Any]


@dataclass(frozen=True)
class ItemFailed(Event):
    """An image of a batch could not be predicted; the others go on.

    Attributes
    ----------
    name, reason : str
    image : dict or None
        As in `ItemDone`; None where it could not be read at all.
    """

    name: str
    reason: str
    image: dict[str, Any] | None = None


@dataclass(frozen=True)
class BatchFinished(Event):
    """A batch has come to its end, or was stopped.

    Attributes
    ----------
    total, done, failed, left : int
        Of how many images, over all runs.
    reports : list of str
        The files that say what became of each.
    """

    total: int
    done: int
    failed: int
    left: int
    reports: list[str]
