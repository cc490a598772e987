from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from napari.utils.notifications import notification_manager

from napari_unet.plugin import runs, worker_client

if TYPE_CHECKING:
    from collections.abc import Callable

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


@pytest.fixture(autouse=True)
def _no_old_notes() -> None:
    notification_manager.records.clear()


@pytest.fixture(autouse=True)
def runs_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of its own for each test, which runs go to."""
    folder = tmp_path_factory.mktemp("runs")
    monkeypatch.setattr(runs, "runs_folder", lambda: folder)
    return folder


@pytest.fixture
def fake_worker(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Have the widgets start the fake worker."""
    monkeypatch.setattr(worker_client, "_COMMAND", FAKE)
    return FAKE


@pytest.fixture
def is_running() -> Callable[[int], bool]:
    """Tell whether a process runs, waiting a little for it to end."""

    def is_running(pid: int) -> bool:
        for _ in range(100):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.05)
        return True

    return is_running
