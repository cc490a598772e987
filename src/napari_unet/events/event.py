"""The base of all events."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """Base of all events."""

    def to_json(self) -> str:
        """Return the event as one line of JSON, its class name under ``"event"``."""
        return json.dumps({"event": type(self).__name__, **dataclasses.asdict(self)})

    @staticmethod
    def from_json(line: str) -> Event:
        """Build the event back from `to_json`'s line."""
        values: dict[str, Any] = json.loads(line)
        kinds = {each.__name__: each for each in Event.__subclasses__()}
        return kinds[values.pop("event")](**values)
