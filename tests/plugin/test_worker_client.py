from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from napari_unet.events import StepDone, TrainingFinished
from napari_unet.plugin.worker_client import Job, WorkerClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

WAIT = 20_000


@pytest.fixture
def client(qtbot: QtBot, fake_worker: tuple[str, ...]) -> Iterator[WorkerClient]:
    client = WorkerClient()
    yield client
    client.shutdown(wait=True)


class Heard:
    """All that a job said, in order."""

    def __init__(self, job: Job) -> None:
        self.all: list[Any] = []
        job.reported.connect(self.all.append)
        job.failed.connect(lambda text: self.all.append(("failed", text)))
        job.died.connect(lambda text: self.all.append(("died", text)))
        job.ended.connect(lambda: self.all.append("ended"))

    def ended(self) -> bool:
        return "ended" in self.all


def submit(client: WorkerClient, run: Path, name: str = "") -> Heard:
    return Heard(client.submit({"do": "train", "run": str(run), "name": name}))


def test_a_job_reports_steps_and_ends_after_stop(
    client: WorkerClient, qtbot: QtBot, tmp_path: Path
) -> None:
    heard = submit(client, tmp_path)
    qtbot.waitUntil(lambda: len(heard.all) > 3, timeout=WAIT)
    client.stop()
    qtbot.waitUntil(heard.ended, timeout=WAIT)
    assert all(isinstance(each, StepDone) for each in heard.all[:-2])
    assert isinstance(heard.all[-2], TrainingFinished)
    assert heard.all[-1] == "ended"
    assert not client.busy


def test_the_process_stays_warm_for_the_next_job(
    client: WorkerClient, qtbot: QtBot, tmp_path: Path
) -> None:
    client.start()
    qtbot.waitUntil(lambda: client.pid > 0, timeout=WAIT)
    pid = client.pid
    for _ in range(2):
        heard = submit(client, tmp_path, "fails")
        qtbot.waitUntil(heard.ended, timeout=WAIT)
        assert heard.all == [("failed", "Too few pixels."), "ended"]
    assert client.pid == pid


def test_stop_before_the_process_is_ready_ends_the_job(
    client: WorkerClient, tmp_path: Path
) -> None:
    heard = submit(client, tmp_path)
    client.stop()
    assert heard.all == ["ended"]
    assert not client.busy


def test_noise_among_the_events_does_no_harm(
    client: WorkerClient, qtbot: QtBot, tmp_path: Path
) -> None:
    heard = submit(client, tmp_path, "noisy")
    qtbot.waitUntil(lambda: len(heard.all) > 2, timeout=WAIT)
    assert all(isinstance(each, StepDone) for each in heard.all)


def test_a_killed_worker_is_reported_and_replaced(
    client: WorkerClient, qtbot: QtBot, tmp_path: Path
) -> None:
    heard = submit(client, tmp_path, "dies")
    qtbot.waitUntil(heard.ended, timeout=WAIT)
    assert heard.all[-2][0] == "died"
    assert "ran out of memory" in heard.all[-2][1]
    again = submit(client, tmp_path)
    qtbot.waitUntil(lambda: len(again.all) > 2, timeout=WAIT)


def test_a_worker_killed_while_idle_is_replaced(
    client: WorkerClient, qtbot: QtBot, tmp_path: Path
) -> None:
    with qtbot.waitSignal(client.ready_changed, timeout=WAIT):
        client.start()
    with qtbot.waitSignal(client.ready_changed, timeout=WAIT):
        os.kill(client.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: client.pid == 0, timeout=WAIT)
    heard = submit(client, tmp_path)
    qtbot.waitUntil(lambda: len(heard.all) > 2, timeout=WAIT)


def test_an_exit_is_reported_with_the_last_words(
    client: WorkerClient, qtbot: QtBot, tmp_path: Path
) -> None:
    heard = submit(client, tmp_path, "exits")
    qtbot.waitUntil(heard.ended, timeout=WAIT)
    assert heard.all == [
        ("died", "The worker process ended with code 3: cannot go on"),
        "ended",
    ]


def test_a_program_that_cannot_start_is_reported(qtbot: QtBot, tmp_path: Path) -> None:
    client = WorkerClient((str(tmp_path / "nothing"),))
    heard: list[Any] = []
    job = client.submit({"do": "train"})
    job.died.connect(heard.append)
    qtbot.waitUntil(lambda: not client.busy, timeout=WAIT)
    assert "could not be started" in heard[0]
    assert client.pid == 0


@pytest.mark.parametrize("wait", [True, False])
def test_shutdown_stops_the_job_in_good_order(
    client: WorkerClient,
    qtbot: QtBot,
    tmp_path: Path,
    wait: bool,
    is_running: Callable[[int], bool],
) -> None:
    heard = submit(client, tmp_path)
    qtbot.waitUntil(lambda: len(heard.all) > 2, timeout=WAIT)
    pid = client.pid
    client.shutdown(wait=wait)
    qtbot.waitUntil(heard.ended, timeout=WAIT)
    assert isinstance(heard.all[-2], TrainingFinished)
    qtbot.waitUntil(lambda: client.pid == 0, timeout=WAIT)
    assert not is_running(pid)


def test_a_worker_that_does_not_listen_is_ended(
    client: WorkerClient,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_running: Callable[[int], bool],
) -> None:
    monkeypatch.setattr("napari_unet.plugin.worker_client._PATIENCE", 200)
    heard = submit(client, tmp_path, "deaf")
    qtbot.waitUntil(lambda: bool(heard.all), timeout=WAIT)
    pid = client.pid
    client.shutdown()
    qtbot.waitUntil(heard.ended, timeout=WAIT)
    assert heard.all[-1] == "ended"
    assert not any("died" in each for each in heard.all if isinstance(each, tuple))
    assert not is_running(pid)


def test_a_job_given_while_the_process_ends_gets_a_new_process(
    client: WorkerClient, qtbot: QtBot, tmp_path: Path
) -> None:
    with qtbot.waitSignal(client.ready_changed, timeout=WAIT):
        client.start()
    pid = client.pid
    client.shutdown()
    heard = submit(client, tmp_path)
    qtbot.waitUntil(lambda: len(heard.all) > 2, timeout=WAIT)
    assert isinstance(heard.all[0], StepDone)
    assert client.pid not in (0, pid)


def test_two_jobs_at_once_are_refused(client: WorkerClient, tmp_path: Path) -> None:
    submit(client, tmp_path)
    with pytest.raises(ValueError, match="busy"):
        submit(client, tmp_path)


def test_a_job_that_gives_way_is_stopped_by_the_next_and_not_heard_any_more(
    client: WorkerClient, qtbot: QtBot, tmp_path: Path
) -> None:
    request = {"do": "train", "run": str(tmp_path)}
    for moment in (0, 3):  # before the process is ready, and in the midst of it
        first = Heard(client.submit(request, gives_way=True))
        qtbot.waitUntil(lambda h=first, n=moment: len(h.all) >= n, timeout=WAIT)
        second = submit(client, tmp_path)
        assert first.all[-1] == "ended"
        heard = len(first.all)
        with pytest.raises(ValueError, match="busy"):
            client.submit(request, gives_way=True)
        qtbot.waitUntil(lambda h=second: len(h.all) > 3, timeout=WAIT)
        client.stop()
        qtbot.waitUntil(second.ended, timeout=WAIT)
        assert second.all[0].step == 1
        assert len(first.all) == heard
