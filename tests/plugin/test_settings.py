"""The preferences as napari keeps them, and what the widgets make of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from by_hand import choose, open_widget
from npe2 import PluginManifest

import napari_unet
from napari_unet.config import ComputeConfig, options
from napari_unet.plugin import runs
from napari_unet.plugin.settings import DEFAULTS, PLUGIN, preferences
from napari_unet.plugin.worker_client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from npe2._pytest_plugin import TestPluginManager
    from pytestqt.qtbot import QtBot

MANIFEST = Path(napari_unet.__file__).with_name("napari.yaml")


@pytest.fixture
def stored(plugin_settings: None, npe2pm: TestPluginManager) -> Any:
    """What napari keeps for this plugin, in a folder of this test."""
    from napari.settings import get_plugin_settings

    npe2pm.register(PluginManifest.from_file(MANIFEST))
    return get_plugin_settings(PLUGIN)


def test_the_defaults_are_those_of_the_manifest(stored: Any) -> None:
    for group, values in DEFAULTS.items():
        assert getattr(stored, group).model_dump() == values


def test_choices_and_words_are_those_of_the_options() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    shown = manifest.contributions.configurations["computing"].properties
    for each in options(ComputeConfig):
        assert tuple(shown[each.name].enum) == each.choices
        assert shown[each.name].description == each.help
        assert shown[each.name].default == each.default


def test_there_are_defaults_without_naparis_settings(
    plugin_settings: None, npe2pm: TestPluginManager
) -> None:
    assert preferences().get("training", "minutes") == 2
    assert preferences().computing() == {
        "device": "auto",
        "precision": "auto",
        "memory": None,
    }


def test_new_runs_go_to_the_preferred_folder(
    stored: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()  # of the folder that all tests here use
    assert runs.runs_folder().name == runs.FOLDER
    stored.training.runs = str(tmp_path)
    assert runs.runs_folder() == tmp_path


def test_the_widgets_begin_with_what_is_preferred(
    stored: Any, make_napari_viewer: Callable[..., Viewer], fake_worker: None
) -> None:
    stored.computing.precision = "fp32"
    stored.computing.memory = 1.5
    stored.training.minutes = 7
    viewer = make_napari_viewer()
    train, predict = (open_widget(viewer, name) for name in ("Train", "Predict"))
    assert train.advanced.values()["precision"] == "fp32"
    assert predict.advanced.values()["precision"] == "fp32"
    assert predict.advanced.values()["memory"] == "1536MB"
    assert train.budget.budget() == "420s"


def test_a_change_counts_at_once_and_spares_what_was_entered(
    stored: Any,
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_worker: None,
) -> None:
    train = open_widget(make_napari_viewer(), "Train")
    choose(qtbot, train.advanced.field("precision"), "bf16")
    stored.computing.device = "cpu"
    entered = train.advanced.values()
    assert (entered["device"], entered["precision"]) == ("cpu", "bf16")


@pytest.mark.skipif(not hasattr(psutil.Process(), "nice"), reason="no priorities")
@pytest.mark.parametrize("polite", [True, False])
def test_the_worker_is_as_polite_as_preferred(
    stored: Any, qtbot: QtBot, polite: bool
) -> None:
    stored.computing.low_priority = polite
    usual = psutil.Process().nice()
    client = WorkerClient()
    with qtbot.waitSignal(client.ready_changed, timeout=60_000):
        client.start()
    assert (psutil.Process(client.pid).nice() > usual) == polite
    client.shutdown(wait=True)
