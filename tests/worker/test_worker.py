from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.control import Control, View
from napari_unet.data import Classes, synthetic_em
from napari_unet.errors import ConfigError
from napari_unet.events import (
    Event,
    Failed,
    PredictionFinished,
    PredictionStarted,
    Ready,
    StepDone,
    TrainingFinished,
    TrainingStarted,
)
from napari_unet.worker.pipes import Inbox, Outbox
from napari_unet.worker.prediction import predict
from napari_unet.worker.serve import JOBS, serve
from napari_unet.worker.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIONS = {"depth": 1, "width": 4, "patch_size": 32, "batch_size": 1}


class Worker:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def send(self, **request: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def read(self) -> Event | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return Event.from_json(line) if line else None

    def read_to(self, kind: type[Event]) -> list[Event]:
        events: list[Event] = []
        while (event := self.read()) is not None:
            events.append(event)
            if isinstance(event, kind):
                return events
        raise AssertionError(f"no {kind.__name__} came, only {events}")


@contextmanager
def start(*program: str) -> Iterator[Worker]:
    process = subprocess.Popen(
        [sys.executable, *(program or ("-m", "napari_unet.worker"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def training(tmp_path: Path) -> dict[str, Any]:
    image, labels = synthetic_em(3, 64)
    np.save(tmp_path / "image.npy", image.pixels)
    np.save(tmp_path / "labels.npy", labels.pixels)
    return {
        "do": "train",
        "image": str(tmp_path / "image.npy"),
        "labels": str(tmp_path / "labels.npy"),
        "axes": "ZYX",
        "pixel_size": {"Z": 50, "Y": 4, "X": 4},
        "unit": "nm",
        "name": "tissue",
        "run": str(tmp_path / "run"),
        "options": {**OPTIONS, "steps": 3},
    }


def test_train_then_predict_in_one_process(
    training: dict[str, Any], tmp_path: Path
) -> None:
    import napari_unet

    with start() as worker:
        assert worker.read() == Ready()
        worker.send(**training)
        events = worker.read_to(Ready)
        assert isinstance(events[0], TrainingStarted)
        assert [each.step for each in events if isinstance(each, StepDone)] == [1, 2, 3]
        assert isinstance(events[-2], TrainingFinished)
        model = napari_unet.Model.load(str(events[-2].model))
        assert model.pixel_size == {"Z": 50, "Y": 4, "X": 4}

        labels, shares = tmp_path / "out.npy", tmp_path / "shares.npy"
        worker.send(
            do="predict",
            model=training["run"],
            image=training["image"],
            axes="ZYX",
            results={"labels": str(labels), "probabilities": str(shares)},
        )
        events = worker.read_to(Ready)
        assert events[-2] == PredictionFinished()
    expected = napari_unet.predict(model, np.load(training["image"]), axes="ZYX")
    np.testing.assert_array_equal(np.load(labels), np.asarray(expected))
    assert np.load(labels).dtype == np.uint8
    assert np.load(shares).shape == (3, 2, 64, 64)
    np.testing.assert_allclose(np.load(shares).sum(axis=1), 1, atol=1e-5)


def test_class_list_beside_the_mask_of_a_layer(
    training: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "classes.yaml").write_text("0: membrane\n255: cell\n")
    training["labels_source"] = str(tmp_path / "labels.tif")
    started = next(iter(train(training, Control())))
    assert isinstance(started, TrainingStarted)
    assert [line.split(" (")[0] for line in started.mapping] == [
        "0 → class 0, membrane",
        "255 → class 1, cell",
    ]


@pytest.mark.parametrize("how", ["stop", "end of input"])
def test_stopped_training_keeps_its_model(training: dict[str, Any], how: str) -> None:
    training["options"] = {**OPTIONS, "budget": "1h"}
    with start() as worker:
        worker.send(**training)
        worker.read_to(StepDone)
        if how == "stop":
            worker.send(do="stop")
            finished = worker.read_to(Ready)[-2]
        else:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
            finished = worker.read_to(TrainingFinished)[-1]
            assert worker.process.wait(60) == 0
            worker.process.stdin = None  # for communicate()
    assert isinstance(finished, TrainingFinished)
    assert finished.reason == "stopped"
    assert finished.model is not None


def test_errors_say_what_is_wrong_and_the_next_request_is_served(
    training: dict[str, Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "small.npy", np.zeros((3, 8, 8), np.uint8))
    with start() as worker:
        assert worker.read() == Ready()
        worker.send(**{**training, "labels": str(tmp_path / "small.npy")})
        failed, ready = worker.read(), worker.read()
        assert isinstance(failed, Failed)
        assert failed.kind == "MaskError"
        assert "(3, 8, 8)" in failed.message
        assert failed.details == ""
        assert ready == Ready()

        worker.send(do="dance")
        failed = worker.read()
        assert isinstance(failed, Failed)
        assert "dance" in failed.message
        assert worker.read() == Ready()

        worker.send(do="train")  # without an image: a fault of the sender
        failed = worker.read()
        assert isinstance(failed, Failed)
        assert failed.kind == "KeyError"
        assert "Traceback" in failed.details


def test_a_stopped_prediction_does_not_say_it_is_finished(
    training: dict[str, Any], tmp_path: Path
) -> None:
    from napari_unet import Model
    from napari_unet.config import NetworkConfig
    from napari_unet.networks import build_network

    config = NetworkConfig(depth=1, width=4)
    model = Model(build_network(config), config, Classes((0, 255)))
    model.save(tmp_path / "model.safetensors")
    request = {
        "model": str(tmp_path / "model.safetensors"),
        "image": training["image"],
        "axes": "ZYX",
        "results": {"labels": str(tmp_path / "out.npy")},
        "options": {"tile": 32},
    }
    kinds = [type(event) for event in predict(request, lambda: True)]
    assert kinds[0] is PredictionStarted
    assert PredictionFinished not in kinds
    kinds = [type(event) for event in predict(request, lambda: False)]
    assert kinds[-1] is PredictionFinished


def test_resuming_takes_a_new_time_and_refuses_other_options(
    training: dict[str, Any],
) -> None:
    list(train(training, Control()))
    again = {**training, "resume": True, "options": {"budget": "1h", "steps": 5}}
    events = list(train(again, Control()))
    assert [each.step for each in events if isinstance(each, StepDone)] == [4, 5]
    again["options"] = {"budget": "1h", "steps": 9, "batch_size": 2}
    with pytest.raises(ConfigError, match=r"batch_size was 1, not 2.*new run"):
        list(train(again, Control()))


def test_what_libraries_print_does_not_reach_the_events() -> None:
    program = (
        "import os, sys; import napari_unet.worker.serve as w; take = w.take_pipes\n"
        "def noisy():\n"
        "    pipes = take(); print('python speaks', flush=True)\n"
        "    os.write(1, b'C speaks'); return pipes\n"
        "w.take_pipes = noisy; w.main()"
    )
    with start("-c", program) as worker:
        assert worker.read() == Ready()
        worker.process.stdin.close()  # type: ignore[union-attr]
        assert worker.read() is None
        worker.process.stdin = None
        assert worker.process.stderr is not None
        assert "python speaks\nC speaks" in worker.process.stderr.read()


@pytest.mark.parametrize(("arguments", "loaded"), [([], True), (["--light"], False)])
def test_a_light_worker_does_without_torch(arguments: list[str], loaded: bool) -> None:
    program = (
        f"import runpy, sys; sys.argv[1:] = {arguments}\n"
        "runpy.run_module('napari_unet.worker', run_name='__main__')\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    with start("-c", program) as worker:
        assert worker.read() == Ready()
        worker.process.stdin.close()  # type: ignore[union-attr]
        worker.process.stdin = None
        assert worker.process.wait(60) == 0
        assert worker.process.stderr is not None
        assert worker.process.stderr.read().split()[-1] == str(loaded)


def test_stop_reaches_the_job_it_was_meant_for() -> None:
    lines = ['{"do": "a"}', '{"do": "stop"}', "", '{"do": "b"}', "nonsense", "[1]"]
    gate = iter(lines)
    inbox = iter(Inbox(gate))
    request, stopped = next(inbox)
    assert request == {"do": "a"}
    assert stopped()
    request, _ = next(inbox)
    assert request == {"do": "b"}
    assert "nonsense" in next(inbox)[0]["wrong"]
    assert "[1]" in next(inbox)[0]["wrong"]
    assert list(inbox) == []


def test_orders_reach_the_job_at_work() -> None:
    """In their order, and none of them is a job; a damaged one is answered."""
    view = {"bounds": [[0, 1], [2, 3]], "folder": "here", "show": "labels"}
    orders = [
        {"do": "a"},
        {"do": "pause"},
        {"do": "view", "view": view},
        {"do": "labels", "sections": [4], "path": "there"},
        {"do": "view"},
    ]
    lines = map(json.dumps, orders)
    gate = threading.Event()

    def slowly() -> Iterator[str]:
        yield from lines
        gate.wait(10)
        yield '{"do": "resume"}'
        gate.clear()

    inbox = iter(Inbox(slowly()))
    request, control = next(inbox)
    assert request == {"do": "a"}
    assert "view" in next(inbox)[0]["wrong"]
    assert control.view == View(((0, 1), (2, 3)), "here", "labels")
    assert control.paused
    assert [each.path for each in control.new_labels()] == ["there"]
    assert control.new_labels() == []
    gate.set()
    control.wait(control.view)  # the end of input ends the pause, too
    assert not control.paused


def test_the_end_of_input_stops_the_last_job() -> None:
    ((_, stopped),) = list(Inbox(['{"do": "a"}']))
    assert stopped()


def test_nonsense_is_answered() -> None:
    stream = io.StringIO()
    serve(Inbox(["nonsense"]), Outbox(stream))
    events = [Event.from_json(line) for line in stream.getvalue().splitlines()]
    assert [type(event) for event in events] == [Ready, Failed, Ready]


def test_a_full_disk_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Iterator[Event]:
        raise OSError(errno.ENOSPC, "No space left on device", "tile.npy")

    monkeypatch.setitem(JOBS, "look", full)
    stream = io.StringIO()
    serve(Inbox(['{"do": "look"}']), Outbox(stream))
    failed = Event.from_json(stream.getvalue().splitlines()[1])
    assert isinstance(failed, Failed)
    assert failed.message.startswith("There is no room left on the disk")
    assert "tile.npy" in failed.message and "Make room" in failed.message


def test_writing_to_a_viewer_that_is_gone_is_no_error() -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    outbox = Outbox(Closed())
    outbox.send(Ready())
    outbox.send(Ready())


@pytest.mark.parametrize("network", [{"context": 1}, {"dims": 3}, {"depth": 2}])
def test_a_region_of_an_excerpt_is_part_of_the_whole(
    tmp_path: Path, network: dict[str, int]
) -> None:
    import napari_unet
    from napari_unet.data.normalisation import measure_normalisation

    model = small_model({"classes": 2, **network})
    model.save(tmp_path / "model.safetensors")
    image, _ = synthetic_em(5, 64)
    whole = napari_unet.predict(model, image, output="both", precision="fp32")
    first, last = (0, 5) if "dims" in network else (1, 4)
    np.save(tmp_path / "part.npy", np.asarray(image)[first:last])
    names = ("labels", "probabilities", "objects")
    request = {
        "model": str(tmp_path / "model.safetensors"),
        "image": str(tmp_path / "part.npy"),
        "excerpt": {"shape": (5, 64, 64), "starts": (first, 0, 0)},
        "normalisation": measure_normalisation(image).to_dict(),
        "axes": "ZYX",
        "region": [[2, 3], [10, 40], [0, 21]],
        "results": {name: str(tmp_path / f"{name}.npy") for name in names},
        "options": {"precision": "fp32"},
    }
    events = list(predict(request, lambda: False))
    assert events[-1] == PredictionFinished()
    labels, shares, objects = (np.load(tmp_path / f"{name}.npy") for name in names)
    np.testing.assert_array_equal(labels, whole[0][2:3, 10:40, :21])
    np.testing.assert_allclose(shares, whole[1][2:3, :, 10:40, :21], atol=1e-5)
    assert objects.shape == labels.shape


def test_what_is_done_when_a_prediction_is_stopped_is_in_the_files(
    tmp_path: Path,
) -> None:
    model = small_model({})
    model.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "image.npy", np.asarray(synthetic_em(1, 1024)[0])[0])
    request = {
        "model": str(tmp_path / "model.safetensors"),
        "image": str(tmp_path / "image.npy"),
        "axes": "YX",
        "results": {"labels": str(tmp_path / "labels.npy")},
        "options": {"tile": 128},
    }
    events = list(predict(request, lambda: True))
    assert PredictionFinished() not in events
    labels = np.load(tmp_path / "labels.npy")
    assert labels[0].all()  # the classes are 10 and 255
    assert not labels[-1].any()


def small_model(network: dict[str, int]) -> Any:
    import torch

    from napari_unet import Model
    from napari_unet.config import NetworkConfig
    from napari_unet.networks import build_network

    torch.manual_seed(0)
    config = NetworkConfig(**{"depth": 1, "width": 4, **network})
    return Model(build_network(config), config, Classes((10, 255)))
