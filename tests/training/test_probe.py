from __future__ import annotations

import numpy as np
import pytest

from napari_unet import probe_training, synthetic_em
from napari_unet.config import TrainingConfig
from napari_unet.errors import ConfigError, MaskError
from napari_unet.events import Event, Probe
from napari_unet.training.probe import probe

TINY = {"depth": 1, "width": 2, "patch_size": 16, "batch_size": 3}


def test_a_second_says_what_a_training_would_do() -> None:
    found = probe_training(*synthetic_em(3, 48), seconds=0.2, budget="10m", **TINY)
    assert found.patch == [16, 16]
    assert found.batch_size == 3
    # 1 → 2 → 2 at the first level, 2 → 4 → 4 below, up again, and two classes.
    assert 300 < found.parameters < 1000
    assert found.seconds == 600
    assert found.steps == pytest.approx(600 / found.step_seconds, rel=0.01)
    assert found.memory > 50e6  # of a process with torch
    assert found.held_out == "sections 0 to 2, rows 43 to 47"
    assert Event.from_json(found.to_json()) == found
    facts = found.facts()
    assert facts["patch"] == "16 × 16, 3 a step"
    assert facts["steps"].endswith("s each")
    assert "in 10 min" in facts["steps"]


def test_steps_are_those_asked_for_and_few_are_enough() -> None:
    found = probe_training(*synthetic_em(3, 48), seconds=100, steps=4, **TINY)
    assert found.steps == 4
    assert found.seconds == pytest.approx(4 * found.step_seconds)


def test_it_stops_when_it_is_told_to() -> None:
    asked: list[bool] = []

    def should_stop() -> bool:
        asked.append(True)
        return True

    pairs = [synthetic_em(3, 48)]
    found = probe(pairs, TrainingConfig(**TINY), seconds=1000, should_stop=should_stop)
    assert isinstance(found, Probe)
    assert len(asked) == 1


def test_what_cannot_be_trained_is_said() -> None:
    image, labels = synthetic_em(3, 48)
    with pytest.raises(MaskError, match="at least two classes"):
        probe_training(image, np.zeros((3, 48, 48), np.uint8))
    with pytest.raises(ConfigError, match="patch_size is 17"):
        probe_training(image, labels, **{**TINY, "depth": 3, "patch_size": 17})
