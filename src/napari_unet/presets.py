"""Named sets of options, as plain values."""

from __future__ import annotations

from typing import Any

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {
        "flip": False,
        "rotate": False,
        "deformed": 0.0,
        "scale": 0.0,
        "elastic": 0.0,
        "intensity": 0.0,
        "gamma": 0.0,
        "blur": 0.0,
    },
    "light": {
        "flip": True,
        "rotate": True,
        "deformed": 0.5,
        "scale": 0.05,
        "elastic": 0.0,
        "intensity": 0.1,
        "gamma": 0.0,
        "blur": 0.0,
    },
    "default": {
        "flip": True,
        "rotate": True,
        "deformed": 0.5,
        "scale": 0.1,
        "elastic": 4.0,
        "intensity": 0.3,
        "gamma": 0.0,
        "blur": 0.0,
    },
    # For microscopes that differ: staining, exposure and focus vary by as much.
    "strong": {
        "flip": True,
        "rotate": True,
        "deformed": 0.75,
        "scale": 0.25,
        "elastic": 8.0,
        "intensity": 0.5,
        "gamma": 0.3,
        "blur": 1.0,
    },
}
"""What each word of the option ``augment`` stands for."""
