"""What all tests share: real data, a graphics context, and clean napari settings."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

# Without a display and without Xvfb, Qt would abort the whole process.
if (
    sys.platform == "linux"
    and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    and not shutil.which("Xvfb")
):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

try:
    from PyQt6 import QtWidgets as _  # noqa: F401
except ImportError as error:
    NO_QT = f"Qt cannot be loaded ({error}): the tests of the window are left out"
    collect_ignore = ["plugin"]
else:
    NO_QT = ""


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Go on without pytest-qt, which ends the session when Qt cannot be loaded."""
    if NO_QT:
        pluginmanager.set_blocked("pytest-qt")


def pytest_report_header() -> str:
    return NO_QT or "Qt can be loaded"


def pytest_configure(config: pytest.Config) -> None:
    """Keep napari away from the user's own settings."""
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    os.environ["NAPARI_CONFIG"] = str(Path(folder.name) / "settings.yaml")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data that NAPARI_UNET_DATA names."""
    name = os.environ.get("NAPARI_UNET_DATA")
    if not name:
        pytest.skip("NAPARI_UNET_DATA does not name a folder of real data")
    folder = Path(name)
    if not folder.is_dir():
        pytest.fail(f"NAPARI_UNET_DATA is {name!r}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def _opengl_works(qapp: object) -> bool:
    from PyQt6.QtGui import QOffscreenSurface, QOpenGLContext

    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    works = context.create() and context.makeCurrent(surface)
    context.doneCurrent()
    return works


@pytest.fixture
def opengl(_opengl_works: bool) -> None:
    """Skip the test where nothing can be drawn: napari's images need OpenGL."""
    if not _opengl_works:
        pytest.skip("no OpenGL: install Xvfb (make setup) or use a display")


@pytest.fixture(autouse=True)
def _viewers_need_opengl(request: pytest.FixtureRequest) -> None:
    if {"make_napari_viewer", "make_napari_viewer_proxy"} & set(request.fixturenames):
        request.getfixturevalue("opengl")
