"""What the worker process says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_unet.events.event import Event


@dataclass(frozen=True)
class Ready(Event):
    """The worker process waits for a request."""


@dataclass(frozen=True)
class Failed(Event):
    """A request to the worker ended in an error.

    Attributes
    ----------
    message : str
        What happened, for the user.
    kind : str
        The name of the exception's class.
    details : str
        The traceback, for a bug report; empty for errors that explain themselves.
    """

    message: str
    kind: str
    details: str = field(default="", repr=False)
