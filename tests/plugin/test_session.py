"""The two workers of a viewer, and whose turn it is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_unet.errors import UNetError
from napari_unet.plugin.pixel_job import PixelJob
from napari_unet.plugin.session import Session, open_widget, session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari import Viewer
    from pytestqt.qtbot import QtBot

    MakeViewer = Callable[..., Viewer]

WAIT = 20_000


@pytest.fixture
def session(qtbot: QtBot, fake_worker: tuple[str, ...]) -> Iterator[Session]:
    viewer = ViewerModel()
    session = session_of(viewer)
    yield session
    session.close()


class Work:
    """A job of one of the workers, and what it said."""

    def __init__(self, worker: Any, *, gives_way: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp())
        request = {"do": "train", "run": str(self.folder)}
        self.job = PixelJob(
            worker, request, lambda _: {}, self.folder, gives_way=gives_way
        )
        self.heard: list[Any] = []
        self.job.reported.connect(self.heard.append)
        self.job.ended.connect(lambda: self.heard.append("ended"))

    def works(self) -> bool:
        return len(self.heard) > 1

    def ended(self) -> bool:
        return "ended" in self.heard


def test_the_side_worker_starts_only_when_it_is_needed(
    session: Session, qtbot: QtBot, is_running: Callable[[int], bool]
) -> None:
    user = QObject()
    session.join(user)
    qtbot.waitUntil(lambda: session.worker.pid > 0, timeout=WAIT)
    assert session.side.pid == 0
    work = Work(session.side)
    session.start(work.job)
    qtbot.waitUntil(work.works, timeout=WAIT)
    pids = [session.worker.pid, session.side.pid]
    assert pids[0] != pids[1]
    session.leave(user)
    qtbot.waitUntil(work.ended, timeout=WAIT)
    qtbot.waitUntil(lambda: not session.side.pid, timeout=WAIT)
    assert not any(map(is_running, pids))
    assert not work.folder.exists()


def test_a_widget_without_a_network_starts_the_light_one_alone(
    session: Session, qtbot: QtBot
) -> None:
    session.join(QObject(session), side=True)
    qtbot.waitUntil(lambda: session.side.pid > 0, timeout=WAIT)
    assert session.worker.pid == 0


def test_the_side_works_while_the_other_trains(session: Session, qtbot: QtBot) -> None:
    training, measuring = Work(session.worker), Work(session.side)
    session.start(training.job)
    session.check_free(session.side)
    session.start(measuring.job)
    qtbot.waitUntil(lambda: training.works() and measuring.works(), timeout=WAIT)
    for worker in (session.worker, session.side):
        with pytest.raises(UNetError, match="busy"):
            session.check_free(worker)
    measuring.job.stop()
    qtbot.waitUntil(measuring.ended, timeout=WAIT)
    session.check_free(session.side)
    assert not training.ended()


def test_a_preview_gives_way_to_the_newest_job_even_before_it_has_begun(
    session: Session, qtbot: QtBot
) -> None:
    works = [Work(session.side, gives_way=True) for _ in range(3)]
    session.start(works[0].job)
    session.start(works[1].job)  # while the pixels of the first are being prepared
    qtbot.waitUntil(works[1].works, timeout=WAIT)
    assert works[0].heard == ["ended"]
    session.check_free(session.side)
    session.start(works[2].job)
    qtbot.waitUntil(works[2].works, timeout=WAIT)
    assert works[1].ended()
    assert not works[2].ended()
    last = Work(session.side)
    session.start(last.job)
    qtbot.waitUntil(last.works, timeout=WAIT)
    assert works[2].ended()
    with pytest.raises(UNetError, match="busy"):
        session.check_free(session.side)


def test_closing_the_session_ends_both(
    session: Session, qtbot: QtBot, is_running: Callable[[int], bool]
) -> None:
    works = [Work(worker) for worker in (session.worker, session.side)]
    for work in works:
        session.start(work.job)
    qtbot.waitUntil(lambda: all(work.works() for work in works), timeout=WAIT)
    pids = [session.worker.pid, session.side.pid]
    session.close()
    assert not any(map(is_running, pids))
    assert not any(work.folder.exists() for work in works)


def test_a_widget_that_is_open_comes_to_the_front(
    make_napari_viewer: MakeViewer, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    train, predict = (open_widget(viewer, each) for each in ("Train", "Predict"))
    qtbot.waitUntil(lambda: not predict.visibleRegion().isEmpty())
    assert train.visibleRegion().isEmpty()

    def is_in_front() -> bool:  # once napari has done with adding the other one
        assert open_widget(viewer, "Train") is train
        return not train.visibleRegion().isEmpty()

    qtbot.waitUntil(is_in_front)
