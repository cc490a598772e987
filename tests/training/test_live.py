"""What is looked at is predicted while the network learns, and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from test_control import TINY, squares

from napari_unet import Model, predict
from napari_unet.config import TrainingConfig
from napari_unet.control import Control, View
from napari_unet.data import Stack
from napari_unet.events import Event, LiveFailed, LivePredicted, StepDone
from napari_unet.training import live, train_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = 4
OPTIONS: dict[str, Any] = {**TINY, "schedule": "constant", "validation": 0.0}


def two_channels() -> tuple[Stack, Stack]:
    image, labels = squares()
    pixels = np.stack([np.asarray(image), 255 - np.asarray(image)], 1)
    return Stack(pixels, "ZCYX"), labels


def distances() -> tuple[Stack, Stack]:
    image, labels = squares()
    return image, Stack(np.asarray(labels).astype(np.float32) * 3 + 1, "ZYX")


def run(
    pair: tuple[Stack, Stack],
    control: Control,
    folder: Path,
    react: Callable[[Event], None] = lambda _: None,
    **options: Any,
) -> list[Event]:
    config = TrainingConfig.from_dict({**OPTIONS, "steps": STEPS, **options})
    events = []
    for event in train_events([pair], config, run=folder, control=control):
        react(event)
        events.append(event)
    return events


KINDS = [
    (squares, {}, "labels"),
    (squares, {"context": 1, "dropout": 0.3}, "probability"),
    (
        squares,
        {
            "network": "unet-3d",
            "patch_size": 16,
            "patch_depth": 4,
        },
        "probability",
    ),
    (two_channels, {}, "probability"),
    (distances, {"task": "regression"}, "probability"),
]


@pytest.mark.parametrize(("make", "options", "show"), KINDS)
def test_live_preview_is_the_prediction_and_changes_no_weight(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], tuple[Stack, Stack]],
    options: dict[str, Any],
    show: str,
) -> None:
    monkeypatch.setattr(live, "SHARE", 0)  # as often as can be
    pair = make()
    plain, control = Control(), Control()
    bounds = ((2, 3), (4, 20), (0, 32))
    control.look(View(bounds, str(tmp_path), show))
    run(pair, plain, tmp_path / "plain", **options)
    events = run(pair, control, tmp_path / "watched", **options)
    seen = [each for each in events if isinstance(each, LivePredicted)]
    assert [each.step for each in seen] == [2, 3, 4]
    one, other = (Model.load(tmp_path / name) for name in ("plain", "watched"))
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    found = np.load(seen[-1].path)
    shares = show == "probability" and not one.regresses
    output = "probabilities" if shares else "labels"
    whole = predict(other, pair[0], output=output, precision="fp32")
    commonest = np.bincount(np.asarray(pair[1]).ravel().astype(int)).argmax()
    assert shares <= (commonest > 0)  # not the background, which is rarer here
    expected = 1 - whole[2, 1, 4:20] if shares else np.asarray(whole)[2, 4:20]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert seen[-1].bounds == [list(each) for each in bounds]
    assert seen[-1].kind == ("values" if one.regresses else show)


def test_it_takes_a_small_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step takes 1 s, each prediction 2: the next one comes 40 s after it."""
    now = 0.0

    def monotonic() -> float:
        return now

    predict_view = live.LivePreview._predict

    def slow(*given: Any) -> Any:
        nonlocal now
        now += 2
        return predict_view(*given)

    def on_step(event: Event) -> None:
        nonlocal now
        if isinstance(event, StepDone):
            now += 1
            if event.step == 45:
                control.look(replace(control.view, bounds=((1, 2), (0, 8), (0, 8))))

    monkeypatch.setattr(live.time, "monotonic", monotonic)
    monkeypatch.setattr(live.LivePreview, "_predict", slow)
    control = Control()
    control.look(View(((0, 1), (0, 8), (0, 8)), str(tmp_path)))
    events = run(squares(), control, tmp_path / "run", on_step, steps=90)
    steps = [each.step for each in events if isinstance(each, LivePredicted)]
    assert steps == [2, 42, 45, 85]  # at once where something else is looked at
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert "LivePredicted" not in log


def test_what_cannot_be_shown_does_not_end_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    control = Control()
    control.look(View(((0, 1), (0, 8), (0, 8)), str(tmp_path / "file")))
    events = run(squares(), control, tmp_path / "run")
    failed = [each for each in events if isinstance(each, LiveFailed)]
    assert len(failed) == 1
    assert isinstance(events[-1].to_json(), str)
    assert len([each for each in events if isinstance(each, StepDone)]) == STEPS


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (((3, 4), (0, 90), (10, 50)), ((3, 4), (0, 90), (10, 50))),
        (((3, 4), (0, 300), (10, 50)), ((3, 4), (100, 200), (10, 50))),
        (((0, 9), (0, 100), (0, 101)), ((4, 5), (0, 100), (0, 100))),
        (((0, 30), (7, 8), (0, 40)), ((0, 30), (7, 8), (0, 40))),
    ],
)
def test_the_middle_of_a_large_view_is_shown(bounds: Any, expected: Any) -> None:
    assert live.within(bounds, 100) == expected
